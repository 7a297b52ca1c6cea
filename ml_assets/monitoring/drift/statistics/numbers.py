"""Distances between distribution functions, which are known at the cuts of a grid and monotone between them."""

import numpy as np

from ml_assets.monitoring.drift.statistics.profiled import Distance, ProfileStatistic
from ml_assets.profiles import NumberGrid, NumberProfile


def _functions(profile: NumberProfile) -> np.ndarray:
    """Return the share of values up to each cut, 0 before the first and 1 after the last, shape (cuts + 2,)."""
    return np.append(0, np.cumsum(profile.counts)) / profile.present


def _apart(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far two functions are apart in each bin, at the least and at the most."""
    least = np.maximum(one[:-1] - other[1:], other[:-1] - one[1:])
    most = np.maximum(one[1:] - other[:-1], other[1:] - one[:-1])
    return np.maximum(least, 0), most


class KolmogorovSmirnov(ProfileStatistic):
    """The greatest difference of two distribution functions, 0 to 1.

    Taken at the cuts, where both are known: the greatest of all lies at most as much above as a bin holds, and no
    higher where the reference has no value inside of a bin, as where each of its values is a bin by itself.
    """

    name, numeric, greatest = "kolmogorov_smirnov", True, 1.0

    def of_numbers(self, reference: NumberProfile, now: NumberProfile, grid: NumberGrid) -> Distance:
        """Compare at the cuts."""
        one, other = _functions(reference), _functions(now)
        value = float(np.abs(one - other).max())
        return Distance.between(value, value, float(max(_apart(one, other)[1][_wide(grid)].max(initial=0), value)))


def _wide(grid: NumberGrid) -> np.ndarray:
    """Return which bins hold more than one value."""
    if not grid.cuts.size:
        return np.ones(1, bool)
    return np.concatenate([[True], np.nextafter(grid.cuts[1:], -np.inf) > grid.cuts[:-1], [True]])


class Wasserstein(ProfileStatistic):
    """The area between two distribution functions, in the feature's unit.

    Both are taken as straight between cuts; how far they may be from that bounds the error. Undefined where a value is
    infinite, or the column private: where its values end is not kept.
    """

    name, numeric = "wasserstein", True

    def of_numbers(self, reference: NumberProfile, now: NumberProfile, grid: NumberGrid) -> Distance:
        """Add up the areas of the bins."""
        ends = [end for each in (reference, now) for end in (each.low, each.high) if end is not None]
        if not ends or reference.infinite or now.infinite:
            return Distance(None)
        one, other = _functions(reference), _functions(now)
        inner = grid.cuts
        edges = np.concatenate([[min([*ends, *inner[:1]])], inner, [max([*ends, *inner[-1:]])]])
        width = np.diff(edges)
        least, most = _apart(one, other)
        apart = one - other
        area = float(np.sum(width * _mean_magnitude(apart[:-1], apart[1:])))
        return Distance.between(float(np.sum(width * least)), area, float(np.sum(width * most)))


def _mean_magnitude(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the mean of |x| along straight lines from ``start`` to ``end``."""
    size = np.abs(start) + np.abs(end)
    crossing = (start * start + end * end) / np.where(size > 0, 2 * size, 1)
    return np.where(start * end < 0, crossing, size / 2)


KOLMOGOROV_SMIRNOV = KolmogorovSmirnov()
WASSERSTEIN = Wasserstein()
