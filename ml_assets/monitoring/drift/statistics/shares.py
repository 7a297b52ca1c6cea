"""Distances between shares of rows: by category, or in bins of equal width.

Bins are those of Doane's rule (D. P. Doane, Aesthetic Frequency Classifications, The American Statistician 30, 1976),
as in NannyML; what the reference has not is one more. They are cuts of the grid, so that values of numbers are exact.
Categories that a profile does not tell apart enter as one: the value is then the least that it can be, and the error
says how much more, were none of them on both sides.
"""

import numpy as np

from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.profiled import Distance, ProfileStatistic
from ml_assets.profiles import NumberGrid, NumberProfile


class SharesDistance(ProfileStatistic):
    """A distance that grows with a sum over the pairs of shares."""

    numeric = text = True

    def summed(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return the sum over pairs of shares."""
        raise NotImplementedError

    def distance(self, summed: float) -> float:
        """Return the distance of a sum."""
        raise NotImplementedError

    def of_numbers(self, reference: NumberProfile, now: NumberProfile, grid: NumberGrid) -> Distance:
        """Compare shares in bins of equal width."""
        if grid.widths is None:
            raise ValueError(grid.why_not)
        expected, actual = (_in_bins(each, grid.widths) for each in (reference, now))
        return Distance(self.distance(self.summed(*_with_elsewhere(expected, actual))))

    def of_categories(self, paired: PairedCategories) -> Distance:
        """Compare shares of the reference's categories."""
        *known, expected_rest, actual_rest = paired.shares()
        there = known[0] > 0
        expected, actual = known[0][there], known[1][there]
        if not expected_rest:
            return Distance(self.distance(self.summed(*_with_elsewhere(expected, actual))))
        new = float(known[1][~there].sum())
        apart = [
            self.summed(np.append(expected, more[0]), np.append(actual, more[1]))
            for more in (([0, expected_rest], [new, actual_rest]), ([0, expected_rest, 0], [new, 0, actual_rest]))
        ]
        value, most = map(self.distance, apart)
        return Distance.between(value, value, max(value, most))


def _in_bins(profile: NumberProfile, widths: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin of equal width."""
    upto = np.cumsum(profile.counts)[widths]
    return np.diff(upto) / profile.present


def _with_elsewhere(expected: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add what the reference has not as one more share."""
    elsewhere = 1 - actual.sum()
    return (np.append(expected, 0), np.append(actual, elsewhere)) if elsewhere > 0 else (expected, actual)


class JensenShannon(SharesDistance):
    """The square root of the Jensen-Shannon divergence in bits (D. M. Endres, J. E. Schindelin, A New Metric for
    Probability Distributions, IEEE Transactions on Information Theory 49, 2003), 0 to 1."""

    name = "jensen_shannon"

    def summed(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return twice the divergence in nats."""
        expected, actual = expected / expected.sum(), actual / actual.sum()
        middle = (expected + actual) / 2.0
        return float(_entropy(expected, middle).sum() + _entropy(actual, middle).sum())

    def distance(self, summed: float) -> float:
        """Return the distance."""
        return float(np.sqrt(max(summed / np.log(2), 0.0) / 2.0))


def _entropy(shares: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return shares * ln(shares / of), 0 where a share is 0."""
    some = shares > 0
    return shares * np.log(np.divide(shares, of, where=some, out=np.ones_like(shares)))


class Hellinger(SharesDistance):
    """The Euclidean distance between the square roots of shares, 0 to 1."""

    name = "hellinger"

    def summed(self, expected: np.ndarray, actual: np.ndarray) -> float:
        """Return the squared distance."""
        return float(np.sum((np.sqrt(expected) - np.sqrt(actual)) ** 2))

    def distance(self, summed: float) -> float:
        """Return the distance."""
        return float(np.sqrt(summed) / np.sqrt(2))


JENSEN_SHANNON = JensenShannon()
HELLINGER = Hellinger()
