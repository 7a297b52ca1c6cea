"""What came of each drop, read from the lake: the table that ends the main job."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

from ml_assets.declarations.project import DeclaredProject
from ml_assets.durations import format_duration
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.monitoring.chunk_sizes import ChunkSizes
from ml_assets.monitoring.performance.measures import newest_measures
from ml_assets.monitoring.performance.table import BY_HORIZON
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.spines.spec import HORIZON
from ml_assets.training.promotion.approval import find_waiting

DROP_HEADINGS = {
    "quarantined": "quaran-\ntined",
    "strongest_drift": "strongest\ndrift",
    "psi": "PSI",
    "estimated": "esti-\nmated",
    "realised": "real-\nised",
    "missing_labels": "no\nlabel",
    "champion": "version",
}
"""Headings that keep the table within 80 columns."""


@dataclass(frozen=True)
class ModelSummary:
    """One model: a row per scored drop, the champion's measures on its holdout, rows that are in no scored drop, and
    the version that waits for a person's approval, if one does."""

    model: str
    drops: pl.DataFrame
    holdout: pl.DataFrame
    left_out: pl.DataFrame
    min_chunk_rows: int
    waits_for_approval: str | None = None

    def chunk_sizes(self, drop: Mapping[str, Any]) -> ChunkSizes:
        """Return the chunks of a drop, a row of `drops`."""
        return ChunkSizes(drop["chunks"] or 0, drop["small_chunks"] or 0, self.min_chunk_rows)

    @property
    def unwatched(self) -> list[str]:
        """What is to be said about the drops that are not watched, as their chunks have too few rows."""
        sizes = {drop["drop"]: self.chunk_sizes(drop) for drop in self.drops.iter_rows(named=True)}
        wrong: dict[str, list[str]] = {}
        for drop, of_drop in sizes.items():
            if of_drop.unwatched:
                wrong.setdefault(of_drop.sentence, []).append(drop)
        return [f"{', '.join(drops)}: {sentence}" for sentence, drops in wrong.items()]


def summarise(
    lake: Lake, model: str, partition: str, metric: str, sources: list[str], min_chunk_rows: int
) -> ModelSummary:
    """Return rows, quarantine, strongest drift, estimated and realised performance, champion version, and how many
    chunks were measured and had too few rows to be watched, per drop."""
    waiting = find_waiting(read_promotions(lake, model))
    waits = waiting and waiting.challenger
    if not lake.exists(f"{model}/predictions"):
        left_out = rows_left_out(lake, sources, [])
        return ModelSummary(model, pl.DataFrame(), pl.DataFrame(), left_out, min_chunk_rows, waits)
    scored = lake.scan(f"{model}/predictions").group_by(partition).agg(
        rows=pl.len(), champion=pl.col("model_version").first()
    )  # fmt: skip
    # A drop without rows leaves no predictions, but a decision.
    without = sorted(set(lake.partitions(f"{model}/retrain_decision", partition)) - set(_drops(scored, partition)))
    scored = pl.concat([scored, pl.LazyFrame({partition: without}, schema={partition: pl.String})], how="diagonal")
    scored = scored.with_columns(pl.col("rows").fill_null(0))
    psi = (
        _reported(lake, f"{model}/drift_report", partition, "feature", "method", "scope", value=pl.Float64)
        .filter(pl.col("method") == "psi", pl.col("scope") == "period")
        .sort("value", descending=True)
        .group_by(partition, maintain_order=True)
        .agg(strongest_drift=pl.col("feature").first(), psi=pl.col("value").first())
    )
    drops = scored.join(psi, on=partition, how="left")
    for kind in ("estimated", "realised"):
        drops = drops.join(_performance(lake, model, partition, metric, kind), on=partition, how="left")
    drops = drops.join(_missing_labels(lake, model, partition), on=partition, how="left")
    drops = drops.join(_chunks(lake, model, partition, min_chunk_rows), on=partition, how="left")
    quarantined = _quarantined(lake, sources).rename({"_drop": partition})
    drops = drops.join(quarantined, on=partition, how="left").with_columns(pl.col("quarantined").fill_null(0))
    ordered = drops.select(
        pl.col(partition).alias("drop"), "rows", "quarantined", "strongest_drift", "psi", "estimated", "realised",
        "missing_labels", "champion", "chunks", "small_chunks",
    ).sort("drop")  # fmt: skip
    collected = ordered.collect()
    left_out = rows_left_out(lake, sources, collected["drop"].to_list())
    return ModelSummary(model, collected, _holdout(lake, model), left_out, min_chunk_rows, waits)


