"""What came of each drop, read from the lake: the table that ends the main job."""

import json
from dataclasses import dataclass

import polars as pl

from ml_assets.lake import Lake


@dataclass(frozen=True)
class ModelSummary:
    """One model: a row per scored drop, and the champion's measures on its holdout."""

    model: str
    drops: pl.DataFrame
    holdout: pl.DataFrame


def summarise(lake: Lake, model: str, partition: str, metric: str, sources: list[str]) -> ModelSummary:
    """Rows, quarantine, strongest drift, estimated and realised performance and champion version, per drop."""
    if not lake.exists(f"{model}/predictions"):
        return ModelSummary(model, pl.DataFrame(), pl.DataFrame())
    scored = lake.scan(f"{model}/predictions").group_by(partition).agg(
        rows=pl.len(), champion=pl.col("model_version").first()
    )  # fmt: skip
    psi = (
        lake.scan(f"{model}/drift_report")
        .filter(pl.col("method") == "psi", pl.col("scope") == "period")
        .sort("value", descending=True)
        .group_by(partition, maintain_order=True)
        .agg(strongest_drift=pl.col("feature").first(), psi=pl.col("value").first())
    )
    drops = scored.join(psi, on=partition, how="left")
    for kind in ("estimated", "realised"):
        drops = drops.join(_performance(lake, model, partition, metric, kind), on=partition, how="left")
    quarantined = _quarantined(lake, sources).rename({"_drop": partition})
    drops = drops.join(quarantined, on=partition, how="left").with_columns(pl.col("quarantined").fill_null(0))
    ordered = drops.select(
        pl.col(partition).alias("drop"), "rows", "quarantined", "strongest_drift", "psi", "estimated", "realised",
        "champion",
    ).sort("drop")  # fmt: skip
    return ModelSummary(model, ordered.collect(), _holdout(lake, model))


def _performance(lake: Lake, model: str, partition: str, metric: str, kind: str) -> pl.LazyFrame:
    wanted = (pl.col("kind") == kind) & (pl.col("metric") == metric) & (pl.col("scope") == "period")
    return lake.scan(f"{model}/performance_report").filter(wanted).select(partition, pl.col("value").alias(kind))


def _quarantined(lake: Lake, sources: list[str]) -> pl.LazyFrame:
    tables = [lake.scan(f"{name}/quarantine").select("_drop") for name in sources]
    return pl.concat(tables).group_by("_drop").agg(quarantined=pl.len())


def _holdout(lake: Lake, model: str) -> pl.DataFrame:
    """The newest training's metrics, model and baseline side by side."""
    table = lake.scan(f"{model}/evaluation").filter(pl.col("subject").is_in(["model", "baseline"])).collect()
    newest = table.filter(pl.col("_as_of") == table["_as_of"].max())
    return newest.pivot(on="subject", index="metric", values="value").sort("metric")


def print_summary(summaries: list[ModelSummary], as_json: bool) -> None:
    """Tables for people, or one JSON object with a list of drops per model."""
    from rich.console import Console

    console = Console(highlight=False)
    if as_json:
        told = {s.model: {"drops": s.drops.to_dicts(), "holdout": s.holdout.to_dicts()} for s in summaries}
        console.print_json(json.dumps(told))
        return
    for summary in summaries:
        console.print(_table(summary) if summary.drops.width else f"{summary.model}: nothing scored yet")
    console.print(
        "Look closer: [bold]make ui[/] opens Dagster (127.0.0.1:3000), [bold]make mlflow[/] MLflow (127.0.0.1:5000)."
    )


def _table(summary: ModelSummary):
    from rich.table import Table

    table = Table(title=f"{summary.model}, drop by drop", title_justify="left")
    headings = ["drop", "rows", "quarantined", "strongest drift", "PSI", "estimated", "realised", "champion"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("drop", "strongest drift") else "right")
    for row in summary.drops.iter_rows():
        table.add_row(*(_shown(value) for value in row))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
