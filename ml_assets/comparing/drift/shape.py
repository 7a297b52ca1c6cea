"""Two distributions of one column in the same bins, to be drawn."""

from dataclasses import dataclass

import numpy as np
import polars as pl

BINS = 24
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
    whole = bool(np.all(both == np.floor(both))) and high - low < BINS
    edges = np.arange(low - 0.5, high + 1) if whole else np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    shares = [_shares(values, edges) for values in (reference, current)]
    return DistributionShape(shares[0], shares[1], edges=tuple(edges.tolist()))


def _shares(values: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return tuple((counts / max(values.size, 1)).tolist())


def shape_of_categories(reference: pl.Series, current: pl.Series) -> DistributionShape:
    """Return the shares of the categories that are the most frequent of either, and of all others together."""
    counted = [
        side.drop_nulls().alias("category").value_counts(normalize=True, name="share") for side in (reference, current)
    ]
    both = counted[0].join(counted[1], on="category", how="full", coalesce=True, suffix="_now").fill_null(0.0)
    both = both.sort(pl.max_horizontal("share", "share_now"), "category", descending=[True, False])
    top, rest = both.head(MOST_CATEGORIES), both.slice(MOST_CATEGORIES)
    more = [OTHERS] if rest.height else []
    sums = [[float(rest[side].sum())] if more else [] for side in ("share", "share_now")]
    return DistributionShape(
        (*top["share"], *sums[0]), (*top["share_now"], *sums[1]), labels=(*top["category"].to_list(), *more)
    )
