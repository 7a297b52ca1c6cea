"""Columns cut into items: categories, quantile bins of the reference, and missing values."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from ml_assets.diagnosis.rows import ComparedRows
from ml_assets.diagnosis.slices.condition import Condition
from ml_assets.monitoring.drift.statistics.psi import quantile_breaks
from ml_assets.quality.private import masked

BINS = 5
"""Quantile bins of a numeric column's reference."""

Slice = tuple[int, ...]
"""One item or two, by position."""


@dataclass(frozen=True)
class Items:
    """Items of all columns, and which of them each row has.

    Attributes:
        conditions: of each item.
        column: number of each item's column, shape (items,); those of declared slices come first.
        declared: how many columns are declared slices.
        reference: item of each row and column, int32 of shape (rows, columns); -1 for an item that is not looked at.
        current: the same of the later rows.
        rare: how many items were left out, as too few rows have them.
    """

    conditions: tuple[Condition, ...]
    column: np.ndarray
    declared: int
    reference: np.ndarray
    current: np.ndarray
    rare: int

    def masks(self, which: Slice) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows of the reference and of the later period belong to a slice."""
        both = []
        for codes in (self.reference, self.current):
            mask = np.ones(len(codes), bool)
            for item in which:
                mask &= codes[:, self.column[item]] == item
            both.append(mask)
        return both[0], both[1]

    def is_declared(self, which: Slice) -> bool:
        """Return whether a slice is made of declared columns alone."""
        return all(self.column[item] < self.declared for item in which)


def cut_items(rows: ComparedRows, least: int, bins: int = BINS, private: Set[str] = frozenset()) -> Items:
    """Cut every column into items that at least ``least`` of the later rows have.

    Numbers are cut at the reference's quantiles, as the population stability index cuts them: a value that fills a
    whole bin is an item by itself.

    Args:
        private: columns whose values are shown to nobody: their categories and bins are numbered.
    """
    conditions: list[Condition] = []
    columns: list[int] = []
    coded: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    rare = 0
    for number, name in enumerate(rows.columns):
        before, now = rows.reference.frame[name], rows.current.frame[name]
        of_column, codes = _text(before, now) if before.dtype == pl.String else _numbers(before, now, bins)
        of_column = _numbered(of_column) if name in private else of_column
        counts = np.bincount(codes[1], minlength=len(of_column))
        kept = np.flatnonzero(counts >= least)
        rare += int(np.count_nonzero((counts > 0) & (counts < least)))
        place = np.full(len(of_column), -1, np.int32)
        place[kept] = len(conditions) + np.arange(len(kept))
        for into, of_rows in zip(coded, codes, strict=True):
            into.append(place[of_rows])
        conditions += [of_column[at] for at in kept]
        columns += [number] * len(kept)
    return Items(
        tuple(conditions),
        np.array(columns, np.int64),
        len(rows.slices),
        np.stack(coded[0], axis=1) if coded[0] else np.zeros((rows.reference.rows, 0), np.int32),
        np.stack(coded[1], axis=1) if coded[1] else np.zeros((rows.current.rows, 0), np.int32),
        rare,
    )


def _numbered(conditions: Sequence[Condition]) -> list[Condition]:
    """Return conditions that name neither a category nor the end of a bin."""
    stands_for = masked(str(place) for place in range(len(conditions)))
    return [
        each if each.missing else Condition(column=each.column, value=stands_for[str(place)])
        for place, each in enumerate(conditions)
    ]


def _text(before: pl.Series, now: pl.Series) -> tuple[list[Condition], list[np.ndarray]]:
    categories = pl.concat([before, now]).drop_nulls().unique().sort()
    named = [Condition(column=before.name, value=value) for value in categories]
    of = pl.Enum(categories)
    codes = [column.cast(of).to_physical().cast(pl.Int64).fill_null(len(named)).to_numpy() for column in (before, now)]
    return [*named, Condition(column=before.name, missing=True)], codes


def _numbers(before: pl.Series, now: pl.Series, bins: int) -> tuple[list[Condition], list[np.ndarray]]:
    breaks = quantile_breaks(before, bins)
    named = ranges(before.name, breaks)
    codes = []
    for column in (before, now):
        missing = column.is_null().to_numpy()
        place = np.searchsorted(np.array(breaks), column.fill_null(0.0).to_numpy(), side="left")
        codes.append(np.where(missing, len(named), place))
    return [*named, Condition(column=before.name, missing=True)], codes


def ranges(name: str, breaks: Sequence[float]) -> list[Condition]:
    """Return the bins between inner edges: bin i holds ``breaks[i - 1] < value <= breaks[i]``."""
    ends = [None, *breaks, None]
    return [Condition(column=name, above=low, up_to=high) for low, high in pairwise(ends)]