def rows_left_out(lake: Lake, sources: list[str], scored: list[str]) -> pl.DataFrame:
    """Return the rows of sources that are in no scored drop: `source`, `place` and `rows` (null where they are not
    counted)."""
    schema = {"source": pl.String, "place": pl.String, "rows": pl.Int64}
    left_out = [
        lake.scan(f"{name}/placement").select(pl.lit(name).alias("source"), "place", "rows").collect()
        for name in sources
        if lake.exists(f"{name}/placement")
    ]
    left_out += [
        _quarantined(lake, [name])
        .filter(~pl.col("_drop").is_in(scored))
        .sort("_drop")
        .select(
            pl.lit(name).alias("source"),
            pl.format("quarantine of {}", "_drop").alias("place"),
            pl.col("quarantined").cast(pl.Int64).alias("rows"),
        )
        .collect()
        for name in sources
        if lake.exists(f"{name}/quarantine")
    ]
    return pl.concat([pl.DataFrame(schema=schema), *left_out])


def show_summary(
    home: Home, declared: DeclaredProject, use_case: str, models: Sequence[str] = (), as_json: bool = False
) -> None:
    """Print what the lake records about the models of a use case, drop by drop.

    Args:
        models: those to show; empty for all.

    Raises:
        ValueError: no such use case, or no such model in it.
    """
    lake, own = Lake(home.lake), declared.only(use_case)
    sources = [source.name for source in own.cut_sources]
    print_summary(
        [
            summarise(
                lake,
                model.name,
                declared.spine_of(model).partition,
                model.watched_metric,
                sources,
                model.monitoring.min_chunk_rows,
            )
            for model in own.choose_models(models)
        ],
        as_json,
    )


def _drops(scored: pl.LazyFrame, partition: str) -> list[str]:
    return scored.select(partition).collect()[partition].to_list()


def _performance(lake: Lake, model: str, partition: str, metric: str, kind: str) -> pl.LazyFrame:
    wanted = (pl.col("kind") == kind) & (pl.col("metric") == metric) & (pl.col("scope") == "period")
    return _measured(lake, model, partition).filter(wanted).select(partition, pl.col("value").alias(kind))


def _missing_labels(lake: Lake, model: str, partition: str) -> pl.LazyFrame:
    """Return how many scored rows of each drop had no label when it was measured last."""
    realised = _measured(lake, model, partition).filter(kind="realised", scope="period")
    return realised.group_by(partition).agg(missing_labels=pl.col("missing").max())


def realised_by_horizon(lake: Lake, model: str, partition: str, drop: str, metric: str) -> dict[str, float | None]:
    """Return the newest realised value of a drop by how far its rows look ahead, the nearest first; empty where they do
    not look ahead several horizons."""
    key = f"{model}/performance_report"
    if not lake.exists(key) or HORIZON not in lake.scan(key).collect_schema():
        return {}
    of_drop = lake.scan(key).filter(pl.col(partition) == drop)
    rows = newest_measures(of_drop, partition).filter(kind="realised", scope=BY_HORIZON, metric=metric)
    values = rows.select(HORIZON, "value").sort(HORIZON).collect().iter_rows()
    return {format_duration(timedelta(seconds=seconds)): value for seconds, value in values}


def _chunks(lake: Lake, model: str, partition: str, least: int) -> pl.LazyFrame:
    """Return how many chunks of each drop were measured, and how many of them had fewer rows than `least`."""
    measured = _measured(lake, model, partition).filter(scope="chunk").group_by(partition, "chunk_start")
    sizes = measured.agg(rows=(pl.col("rows") + pl.col("missing").fill_null(0)).max())
    return sizes.group_by(partition).agg(chunks=pl.len(), small_chunks=(pl.col("rows") < least).sum())


