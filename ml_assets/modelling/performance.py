"""Performance of one drop after another: estimated without labels, realised where labels are known, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.evaluation import IMPORTANCE
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.watched import NO_VERSION, as_predicted, marked, reference_rows, scored_rows

if TYPE_CHECKING:
    from fsspec.core import OpenFile

    from ml_assets.registry.registry import Registry

_COMPARED = ("kind", "scope", "metric")


@dataclass(frozen=True)
class DropPerformance:
    """Estimated and realised performance of one drop, and what it was measured on.

    ``before`` holds the stored performance of earlier drops, ``version`` made the predictions.
    """

    drop: str
    version: str
    performance: pl.DataFrame
    before: pl.DataFrame
    rows: pl.DataFrame
    reference: pl.DataFrame

    def stored(self, model: ModelContext) -> pl.DataFrame:
        """Return the rows of the report, with the drop and the version."""
        return marked(self.performance, model, self.drop, self.version)


def measure_performance(
    lake: Lake, registry: "Registry", model: ModelContext, drops: Sequence[str]
) -> dict[str, DropPerformance]:
    """Measure some drops in order: the errors of the estimates of earlier ones widen the band of later ones."""
    measured: dict[str, DropPerformance] = {}
    record = _earlier_reports(lake, model, list(drops))
    for drop in drops:
        before = record.filter(pl.col(model.spine.partition) < drop)
        measured[drop] = performance = _measure(lake, as_predicted(lake, registry, model, drop), drop, before)
        record = pl.concat([record, performance.stored(model)], how="diagonal_relaxed")
    return measured


def _earlier_reports(lake: Lake, model: ModelContext, drops: list[str]) -> pl.DataFrame:
    """Return the stored performance of the drops before ``drops[-1]`` that are not measured again."""
    key, partition = model.key("performance_report"), model.spine.partition
    if not lake.exists(key):
        return pl.DataFrame(schema=dict.fromkeys([partition, *_COMPARED], pl.String))
    others = ~pl.col(partition).is_in(drops) & (pl.col(partition) < drops[-1])
    return lake.scan(key).filter(others).collect()


def _measure(lake: Lake, model: ModelContext, drop: str, before: pl.DataFrame) -> DropPerformance:
    from ml_assets.monitoring.performance.table import no_performance
    from ml_assets.monitoring.performance.watch import watch_performance

    rows = scored_rows(lake, model, drop)
    if rows.is_empty():
        none = no_performance(rows.schema[model.spine.time])
        return DropPerformance(drop, NO_VERSION, none, before, rows, rows)
    version = rows[VERSION][0]
    reference = reference_rows(lake, model, version)
    performance = watch_performance(
        reference,
        rows,
        model=model.spec,
        features=model.features,
        spec=model.monitoring,
        earlier=_earlier_rows(lake, model, drop, version),
        record=before if before.height else None,
    )
    return DropPerformance(drop, version, performance, before, rows, reference)


def _earlier_rows(lake: Lake, model: ModelContext, drop: str, version: str) -> pl.DataFrame | None:
    """Return the same version's predictions for the drops before, with the labels known when this drop ended."""
    by_drop = lake.scan(model.watched).filter(pl.col(model.spine.partition) < drop, pl.col(VERSION) == version)
    drops = by_drop.select(pl.col(model.spine.partition).unique().sort()).collect().to_series().to_list()
    drops = drops[max(0, len(drops) - model.monitoring.earlier_drops) :]
    earlier = [scored_rows(lake, model, earlier_drop, known_in=drop) for earlier_drop in drops]
    same = [rows for rows in earlier if rows.height and rows[VERSION][0] == version]
    return pl.concat(same, how="diagonal_relaxed") if same else None


def write_report(lake: Lake, model: ModelContext, measured: DropPerformance, timeline: bytes) -> str:
    """Write one self-contained HTML file per drop, beside the tables in the lake; returns its address."""
    import fsspec

    from ml_assets.monitoring.drift.impact import rank_by_impact
    from ml_assets.monitoring.report.render import render_report

    drop = measured.drop
    stored = lake.scan(model.key("drift_report")).filter(pl.col(model.spine.partition) == drop)
    drift = stored.drop(model.spine.partition, VERSION).collect()
    importance = _importance(lake, model, measured.version)
    order = rank_by_impact(drift, importance)["feature"].to_list()
    page = render_report(
        model=model.spec.name,
        version=measured.version,
        period=drop,
        drift=drift,
        performance=measured.performance,
        spec=model.monitoring,
        before=measured.before,
        importance=importance,
        plots={f"{model.spec.watched_metric} by week": timeline, **_drift_plots(measured, drift, order)},
    )
    address = f"{lake.uri(model.key('reports'))}/{drop}.html"
    with cast("OpenFile", fsspec.open(address, "w", encoding="utf-8", auto_mkdir=True)) as file:
        file.write(page)
    return address


def _drift_plots(measured: DropPerformance, drift: pl.DataFrame, order: list[str]) -> dict[str, bytes]:
    from ml_assets.monitoring.report.plots import plot_distributions, plot_drift
    from ml_assets.monitoring.report.render import SHOWN

    if drift.is_empty():
        return {}
    shown = plot_distributions(measured.reference, measured.rows, order[:SHOWN])
    return {
        "The features of most impact: reference and this period": shown,
        "PSI by week and feature, in the order of impact": plot_drift(drift, order),
    }


def _importance(lake: Lake, model: ModelContext, version: str) -> pl.DataFrame | None:
    """Return how much the version relies on each feature, as evaluated; None where that was not kept."""
    table = lake.scan(model.key("evaluation"))
    if VERSION not in table.collect_schema():
        return None
    kept = (pl.col("subject") == IMPORTANCE) & (pl.col(VERSION) == version)
    shares = table.filter(kept).select(pl.col("metric").alias("feature"), pl.col("value").alias("share")).collect()
    return None if shares.is_empty() else shares
