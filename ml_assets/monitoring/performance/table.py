"""The table of performance: one row per scope, chunk and metric."""

from collections.abc import Sequence

import polars as pl

from ml_assets.monitoring.chunks import CHUNK, Chunks
from ml_assets.monitoring.performance.known_rows import DISTANCE, KNOWN_MEAN, UNKNOWN_MEAN
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.spines.spec import HORIZON

SCOPES = ("chunk", "period")
"""What a value is about: a chunk, or all rows taken as one."""

AHEAD = "__horizon__"
"""Column added to a frame: how far ahead the row looks, Int64 in seconds; null of a row that looks nowhere."""

BY_HORIZON = "horizon"
"""Scope of a value of the rows of one horizon, over the whole period: measured and shown, never alerted."""


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
    HORIZON: pl.Int64,
}

_OF_ALL = pl.lit(None, pl.Int64).alias(HORIZON)

_OF_LABELS = ("missing", "known_share", KNOWN_MEAN, UNKNOWN_MEAN, DISTANCE)


def chunk_spans(
    chunks: Chunks, numbered: pl.DataFrame, dtype: pl.DataType, horizons: Sequence[int] = ()
) -> pl.DataFrame:
    """Return every chunk, the whole period, and the whole period of each horizon, with its edges and its rows.

    Args:
        numbered: rows with CHUNK, and with AHEAD where there are horizons.
    """
    whole = chunks.whole(numbered, dtype)
    spans = [
        chunks.table(numbered, dtype).with_columns(_OF_ALL, scope=pl.lit("chunk")),
        whole.with_columns(_OF_ALL, scope=pl.lit("period")),
    ]
    for horizon in horizons:
        own = whole.with_columns(pl.lit(horizon, pl.Int64).alias(HORIZON), scope=pl.lit(BY_HORIZON))
        counted = numbered.filter(pl.col(AHEAD) == horizon).height
        spans.append(own.with_columns(rows=pl.lit(counted, pl.Int64)))
    return pl.concat(spans)


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
    if HORIZON not in values.columns:
        values = values.with_columns(_OF_ALL)
    limited = pl.col("scope") != BY_HORIZON
    alert = (pl.col("value") < below).fill_null(False) | (pl.col("value") > above).fill_null(False)
    return (
        spans.join(values.select("metric").unique(), how="cross")
        .join(values, on=[CHUNK, HORIZON, "metric"], how="left", nulls_equal=True)
        .with_columns(
            kind=pl.lit(kind),
            threshold=pl.when(limited).then(pl.coalesce(below, above)),
            alert=limited
            & alert
            & (measured_rows() >= spec.min_chunk_rows)
            & pl.col("matured").cast(pl.Boolean).fill_null(True),
        )
        .sort("scope", "metric", "chunk_start", HORIZON)
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