def _measured(lake: Lake, model: str, partition: str) -> pl.LazyFrame:
    """Return the newest measures of each drop; without rows before anything was monitored."""
    key = f"{model}/performance_report"
    wanted = {partition: pl.String, "kind": pl.String, "metric": pl.String, "scope": pl.String}
    wanted |= {"value": pl.Float64, "missing": pl.Int64, "rows": pl.Int64, "chunk_start": pl.Datetime("us", "UTC")}
    if not lake.exists(key):
        return pl.LazyFrame(schema=wanted)
    return newest_measures(lake.scan(key), partition).select(list(wanted))


def _reported(lake: Lake, key: str, *texts: str, **others: type[pl.DataType]) -> pl.LazyFrame:
    """Return these columns of a report; without rows before anything was monitored, as with answers that nobody
    requested."""
    schema = dict.fromkeys(texts, pl.String) | others
    return lake.scan(key).select(list(schema)) if lake.exists(key) else pl.LazyFrame(schema=schema)


def _quarantined(lake: Lake, sources: list[str]) -> pl.LazyFrame:
    empty = pl.LazyFrame(schema={"_drop": pl.String})
    tables = [lake.scan(f"{name}/quarantine").select("_drop") for name in sources]
    return pl.concat([empty, *tables]).group_by("_drop").agg(quarantined=pl.len())


def _holdout(lake: Lake, model: str) -> pl.DataFrame:
    """Return the newest training's metrics, model and baseline side by side."""
    table = lake.scan(f"{model}/evaluation").filter(pl.col("subject").is_in(["model", "baseline"])).collect()
    newest = table.filter(pl.col("_as_of") == pl.col("_as_of").max())
    if "model_version" in newest.columns:
        made = pl.col("model_version").cast(pl.Int64)
        newest = newest.filter(made.eq_missing(made.max()))
    return newest.pivot(on="subject", index="metric", values="value").sort("metric")


def print_summary(summaries: list[ModelSummary], as_json: bool) -> None:
    """Print tables for people, or one JSON object: per model its ``drops``, ``holdout`` metrics and rows
    ``left_out``."""
    from rich.console import Console

    if as_json:
        by_model = {
            s.model: {
                "drops": s.drops.to_dicts(),
                "holdout": s.holdout.to_dicts(),
                "left_out": s.left_out.to_dicts(),
                "waits_for_approval": s.waits_for_approval,
            }
            for s in summaries
        }
        print(json.dumps(by_model, indent=2))  # noqa: T201 - data for a program, not to be wrapped or coloured
        return
    console = Console(highlight=False)
    for summary in summaries:
        if summary.waits_for_approval:
            answer = f"`ml-assets approve {summary.model} {summary.waits_for_approval} --by NAME`, or `refuse`"
            console.print(f"{summary.model}: version {summary.waits_for_approval} waits for approval: {answer}")
        if not summary.drops.width:
            console.print(f"{summary.model}: nothing scored yet")
            continue
        shown = summary.drops.drop("chunks", "small_chunks")
        console.print(_table(shown, f"{summary.model}, drop by drop", DROP_HEADINGS))
        for drop in summary.unwatched:
            console.print(drop)
        console.print(_table(summary.holdout, f"{summary.model} on the holdout of its last training", {}))
    left_out = pl.concat([summary.left_out for summary in summaries]).unique(maintain_order=True) if summaries else None
    if left_out is not None and left_out.height:
        console.print(_table(left_out, "Rows that are in no scored drop", {}))
    console.print("Look closer: [bold]ml-assets ui[/] opens Dagster, [bold]ml-assets mlflow[/] MLflow.")


def _table(frame: pl.DataFrame, title: str, headings: dict[str, str]):
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True
    )
    rows = [[_shown(value) for value in row] for row in frame.iter_rows()]
    for index, (name, dtype) in enumerate(frame.schema.items()):
        heading = headings.get(name, name)
        widest = max(len(text) for text in [*heading.split("\n"), *(row[index] for row in rows)])
        # Where the terminal is narrow only the feature's name gives way: it goes on in the next line.
        gives_way = name == "strongest_drift"
        text = dtype == pl.String and name != "champion"
        table.add_column(
            heading,
            justify="left" if text else "right",
            no_wrap=not gives_way,
            overflow="fold",
            min_width=8 if gives_way else widest,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
