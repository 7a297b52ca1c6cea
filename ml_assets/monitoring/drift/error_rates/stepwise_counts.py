"""Rows of a reference by day and bin: all that resampled chunks of it need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.monitoring.drift.error_rates.distances import DISTANCES
from ml_assets.monitoring.inputs import Features
from ml_assets.profiles.cuts import quantile_breaks

FINE_BINS = 50
"""Quantile bins by which distribution functions are compared."""
DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class BinnedFeatures:
    """Rows by step and bin of the features that one statistic compares, bins side by side.

    Attributes:
        counts: float64, shape (steps, bins).
        starts: the first bin of each feature.
    """

    features: tuple[str, ...]
    counts: np.ndarray
    starts: np.ndarray

    @classmethod
    def beside(cls, parts: Mapping[str, np.ndarray]) -> "BinnedFeatures":
        """Put the counts of features, shape (steps, its bins), side by side."""
        widths = [part.shape[1] for part in parts.values()]
        starts = np.r_[0, np.cumsum(widths)[:-1]].astype(np.int64)
        return cls(tuple(parts), np.concatenate(list(parts.values()), axis=1).astype(np.float64), starts)

    @property
    def ranks(self) -> np.ndarray:
        """Return the mean rank of each feature's rows in each step, 0 to 1, shape (steps, features)."""
        totals = self.counts.sum(axis=0)
        widths = np.diff(np.r_[self.starts, len(totals)])
        before = np.cumsum(totals) - totals
        first = np.repeat(before[self.starts], widths)
        whole = np.repeat(np.maximum(np.add.reduceat(totals, self.starts), 1), widths)
        middle = (before - first + totals / 2) / whole
        rows = np.add.reduceat(self.counts, self.starts, axis=1)
        return np.add.reduceat(self.counts * middle, self.starts, axis=1) / np.maximum(rows, 1)


@dataclass(frozen=True, eq=False)
class StepwiseCounts:
    """A reference by steps: days, or chunks where these are shorter.

    Attributes:
        step: length of one.
        rows: of each step that has any, in the order of time, shape (steps,).
        filled: share of the steps between the first and the last that have rows.
        binned: statistic -> its features' rows by step and bin.
    """

    step: timedelta
    rows: np.ndarray
    filled: float
    binned: Mapping[str, BinnedFeatures]

    def steps_of(self, length: timedelta) -> int:
        """Return how many steps with rows a window of a length has."""
        return max(1, round(length / self.step * self.filled))


def count_steps(
    reference: pl.DataFrame,
    features: Features,
    *,
    time: str,
    chunk: timedelta,
    bins: int,
    statistics: Mapping[str, Sequence[str]],
) -> StepwiseCounts:
    """Count the rows of a reference by step and bin.

    Args:
        reference: ``time`` and features as ``inputs.plain`` gives them.
        chunk: length of the windows that will be compared with it.
        bins: quantile bins of PSI.
        statistics: name -> the features that it compares; those that counts do not determine are left out.
    """
    step = min(DAY, chunk)
    every = f"{round(step.total_seconds() * 1e6)}us"
    start = reference[time].dt.truncate(every)
    number = start.rank("dense").to_numpy().astype(np.int64) - 1
    steps = int(number.max()) + 1
    between = round((start.max() - start.min()) / step) + 1  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    counted = _Counting(reference, features, number, steps, bins)
    wanted = {
        name: {feature: counts for feature in of if (counts := counted.of(name, feature)) is not None}
        for name, of in statistics.items()
        if name in DISTANCES
    }
    binned = {name: BinnedFeatures.beside(parts) for name, parts in wanted.items() if parts}
    return StepwiseCounts(step, np.bincount(number, minlength=steps), min(1.0, steps / between), binned)


class _Counting:
    def __init__(self, reference: pl.DataFrame, features: Features, number: np.ndarray, steps: int, bins: int) -> None:
        self._reference, self._number, self._steps, self._bins = reference, number, steps, bins
        self._text = set(features.text)
        self._kept: dict[tuple[str, str], np.ndarray | None] = {}

    def of(self, statistic: str, feature: str) -> np.ndarray | None:
        """Return rows by step and bin; None of a feature without values, for statistics that leave out nulls."""
        how = self._how(statistic, feature)
        key = feature, how.__name__
        if key not in self._kept:
            self._kept[key] = how(self._reference[feature])
        return self._kept[key]

    def _how(self, statistic: str, feature: str) -> Callable[[pl.Series], np.ndarray | None]:
        if statistic == "psi":
            return self._categories_and_nulls if feature in self._text else self._quantiles
        if feature in self._text:
            return self._categories
        return self._fine if statistic == "kolmogorov_smirnov" else self._widths

    def _quantiles(self, values: pl.Series) -> np.ndarray:
        return self._by_breaks(values, quantile_breaks(_ordered(values), self._bins))

    def _fine(self, values: pl.Series) -> np.ndarray | None:
        ordered = _ordered(values)
        return self._by_breaks(values, quantile_breaks(ordered, FINE_BINS))[:, :-1] if ordered.size else None

    def _widths(self, values: pl.Series) -> np.ndarray | None:
        known = values.drop_nulls().to_numpy()
        if not known.size or not np.isfinite(known).all():
            return None
        inner = np.histogram_bin_edges(known, bins="doane")[1:-1]
        return self._by_breaks(values, np.nextafter(inner, -np.inf))[:, :-1]

    def _by_breaks(self, values: pl.Series, breaks: np.ndarray) -> np.ndarray:
        """Return rows by bins that are closed on the right, and of nulls."""
        numbers = values.to_numpy()
        codes = np.searchsorted(breaks, numbers, "left")
        codes[np.isnan(numbers)] = len(breaks) + 1
        return self._count(codes, len(breaks) + 2)

    def _categories_and_nulls(self, values: pl.Series) -> np.ndarray:
        categories = values.drop_nulls().unique().sort()
        codes = values.cast(pl.Enum(categories)).to_physical().cast(pl.Int64).fill_null(len(categories)).to_numpy()
        return self._count(codes, len(categories) + 1)

    def _categories(self, values: pl.Series) -> np.ndarray | None:
        return None if values.null_count() == len(values) else self._categories_and_nulls(values)[:, :-1]

    def _count(self, codes: np.ndarray, bins: int) -> np.ndarray:
        joint = self._number * bins + codes
        return np.bincount(joint, minlength=self._steps * bins).reshape(self._steps, bins)


def _ordered(values: pl.Series) -> np.ndarray:
    return np.sort(values.drop_nulls().to_numpy())
