"""Where the values of columns are counted, learned once from a reference."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from ml_assets.profiles.columns import kind_of, sorted_values
from ml_assets.profiles.cuts import MOST_CUTS, MOST_QUANTILES, below, doane_edges, fine_cuts, quantile_breaks

MOST_CATEGORIES = 400
"""Categories of a text column that have a count of their own, the most frequent of the reference."""


@dataclass(frozen=True, eq=False)
class NumberGrid:
    """Cuts of a column of numbers, ascending: bin i is (cuts[i - 1], cuts[i]], the last one all above.

    Attributes:
        cuts: float64, at most ``MOST_CUTS``.
        breaks: the places in ``cuts`` of the reference's quantiles, as the population stability index bins by them.
        widths: the places of the ends of bins of equal width (Doane's), what lies below the first included; None where
            the reference could not be cut so.
        why_not: why it could not; "" where it could, or has no value.
        private: whether profiles keep no value of the column.
    """

    cuts: np.ndarray
    breaks: np.ndarray
    widths: np.ndarray | None
    why_not: str = ""
    private: bool = False

    @classmethod
    def of(cls, ordered: np.ndarray, quantiles: int, *, private: bool = False) -> "NumberGrid":
        """Learn from values, float64 ascending without NaN."""
        breaks = quantile_breaks(ordered, quantiles)
        try:
            edges = doane_edges(ordered)
            infinite = int(np.isinf(ordered).sum()) if edges is None else 0
            why_not = f"{infinite} of its values are infinite" if infinite else ""
        except ValueError as error:
            edges, why_not = None, str(error)
        widths = np.empty(0) if edges is None else below(edges)
        own = np.union1d(breaks, widths)
        cuts = np.union1d(own, fine_cuts(ordered, MOST_CUTS - own.size)) + 0.0  # of -0.0 and 0.0 the same one always
        return cls(
            cuts,
            np.searchsorted(cuts, breaks),
            None if edges is None else np.searchsorted(cuts, widths),
            why_not,
            private,
        )

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that tell this grid from others."""
        return hashlib.sha256(b"number%d" % self.private + self.cuts.tobytes()).digest()[:8]


@dataclass(frozen=True, eq=False)
class TextGrid:
    """Categories of a text column that have a count of their own, most frequent first."""

    categories: tuple[str, ...]
    private: bool = False

    @classmethod
    def of(cls, column: pl.Series, *, private: bool = False) -> "TextGrid":
        """Learn from a column of text."""
        counts = column.drop_nulls().cast(pl.String).alias("value").value_counts(name="rows")
        frequent = counts.sort("rows", "value", descending=[True, False]).head(MOST_CATEGORIES)
        return cls(tuple(frequent["value"]), private)

    @cached_property
    def type(self) -> pl.Enum:
        """The categories as a type, the code of each its place."""
        return pl.Enum(self.categories)

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that tell this grid from others."""
        digest = hashlib.sha256(b"text%d" % self.private)
        for category in self.categories:
            digest.update(hashlib.sha256(category.encode()).digest())
        return digest.digest()[:8]


@dataclass(frozen=True)
class Grid:
    """Where the values of each column are counted.

    A grid holds values of its reference (cuts and categories), those of private columns too: it stays where the
    reference is. Profiles do not hold it, but name it by a digest.
    """

    columns: Mapping[str, NumberGrid | TextGrid] = field(default_factory=dict)

    @classmethod
    def of(cls, reference: pl.DataFrame, *, quantiles: int = 10, private: Collection[str] = ()) -> "Grid":
        """Learn a grid from the rows of a reference.

        Args:
            reference: columns of numbers, moments or text; null and NaN are left out.
            quantiles: bins of the population stability index, 2 to ``MOST_QUANTILES``.
            private: columns of whose values profiles keep none.

        Raises:
            TypeError: a column is neither number, moment nor text.
            ValueError: there is no private column of a name, or ``quantiles`` is out of its bounds.
        """
        if not 2 <= quantiles <= MOST_QUANTILES:
            raise ValueError(f"quantiles: {quantiles} is not between 2 and {MOST_QUANTILES}")
        if unknown := sorted({*private} - {*reference.columns}):
            raise ValueError(f"private: {', '.join(unknown)} is no column; there are {', '.join(reference.columns)}")
        return cls(
            {
                column.name: NumberGrid.of(sorted_values(column)[0], quantiles, private=column.name in private)
                if kind_of(column.name, column.dtype) == "number"
                else TextGrid.of(column, private=column.name in private)
                for column in reference
            }
        )
