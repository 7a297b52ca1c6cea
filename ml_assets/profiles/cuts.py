"""Where the numbers of a reference are cut. A cut is the greatest value of its bin: bin i is (cuts[i - 1], cuts[i]]."""

import numpy as np

MOST_CUTS = 400
"""Cuts of a column, by all rules together: what keeps a profile below its bound of bytes."""
MOST_QUANTILES = 150
"""Quantile bins that can be declared: each may take two cuts, and room is kept for the others."""


def quantile_breaks(ordered: np.ndarray, bins: int) -> np.ndarray:
    """Return inner bin edges of sorted values: bin i is (breaks[i - 1], breaks[i]].

    The k-th quantile is the smallest value that at least k/bins of the values do not exceed. Equal quantiles merge
    into one edge, and the value they share becomes a bin by itself.
    """
    if not ordered.size:
        return np.empty(0)
    ranks = -(-np.arange(1, bins) * ordered.size // bins) - 1
    edges, times = np.unique(ordered[ranks], return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))


def doane_edges(ordered: np.ndarray) -> np.ndarray | None:
    """Return the edges of bins of equal width by Doane's rule (D. P. Doane, Aesthetic Frequency Classifications, The
    American Statistician 30, 1976), as NumPy's ``histogram_bin_edges`` gives them; None where a value is infinite, or
    there is none.

    Raises:
        ValueError: the values are so close that bins of equal width cannot be told apart, or so far apart that their
            spread cannot be computed.
    """
    if not ordered.size or np.isinf(ordered[[0, -1]]).any():
        return None
    first, last = ordered[0], ordered[-1]
    if first == last:
        first, last = first - 0.5, last + 0.5
    with np.errstate(over="ignore", invalid="ignore"):
        span, width = last - first, _width(ordered)
    if not (np.isfinite(span) and np.isfinite(width)):
        raise ValueError(f"its values, from {first:g} to {last:g}, are too large to be cut into bins of equal width")
    bins = max(int(np.ceil(span / width)), 1) if width else 1
    edges = np.linspace(first, last, bins + 1)
    if np.any(edges[:-1] >= edges[1:]):
        raise ValueError(f"its values lie so close together that {bins} bins of equal width cannot be told apart")
    return edges


def _width(values: np.ndarray) -> float:
    size, spread = values.size, values.std()
    if size <= 2 or not spread > 0:
        return 0.0
    skew_spread = np.sqrt(6.0 * (size - 2) / ((size + 1.0) * (size + 3)))
    standard = (values - values.mean()) / spread
    # Not by BLAS, whose threads cost more than they save here.
    skew = np.einsum("i,i,i->", standard, standard, standard) / size
    return float(np.ptp(values) / (1.0 + np.log2(size) + np.log2(1.0 + np.abs(skew) / skew_spread)))


def is_first(ordered: np.ndarray) -> np.ndarray:
    """Return which of sorted values are unlike the one before."""
    first = np.ones(ordered.size, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def below(edges: np.ndarray) -> np.ndarray:
    """Return the cuts at which the values of bins [edges[i], edges[i + 1]) end, the last one closed as NumPy's."""
    return np.append(np.nextafter(edges[:-1], -np.inf), edges[-1:])


def fine_cuts(ordered: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many cuts: each value by itself where they are few, else quantiles as fine as there is room."""
    if not ordered.size or most < 2:
        return np.empty(0)
    starts = np.flatnonzero(is_first(ordered))
    if 2 * starts.size <= most:
        return np.union1d(ordered[starts], np.nextafter(ordered[starts], -np.inf))
    bins = most
    while (cuts := quantile_breaks(ordered, bins)).size > most:
        bins = bins * 4 // 5
    return cuts
