"""The profile of a column of numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from ml_assets.profiles.columns import sorted_values
from ml_assets.profiles.cuts import is_first
from ml_assets.profiles.distinct import Distinct
from ml_assets.profiles.encoding import Reader, Writer
from ml_assets.profiles.grid import NumberGrid
from ml_assets.profiles.moments import CentralMoments

MOST_DISTINCT = 192
"""Different numbers that are counted exactly; of more the number is estimated, within 7 % as a rule."""


@dataclass(frozen=True, eq=False)
class NumberProfile:
    """What the numbers of some rows were like.

    Attributes:
        grid: digest of the column's grid.
        rows: all of them.
        missing: rows whose value is null.
        nan: rows whose value is not a number.
        infinite: rows whose value is infinite; they are in ``counts``, and not in what follows it.
        counts: rows by bin of the grid, int64 of shape (cuts + 1,).
        low, high: least and greatest finite value; None without one, and of a private column.
        moments: of the finite values; None of a private column.
        distinct: different values, infinite ones included; None of a private column.
    """

    kind: ClassVar[str] = "number"

    grid: bytes
    rows: int
    missing: int
    nan: int
    infinite: int
    counts: np.ndarray
    low: float | None
    high: float | None
    moments: CentralMoments | None
    distinct: Distinct | None

    @classmethod
    def of(cls, column: pl.Series, grid: NumberGrid) -> "NumberProfile":
        """Count the rows of a column."""
        ordered, missing, nan = sorted_values(column)
        ends = np.searchsorted(ordered, grid.cuts, "right")
        counts = np.empty(len(ends) + 1, np.int64)
        counts[:-1], counts[-1] = ends, ordered.size
        counts[1:] -= ends
        finite = ordered
        if ordered.size and np.isinf(ordered[[0, -1]]).any():
            finite = ordered[np.searchsorted(ordered, -np.inf, "right") : np.searchsorted(ordered, np.inf, "left")]
        infinite = ordered.size - finite.size
        sized = (grid.digest, len(column), missing, nan, infinite, counts)
        if grid.private:
            return cls(*sized, None, None, None, None)
        low, high = (float(finite[0]), float(finite[-1])) if finite.size else (None, None)
        return cls(*sized, low, high, CentralMoments.of(finite), Distinct.of(ordered[is_first(ordered)], MOST_DISTINCT))

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing - self.nan

    @property
    def private(self) -> bool:
        """Whether the column's values are kept nowhere in here."""
        return self.moments is None

    def merge(self, other: "NumberProfile") -> "NumberProfile":
        """Return the profile of both sets of rows together."""
        return NumberProfile(
            self.grid,
            self.rows + other.rows,
            self.missing + other.missing,
            self.nan + other.nan,
            self.infinite + other.infinite,
            self.counts + other.counts,
            _either(min, self.low, other.low),
            _either(max, self.high, other.high),
            None if self.moments is None or other.moments is None else self.moments.merge(other.moments),
            None if self.distinct is None or other.distinct is None else self.distinct.merge(other.distinct),
        )

    def write(self, to: Writer) -> None:
        """Write all of it."""
        to.raw(self.grid)
        to.raw(bytes([self.private, self.low is not None]))
        to.counts(np.array([self.rows, self.missing, self.nan, self.infinite]))
        to.counts(self.counts)
        if self.moments is None or self.distinct is None:
            return
        moments = self.moments
        to.floats(moments.mean, moments.second, moments.third, moments.fourth)
        to.counts(self.distinct.hashes)
        if self.low is not None and self.high is not None:
            to.floats(self.low, self.high)

    @classmethod
    def read(cls, of: Reader) -> "NumberProfile":
        """Read what ``write`` has written."""
        grid, (private, bounded) = of.raw(8), of.raw(2)
        rows, missing, nan, infinite = of.counts().tolist()
        sized = (grid, rows, missing, nan, infinite, of.counts())
        if private:
            return cls(*sized, None, None, None, None)
        moments = CentralMoments(rows - missing - nan - infinite, *of.floats(4))
        distinct = Distinct(of.counts().astype(np.uint64), MOST_DISTINCT)
        low, high = of.floats(2) if bounded else (None, None)
        return cls(*sized, low, high, moments, distinct)


def _either(choose: Callable[[float, float], float], one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return choose(one, other)
