"""One period of monitoring as a single HTML file: no script, nothing loaded from elsewhere."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from ml_assets.durations import format_duration
from ml_assets.html_pages import page_template
from ml_assets.monitoring.chunk_sizes import measure_chunks
from ml_assets.monitoring.drift.impact import SEASON, rank_by_impact
from ml_assets.monitoring.maturity import known_share
from ml_assets.monitoring.performance.measures import MEASURED_AT
from ml_assets.monitoring.performance.record import past_errors
from ml_assets.monitoring.performance.table import BY_HORIZON
from ml_assets.monitoring.report.kept import Plot
from ml_assets.monitoring.report.summary import summarise_drift, summarise_performance
from ml_assets.monitoring.report.verdict import judge
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.spines.spec import HORIZON

SHOWN = 10
"""Features that are shown open; the others are folded."""


def render_report(
    *,
    model: str,
    version: str,
    period: str,
    drift: pl.DataFrame,
    performance: pl.DataFrame,
    spec: MonitoringSpec,
    plots: Mapping[str, Plot],
    before: pl.DataFrame | None = None,
    measures: pl.DataFrame | None = None,
    importance: pl.DataFrame | None = None,
    false_alarms: str = "",
) -> str:
    """Return the report on one model and period; every text in it is escaped.

    Args:
        model: registered name; version: of the champion that made the predictions.
        period: as people call it, such as ``2013-10``.
        drift: what ``measure_drift`` returned.
        performance: what ``estimate_performance`` and ``realise_performance`` returned, one below the other.
        plots: caption -> plot, shown in this order.
        before: the same as ``performance``, of all earlier periods.
        measures: every measure of the period, with the moment in ``measured_at``; None for ``performance`` alone.
        false_alarms: what is known of how often chance alone alerts, shown with the drift.
        importance: feature, share; features come in the order of impact, or of drift where this is not known.

    Returns:
        A complete HTML document.
    """
    drift_summary = summarise_drift(drift, spec)
    performance_summary = summarise_performance(performance, spec)
    sizes = measure_chunks(drift, spec.min_chunk_rows)
    return page_template(__package__, _number).render(
        model=model,
        version=version,
        period=period,
        verdict=judge(drift_summary, performance_summary, sizes),
        sizes=sizes,
        drift=drift_summary,
        performance=performance_summary,
        spec=spec,
        features=_feature_rows(drift, importance),
        shown=SHOWN,
        weighed=importance is not None,
        season=not drift.filter(method=SEASON).is_empty(),
        misses=_misses(performance),
        record=_record(before, spec),
        metrics=_metric_rows(performance),
        horizons=_horizon_rows(performance),
        moments=_moments(measures),
        chunks=drift.filter(scope="chunk")["chunk_start"].n_unique(),
        plots=plots,
        false_alarms=false_alarms,
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _feature_rows(drift: pl.DataFrame, importance: pl.DataFrame | None) -> list[dict]:
    """Return a row per feature, by impact: PSI of the period, chunks above the threshold, the greatest of each other
    method."""
    chunks = drift.filter(scope="chunk")
    psi = chunks.filter(method="psi").group_by("feature").agg(worst=pl.col("value").max(), over=pl.col("alert").sum())
    others = (
        chunks.filter(~pl.col("method").is_in(["psi", "reconstruction_error"]))
        .group_by("feature", "method", maintain_order=True)
        .agg(value=pl.col("value").max(), over=pl.col("alert").sum())
        .group_by("feature", maintain_order=True)
        .agg(others=pl.struct("method", "value", "over"))
    )
    ranked = rank_by_impact(drift, importance)
    alerts = drift.filter(method="psi", scope="period").select("feature", "alert")
    for part in (alerts, psi, others):
        ranked = ranked.join(part, on="feature", how="left", maintain_order="left")
    return ranked.to_dicts()


def _misses(performance: pl.DataFrame) -> list[dict]:
    """Return the metrics whose realised value of the period lies outside the band of its estimate."""
    period = performance.filter(scope="period")
    realised = period.filter(kind="realised").select("metric", realised="value")
    both = period.filter(kind="estimated").join(realised, on="metric")
    return both.filter(~pl.col("realised").is_between("lower", "upper")).to_dicts()


def _moments(measures: pl.DataFrame | None) -> list[dict]:
    """Return per moment of a measure, the newest first, what was known of labels and the realised values; nothing where
    there was one moment only."""
    if measures is None or MEASURED_AT not in measures.columns or measures[MEASURED_AT].n_unique() < 2:
        return []
    realised = measures.filter(kind="realised", scope="period").with_columns(share=known_share())
    by_moment = realised.sort("metric").group_by(MEASURED_AT, "rows", "missing", "share", maintain_order=True)
    values = by_moment.agg(values=pl.struct("metric", "value"))
    return values.sort(MEASURED_AT, descending=True, nulls_last=True).to_dicts()


def _horizon_rows(performance: pl.DataFrame) -> list[dict]:
    """Return per horizon how many labels are known and the realised values; nothing where there are not several."""
    realised = performance.filter(kind="realised", scope=BY_HORIZON)
    if realised.is_empty():
        return []
    by_horizon = realised.sort(HORIZON, "metric").group_by(HORIZON, "rows", "missing", maintain_order=True)
    rows = by_horizon.agg(values=pl.struct("metric", "value")).to_dicts()
    return [row | {"ahead": format_duration(timedelta(seconds=row[HORIZON]))} for row in rows]


def _record(before: pl.DataFrame | None, spec: MonitoringSpec) -> list[dict]:
    """Return per metric how far estimates of earlier periods were off: their number, the mean and the greatest
    error."""
    if before is None or before.is_empty():
        return []
    errors = past_errors(before, spec.min_chunk_rows).filter(scope="period")
    summary = errors.group_by("metric").agg(
        periods=pl.len(), mean=pl.col("error").mean(), greatest=pl.col("error").max(), last=pl.col("error").last()
    )
    return summary.sort("metric").to_dicts()


def _metric_rows(performance: pl.DataFrame) -> list[dict]:
    """Return per kind and metric the period's value, its band, its limit, and the values of the chunks in order."""
    ordered = performance.sort("chunk_start")
    chunks = (
        ordered.filter(scope="chunk")
        .group_by("kind", "metric")
        .agg(chunks=pl.struct("chunk_start", "rows", "value", "alert"))
    )
    period = ordered.filter(scope="period").drop("scope", "chunk_start", "chunk_end")
    return period.join(chunks, on=["kind", "metric"], how="left").sort("kind", "metric").to_dicts()
