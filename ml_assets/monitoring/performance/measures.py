"""Measures of one drop at several moments: the performance report keeps each, and readers take one of them."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

import polars as pl

MEASURED_AT = "measured_at"
"""Column of a performance report: the moment of the data by which labels were known; null stands for the drop's end."""

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_MOMENT = pl.Datetime("us", "UTC")


def newest_measures(report: pl.LazyFrame, partition: str, as_of: datetime | None = None) -> pl.LazyFrame:
    """Return, of each drop, the newest estimate and the newest realised performance.

    Args:
        report: a performance report, also one from before a drop was measured more than once.
        partition: column that names the drop.
        as_of: measures of later moments are not looked at; None takes all.
    """
    report = with_moments(report)
    moment = pl.col(MEASURED_AT).fill_null(_FIRST)
    if as_of is not None:
        report = report.filter(moment <= as_of)
    return report.filter(moment == moment.max().over(partition, "kind"))


def with_moments(report: pl.LazyFrame) -> pl.LazyFrame:
    """Return a report with the moment of each measure, null in one from before these were kept."""
    if MEASURED_AT in report.collect_schema():
        return report
    return report.with_columns(pl.lit(None, _MOMENT).alias(MEASURED_AT))


def add_measures(
    stored: pl.DataFrame,
    new: pl.DataFrame,
    made: Collection[tuple[str, datetime]],
    partition: str,
    end_of: Callable[[str], datetime],
) -> pl.DataFrame:
    """Add new measures to the stored ones of the same drops; only those of the same drop and moment are replaced.

    Args:
        made: drop and moment of every new measure, also of one without rows.
        end_of: returns the end of a drop, which a stored measure without a moment was made at.
    """
    ends = {drop: end_of(drop) for drop in stored[partition].unique()}
    at_end = pl.col(partition).replace_strict(ends, return_dtype=_MOMENT) if ends else pl.lit(None, _MOMENT)
    stored = with_moments(stored.lazy()).collect().with_columns(pl.col(MEASURED_AT).fill_null(at_end))
    replaced = pl.DataFrame(list(made), schema={partition: pl.String, MEASURED_AT: _MOMENT}, orient="row")
    kept = stored.join(replaced, on=[partition, MEASURED_AT], how="anti", maintain_order="left")
    return pl.concat([kept, new], how="diagonal_relaxed")
