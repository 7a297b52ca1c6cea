"""Ranges of time that hold few enough rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Extent:
    """How many rows a frame has, how many lack a time, and the first and last time; None without rows."""

    rows: int
    missing: int
    first: datetime | None
    last: datetime | None

    @classmethod
    def of(cls, frame: pl.LazyFrame, time: str) -> "Extent":
        """Measure a frame by its column of times, in one pass."""
        times = pl.col(time)
        extent = frame.select(
            pl.len(), times.null_count().alias("missing"), times.min().alias("first"), times.max().alias("last")
        )
        return cls(*extent.collect(engine="streaming").row(0))

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """First and last time; None without rows."""
        return None if self.first is None or self.last is None else (self.first, self.last)


def time_ranges(sides: list[tuple[pl.LazyFrame, str]], rows_in_memory: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield the first and last moment of ranges, in order, that cover all rows: halved until they are small or one
    moment.

    Args:
        sides: frames, each with the column of its moments.
    """

    def divide(first: datetime | None, last: datetime | None) -> Iterator[tuple[datetime, datetime]]:
        inside = True if first is None else pl.col("moment").is_between(first, last)
        extents = [Extent.of(side.select(moment=column).filter(inside), "moment") for side, column in sides]
        if not (spans := [extent.span for extent in extents if extent.span]):
            return
        first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
        if first == last or sum(extent.rows for extent in extents) <= rows_in_memory:
            yield first, last
        else:
            middle = first + (last - first) // 2
            yield from divide(first, middle)
            yield from divide(middle + _MICROSECOND, last)

    yield from divide(None, None)
