"""Two distributions of one column in the same bins, to be drawn."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

BINS = 24
EXACT = 2.0**53
"""Up to which whole numbers are floats one by one."""
MOST_CATEGORIES = 10
OTHERS = "all others"


@dataclass(frozen=True)
class DistributionShape:
    """Shares of rows with a value, by bin.

    Attributes:
        edges: of bins of numbers, one more than shares; empty for categories.
        labels: categories, the most frequent first, perhaps with `OTHERS` as the last; empty for numbers.
        reference, current: shares of rows, 0 to 1.
    """

    reference: tuple[float, ...]
    current: tuple[float, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


def shape_of_numbers(reference: np.ndarray, current: np.ndarray) -> DistributionShape:
    """Return shares in bins of equal width that span the middle 98 % of both; what lies beyond is in the outer bins.

    Whole numbers of few different values have a bin each.
    """
    both = np.concatenate([reference, current])
    low, high = (float(bound) for bound in np.quantile(both, [0.01, 0.99], method="closest_observation"))
    whole = bool(np.all(both == np.floor(both))) and high - low < BINS and max(-low, high) < EXACT
    edges = np.arange(low - 0.5, high + 1) if whole else _even(low, high if high > low else low + max(1.0, abs(low)))
    shares = [_shares(values, edges) for values in (reference, current)]
    return DistributionShape(shares[0], shares[1], edges=tuple(edges.tolist()))


def _even(low: float, high: float) -> np.ndarray:
    # Halved, as the difference of the largest floats is none.
    return np.linspace(low / 2, high / 2, BINS + 1) * 2


def _shares(values: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return tuple((counts / max(values.size, 1)).tolist())


def shape_of_categories(reference: Counter[str], current: Counter[str]) -> DistributionShape:
    """Return the shares of the categories that are the most frequent of either, and of all others together.

    Args:
        reference, current: rows by category, one at least.
    """
    totals = (reference.total(), current.total())
    shares = {
        category: (reference[category] / totals[0], current[category] / totals[1])
        for category in {*reference, *current}
    }
    ordered = sorted(shares, key=lambda category: (-max(shares[category]), category))
    shown, rest = ordered[:MOST_CATEGORIES], ordered[MOST_CATEGORIES:]
    before, now = (
        [shares[category][side] for category in shown]
        + ([sum(shares[category][side] for category in rest)] if rest else [])
        for side in (0, 1)
    )
    return DistributionShape(tuple(before), tuple(now), labels=(*shown, *([OTHERS] if rest else [])))
