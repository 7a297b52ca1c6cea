"""Drift statistics from counts of rows by bin, of many samples and features at once.

Bins of all features lie side by side along the last axis; ``starts`` has the first bin of each feature. What is
compared is squared where a statistic is a difference of shares or the root of a divergence, so that without drift every
one of them goes with the square of noise: PSI, chi-squared and eight times the squares of Jensen-Shannon (in nats) and
Hellinger times nm / (n + m) all tend to a chi-squared distribution (B. Yurdakul, Statistical Properties of Population
Stability Index, 2018; F. Liese, I. Vajda, On Divergences and Informations in Statistics and Information Theory, IEEE
Transactions on Information Theory 52, 2006).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Compare = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""Counts of the reference and of the sample, shape (..., bins), starts, floor -> shape (..., features)."""

Deviate = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""Deviations of shares, shape (..., bins), shares, starts, rows nm / (n + m) -> shape (..., features)."""


@dataclass(frozen=True)
class BinnedDistance:
    """A statistic of counts.

    Attributes:
        of_counts: gives the statistic as the drift table has it, or its square where ``squared``.
        of_deviations: gives what that tends to where shares deviate little.
        squared: whether the drift table has the root.
    """

    of_counts: Compare
    of_deviations: Deviate
    squared: bool

    def shown(self, compared: np.ndarray) -> np.ndarray:
        """Return values of ``of_counts`` as the drift table has them."""
        return np.sqrt(compared) if self.squared else compared

    def compared(self, shown: np.ndarray) -> np.ndarray:
        """Return values of the drift table as ``of_counts`` gives them."""
        return np.square(shown) if self.squared else shown


def shares(counts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return each feature's counts as shares of its rows; 0 where it has none."""
    totals = np.add.reduceat(counts, starts, axis=-1)
    return counts / np.repeat(np.maximum(totals, 1), _widths(counts, starts), axis=-1)


def _widths(counts: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.diff(np.r_[starts, counts.shape[-1]])


def _psi(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:
    e, a = (np.maximum(shares(counts, starts), floor) for counts in (expected, actual))
    return np.add.reduceat((a - e) * (np.log(a) - np.log(e)), starts, axis=-1)


def _jensen_shannon(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:  # noqa: ARG001
    e, a = shares(expected, starts), shares(actual, starts)
    middle = (e + a) / 2
    bits = (_entropy(e) + _entropy(a)) / 2 - _entropy(middle)
    return np.maximum(np.add.reduceat(bits, starts, axis=-1), 0)


def _entropy(share: np.ndarray) -> np.ndarray:
    return share * np.log2(np.where(share > 0, share, 1))


def _hellinger(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:  # noqa: ARG001
    off = np.sqrt(shares(expected, starts)) - np.sqrt(shares(actual, starts))
    return np.add.reduceat(np.square(off), starts, axis=-1) / 2


def _kolmogorov_smirnov(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:  # noqa: ARG001
    # The differences of a feature add up to 0, so that the running sum begins anew at each.
    off = np.cumsum(shares(actual, starts) - shares(expected, starts), axis=-1)
    return np.square(np.maximum.reduceat(np.abs(off), starts, axis=-1))


def _l_infinity(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:  # noqa: ARG001
    off = np.abs(shares(actual, starts) - shares(expected, starts))
    return np.square(np.maximum.reduceat(off, starts, axis=-1))


def _chi2(expected: np.ndarray, actual: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:  # noqa: ARG001
    widths = _widths(actual, starts)
    n, m = (np.repeat(np.add.reduceat(c, starts, axis=-1), widths, axis=-1) for c in (expected, actual))
    both = expected + actual
    awaited = both * (m / np.maximum(n + m, 1))
    there = both > 0
    off = np.abs(actual - awaited)
    filled = np.add.reduceat(there.astype(np.int64), starts, axis=-1)
    # Yates' correction where there are two categories, as the drift table has it.
    off -= np.where(np.repeat(filled, widths, axis=-1) == 2, np.minimum(0.5, off), 0)
    spread = np.where(there & (n > 0) & (m > 0), awaited * (n / np.maximum(n + m, 1)), np.inf)
    return np.add.reduceat(np.square(off) / spread, starts, axis=-1)


def _squares(off: np.ndarray, share: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.square(off) / np.where(share > 0, share, np.inf), starts, axis=-1)


def _psi_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:  # noqa: ARG001
    return _squares(off, share, starts)


def _jensen_shannon_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:  # noqa: ARG001
    return _squares(off, share, starts) / (8 * math.log(2))


def _hellinger_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:  # noqa: ARG001
    return _squares(off, share, starts) / 8


def _chi2_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:
    return _squares(off, share, starts) * rows


def _kolmogorov_smirnov_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:  # noqa: ARG001
    return np.square(np.maximum.reduceat(np.abs(np.cumsum(off, axis=-1)), starts, axis=-1))


def _l_infinity_near(off: np.ndarray, share: np.ndarray, starts: np.ndarray, rows: float) -> np.ndarray:  # noqa: ARG001
    return np.square(np.maximum.reduceat(np.abs(off), starts, axis=-1))


DISTANCES = {
    "psi": BinnedDistance(_psi, _psi_near, squared=False),
    "kolmogorov_smirnov": BinnedDistance(_kolmogorov_smirnov, _kolmogorov_smirnov_near, squared=True),
    "jensen_shannon": BinnedDistance(_jensen_shannon, _jensen_shannon_near, squared=True),
    "hellinger": BinnedDistance(_hellinger, _hellinger_near, squared=True),
    "chi2": BinnedDistance(_chi2, _chi2_near, squared=False),
    "l_infinity": BinnedDistance(_l_infinity, _l_infinity_near, squared=True),
}
"""Drift statistics that counts by bin determine, by their names in the drift table."""
