"""Reports on periods like the reference's own, by which limits are learned and false alarms are counted.

The shares of a window's rows by bin deviate from the reference's as sums of blocks of days do that are weighed by
normal random numbers, the same for all features, so that these keep their dependence on one another (the multiplier
bootstrap: V. Chernozhukov, D. Chetverikov, K. Kato, Gaussian Approximations and Multiplier Bootstrap for Maxima of Sums
of High-Dimensional Random Vectors, Annals of Statistics 41, 2013; of blocks: P. Bühlmann, The Blockwise Bootstrap in
Time Series and Empirical Processes, 1993). Unlike windows that are drawn of the reference's days, such deviations may
be greater than any that the reference has. Their variance is that of a mean of so many days of a first-order
autoregression, of which blocks show a part.

How far they differ is then spread as a prediction from few blocks is: a variance that k blocks estimate is off by a
factor of (k - 1) / chi-squared of k - 1 degrees of freedom, which makes Student's t of the normal distribution (A. C.
Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 2.4). A statistic that adds up several
independent squares has as many times the degrees of freedom, twice its squared mean over its variance (F. E.
Satterthwaite, An Approximate Distribution of Estimates of Variance Components, Biometrics Bulletin 2, 1946).

A limit of the whole report is a common number of standard deviations above each statistic's mean, which the greatest of
all passes with the declared chance (P. H. Westfall, S. S. Young, Resampling-Based Multiple Testing, 1993).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np

from ml_assets.monitoring.drift.error_rates.blocks import (
    block_sums,
    choose_block_length,
    step_correlation,
    variance_of_mean,
)
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES, shares
from ml_assets.monitoring.drift.error_rates.stepwise_counts import BinnedFeatures, StepwiseCounts

RESAMPLES = 400
LEAST_STEPS = 5
"""Steps with rows below which a reference says nothing about chance."""
_OF_ROWS = 60
"""Draws of independent rows, of which only the mean is needed."""


@dataclass(frozen=True)
class ReportWindow:
    """What a report compares with the reference: a chunk, or the whole period.

    Attributes:
        steps: of the reference, as many as the window is long.
        rows: of the window.
    """

    length: timedelta
    rows: int


@dataclass(frozen=True)
class ReportLayout:
    """The windows of a report that may alert.

    Attributes:
        chunks: in their order; those of too few rows are left out of what may alert.
        least: rows from which a window may alert.
        of_period: statistics that are measured for the whole period too.
    """

    chunks: tuple[ReportWindow, ...]
    least: int
    of_period: tuple[str, ...] = ("psi",)

    @property
    def period(self) -> ReportWindow:
        return ReportWindow(sum((chunk.length for chunk in self.chunks), timedelta()), sum(c.rows for c in self.chunks))


Limits = Mapping[tuple[str, timedelta], np.ndarray]
"""Statistic and length of the window -> limit of each feature, as the drift table has it."""


@dataclass(frozen=True, eq=False)
class ResampledReports:
    """What reports on periods like the reference's own hold.

    Attributes:
        block: length of the blocks, in steps.
        blocks: how many of them the reference has.
        drawn: statistic and length of the window -> values, shape (resamples, windows, features), squared where
            ``DISTANCES`` compares squares; not yet spread.
        seed: of the spread.
    """

    block: int
    blocks: float
    drawn: Mapping[tuple[str, timedelta], np.ndarray]
    seed: int

    @cached_property
    def predicted(self) -> dict[tuple[str, timedelta], np.ndarray]:
        """Values as another period without drift may have them, shape (resamples, windows, features)."""
        rng = np.random.default_rng(self.seed)
        return {key: values * _spread(values, self.blocks, rng) for key, values in self.drawn.items()}

    def limits(self, chance: float) -> Limits:
        """Return limits that any value of a report passes with a chance."""
        about = {key: _moments(values) for key, values in self.drawn.items()}
        highest = np.max(
            [((values - about[key][0]) / about[key][1]).max(axis=(1, 2)) for key, values in self.predicted.items()],
            axis=0,
        )
        # As many of the draws and what is to come stay within as the chance says.
        rank = min(math.ceil((1 - chance) * (len(highest) + 1)), len(highest)) - 1
        passed = np.sort(highest)[rank]
        return {
            key: DISTANCES[key[0]].shown(np.maximum(mean + passed * np.where(np.isinf(off), 0, off), 0))
            for key, (mean, off) in about.items()
        }

    def alarms(self, limits: Mapping[str, float] | Limits) -> np.ndarray:
        """Return how many values of each resampled report pass their limits, shape (resamples,).

        Args:
            limits: by statistic, the same for all its features, or as ``limits`` gives them. A statistic without any
                is left out.
        """
        found = np.zeros(len(next(iter(self.drawn.values()))), np.int64)
        for key, values in self.predicted.items():
            limit = limits.get(key, limits.get(key[0]))  # pyright: ignore[reportArgumentType, reportCallIssue]
            if limit is not None:
                found += (values > DISTANCES[key[0]].compared(np.asarray(limit))).sum(axis=(1, 2))
        return found


def _spread(values: np.ndarray, blocks: float, rng: np.random.Generator) -> np.ndarray:
    """Return by what the variance of each feature may be off, shape (resamples, 1, features)."""
    mean, off = _moments(values)
    freedom = (blocks - 1) * np.clip(2 * np.square(mean / off), 1, 1e6)
    return freedom / rng.chisquare(freedom, (len(values), 1, values.shape[2]))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each feature; infinite where nothing varies."""
    off = values.std(axis=(0, 1))
    return values.mean(axis=(0, 1)), np.where(off > 0, off, np.inf)


