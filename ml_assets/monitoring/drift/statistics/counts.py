"""Statistics of categories' counts."""

from math import erfc, exp, inf, lgamma, log, sqrt

import numpy as np

from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.profiled import Distance, ProfileStatistic

_SIGNIFICANT = 0.05


class ChiSquared(ProfileStatistic):
    """The statistic of Pearson's chi-squared test that categories and period are independent; it alerts at p < 0.05.

    Categories that a profile does not tell apart are tested as one, as rare ones usually are. The error is what all of
    them could add, were none on both sides.
    """

    name, text, takes_threshold = "chi2", True, False

    def of_categories(self, paired: PairedCategories) -> Distance:
        """Test the categories that either has."""
        rest = [paired.expected_rest, paired.actual_rest]
        table = np.stack([paired.expected, paired.actual], axis=1)
        pooled = np.vstack([table, rest])
        statistic, by_chance = independence(pooled[pooled.sum(axis=1) > 0])
        if not any(rest):
            return Distance(statistic, 0.0, by_chance < _SIGNIFICANT)
        apart = np.vstack([table, [rest[0], 0], [0, rest[1]]])
        most, _ = independence(apart[apart.sum(axis=1) > 0])
        return Distance(statistic, max(most - statistic, 0.0), by_chance < _SIGNIFICANT)


def independence(table: np.ndarray) -> tuple[float, float]:
    """Return Pearson's statistic of counts, shape (k, 2) without a row or column of zeros, and its p-value.

    With Yates' correction for continuity where there are two categories, as SciPy's ``chi2_contingency``.
    """
    freedom = len(table) - 1
    if freedom == 0:
        return 0.0, 1.0
    counted = table.astype(np.float64)
    rows, columns = counted.sum(axis=1, keepdims=True), counted.sum(axis=0, keepdims=True)
    expected = rows * columns / counted.sum()
    if freedom == 1:
        off = expected - counted
        counted += np.minimum(0.5, np.abs(off)) * np.sign(off)
    statistic = float(np.sum((counted - expected) ** 2 / expected))
    return statistic, chance_above(statistic, freedom)


def chance_above(statistic: float, freedom: int) -> float:
    """Return the chance that chi-squared with so many degrees of freedom is greater.

    By the finite sums for whole degrees of freedom (M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions,
    26.4.4 and 26.4.5): SciPy's function takes longer to import than a drop's drift does.
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    whole, odd = divmod(freedom, 2)
    start = erfc(sqrt(half)) if odd else 0.0
    powers = (k + 0.5 if odd else float(k) for k in range(whole))
    return min(start + sum(exp(-half + k * log(half) - lgamma(k + 1)) for k in powers), 1.0) if half < inf else 0.0


class LInfinity(ProfileStatistic):
    """The greatest difference of a category's share, 0 to 1; not less than that of the categories told apart."""

    name, text = "l_infinity", True

    def of_categories(self, paired: PairedCategories) -> Distance:
        """Compare the shares of the categories that either has."""
        expected, actual, *rest = paired.shares()
        value = float(np.abs(expected - actual).max(initial=0.0))
        return Distance.between(value, value, max(value, *rest))


CHI2 = ChiSquared()
L_INFINITY = LInfinity()
