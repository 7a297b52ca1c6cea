"""The table of performance: one row per scope, chunk and metric."""

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Chunks
from ml_assets.monitoring.performance.known_rows import DISTANCE, KNOWN_MEAN, UNKNOWN_MEAN
from ml_assets.monitoring.spec import MonitoringSpec

SCOPES = ("chunk", "period")


def no_performance(moment: pl.DataType) -> pl.DataFrame:
    """Return the table of a period without scored rows; ``moment`` is the type of their time."""
    chunk = pl.Datetime("us", getattr(moment, "time_zone", None))
    return pl.DataFrame(schema={"chunk_start": chunk, "chunk_end": chunk, **_TYPES})


WITHOUT_PAYOFF = "without_payoff"
"""Column with the rows that the metric value leaves out, as a payoff of theirs is not known."""

_TYPES = {
    "rows": pl.Int64,
    "scope": pl.String,
    "kind": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "threshold": pl.Float64,
    "missing": pl.Int64,
    "known_share": pl.Float64,
    KNOWN_MEAN: pl.Float64,
    UNKNOWN_MEAN: pl.Float64,
    DISTANCE: pl.Float64,
    WITHOUT_PAYOFF: pl.Int64,
    "past_errors": pl.Int64,
    "margin": pl.Float64,
    "alert": pl.Boolean,
}

_OF_LABELS = ("missing", "known_share", KNOWN_MEAN, UNKNOWN_MEAN, DISTANCE)


def chunk_spans(chunks: Chunks, numbered: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    """Return every chunk, and the whole period, with its edges and its rows."""
    return pl.concat(
        [
            chunks.table(numbered, dtype).with_columns(scope=pl.lit("chunk")),
            chunks.whole(numbered, dtype).with_columns(scope=pl.lit("period")),
        ]
    )


def performance_table(
    values: pl.DataFrame,
    spans: pl.DataFrame,
    kind: str,
    spec: MonitoringSpec,
    more_floors: dict[str, float] | None = None,
) -> pl.DataFrame:
    """Add times, rows, thresholds and alerts; a chunk without rows has null values.

    Args:
        spans: what ``chunk_spans`` returned; of realised performance also what is known of labels, and in ``matured``
            whether a chunk may alert.
    """
    below, above = (_limit(limits) for limits in (spec.floors | (more_floors or {}), spec.ceilings))
    unknown = [name for name in (*_OF_LABELS, "matured") if name not in spans.columns]
    spans = spans.with_columns(pl.lit(None).alias(name) for name in unknown)
    values = with_unpaid(values)
    alert = (pl.col("value") < below).fill_null(False) | (pl.col("value") > above).fill_null(False)
    return (
        spans.join(values.select("metric").unique(), how="cross")
        .join(values, on=[CHUNK, "metric"], how="left", nulls_equal=True)
        .with_columns(
            kind=pl.lit(kind),
            threshold=pl.coalesce(below, above),
            alert=alert & (measured_rows() >= spec.min_chunk_rows) & pl.col("matured").cast(pl.Boolean).fill_null(True),
        )
        .sort("scope", "metric", "chunk_start")
        .select("chunk_start", "chunk_end", *_TYPES)
        .cast({name: _TYPES[name] for name in _OF_LABELS})
    )


def with_unpaid(performance: pl.DataFrame) -> pl.DataFrame:
    """Return performance with WITHOUT_PAYOFF, null in reports from before it was counted."""
    if WITHOUT_PAYOFF in performance.columns:
        return performance
    return performance.with_columns(pl.lit(None, pl.Int64).alias(WITHOUT_PAYOFF))


def measured_rows() -> pl.Expr:
    """Return how many rows a value was measured on."""
    return pl.col("rows") - pl.col(WITHOUT_PAYOFF).fill_null(0)


def _limit(limits: dict[str, float]) -> pl.Expr:
    return pl.col("metric").replace_strict(list(limits), list(limits.values()), default=None, return_dtype=pl.Float64)