def resample_reports(
    counts: StepwiseCounts,
    layout: ReportLayout,
    *,
    floor: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
    block: int | None = None,
) -> ResampledReports:
    """Draw reports on periods like the reference's own.

    Args:
        floor: least share of rows that a bin of PSI counts with.
        block: length of the blocks, in steps; by default chosen from the mean ranks of the features in each step.

    Raises:
        ValueError: the reference has fewer than ``LEAST_STEPS`` steps with rows.
    """
    steps = len(counts.rows)
    if steps < LEAST_STEPS:
        raise ValueError(f"the reference spans {steps} days with rows: chance needs at least {LEAST_STEPS}")
    rng = np.random.default_rng(seed)
    correlation = {name: step_correlation(binned.ranks) for name, binned in counts.binned.items()}
    block = block or choose_block_length(np.concatenate([*correlation.values()]), steps)
    # The same weights for all statistics: those of each chunk, and of the reference.
    weights = [rng.standard_normal((resamples, steps)) / math.sqrt(steps) for _ in (*layout.chunks, None)]
    drawn: dict[tuple[str, timedelta], np.ndarray] = {}
    for name, binned in counts.binned.items():
        deviations = _Deviations(counts, binned, correlation[name], block, rng)
        own = deviations.of_reference(weights[-1])
        windows = [(c, deviations.of_window(w, c)) for c, w in zip(layout.chunks, weights[:-1], strict=True)]
        if name in layout.of_period and len(windows) > 1:
            together = np.sum(weights[:-1], axis=0) / math.sqrt(len(windows))
            windows.append((layout.period, deviations.of_window(together, layout.period)))
        for length in dict.fromkeys(window.length for window, _ in windows if window.rows >= layout.least):
            alike = [(w, off) for w, off in windows if w.length == length and w.rows >= layout.least]
            rows = np.mean([window.rows for window, _ in alike])
            values = np.stack([deviations.compare(name, off - own, float(rows)) for _, off in alike], axis=1)
            drawn[name, length] = values * deviations.beyond_near(name, float(rows), floor)
    return ResampledReports(block, max(2.0, steps / block), drawn, seed)


@dataclass(frozen=True, eq=False)
class _Deviations:
    """How shares of rows by bin deviate in windows of the reference's kind."""

    counts: StepwiseCounts
    binned: BinnedFeatures
    correlation: np.ndarray
    block: int
    rng: np.random.Generator

    @cached_property
    def whole(self) -> np.ndarray:
        return self.binned.counts.sum(axis=0)

    @cached_property
    def shares(self) -> np.ndarray:
        return shares(self.whole, self.binned.starts)

    @cached_property
    def sums(self) -> np.ndarray:
        """Sums of blocks of what each step adds to the deviation, of variance 1 a step, shape (steps, bins)."""
        rows = self._by_bin(np.add.reduceat(self.binned.counts, self.binned.starts, axis=1))
        mean = np.where(rows.mean(axis=0) > 0, rows.mean(axis=0), 1)
        sums = block_sums((self.binned.counts - rows * self.shares) / mean, self.block)
        steps = len(self.counts.rows)
        shown = self.block * (
            variance_of_mean(self.correlation, self.block) - variance_of_mean(self.correlation, steps)
        )
        return sums / self._by_bin(np.sqrt(shown))

    def _by_bin(self, of_features: np.ndarray) -> np.ndarray:
        widths = np.diff(np.r_[self.binned.starts, len(self.whole)])
        return np.repeat(of_features, widths, axis=-1)

    def of_reference(self, weights: np.ndarray) -> np.ndarray:
        return self._of_steps(weights, len(self.counts.rows))

    def of_window(self, weights: np.ndarray, window: ReportWindow) -> np.ndarray:
        """Return deviations, shape (resamples, bins), with the noise of fewer rows than the reference's days have."""
        steps = self.counts.steps_of(window.length)
        off = self._of_steps(weights, steps)
        fewer = 1 / max(window.rows, 1) - 1 / (steps * self.counts.rows.mean())
        if fewer <= 0:
            return off
        noise = self.rng.standard_normal(off.shape) * np.sqrt(self.shares * fewer)
        # Deviations of a feature add up to 0.
        return off + noise - self.shares * self._by_bin(np.add.reduceat(noise, self.binned.starts, axis=1))

    def _of_steps(self, weights: np.ndarray, steps: int) -> np.ndarray:
        # Not by BLAS, whose threads wait for one another longer than this takes.
        return np.einsum("rs,sb->rb", weights, self.sums) * self._by_bin(
            np.sqrt(variance_of_mean(self.correlation, steps))
        )

    def compare(self, name: str, off: np.ndarray, rows: float) -> np.ndarray:
        return DISTANCES[name].of_deviations(off, self.shares, self.binned.starts, self._harmonic(rows))

    def _harmonic(self, rows: float) -> float:
        reference = float(self.counts.rows.sum())
        return reference * rows / (reference + rows)

    def beyond_near(self, name: str, rows: float, floor: float) -> np.ndarray:
        """Return by what factor rare bins take the statistic beyond what it tends to, at least 1, shape (features,)."""
        size = _OF_ROWS, len(self.whole)
        expected, actual = self.rng.poisson(self.whole, size), self.rng.poisson(self.shares * rows, size)
        starts = self.binned.starts
        real = DISTANCES[name].of_counts(expected, actual, starts, floor).mean(axis=0)
        near = self.compare(name, shares(actual, starts) - shares(expected, starts), rows).mean(axis=0)
        return np.maximum(np.where(near > 0, real / np.where(near > 0, near, 1), 1), 1)
