"""How likely a difference of one column is where nothing has changed.

Both sides are taken for rows drawn independently from one population. Rows that resemble their neighbours, as in a
series of measurements, differ more than these tests expect.
"""

from math import lgamma

import numpy as np

from ml_assets.monitoring.drift.statistics.counts import chance_above

_TERMS = 20
"""Of Kolmogorov's series, of which four are enough for sixteen digits."""

LEAST_EXPECTED = 5.0
"""Rows that are expected at least in a cell of a chi-squared test; categories with fewer are put together (W. G.
Cochran, Some Methods for Strengthening the Common Chi-Squared Tests, Biometrics 10, 1954)."""


def of_distance(distance: float, reference: int, current: int) -> float:
    """Return how likely two samples' distribution functions differ by so much (Kolmogorov and Smirnov's limit).

    It errs towards 1 for values that come up several times, and for few rows.

    Args:
        distance: the greatest difference, 0 to 1.
        reference, current: numbers of values.
    """
    # To import SciPy takes longer than to compare a small file.
    scaled = float(distance * np.sqrt(reference * current / (reference + current)))
    if scaled <= 0:
        return 1.0
    terms = np.arange(1, _TERMS + 1)
    if scaled < 1:  # the other one of two series that both hold everywhere (W. Feller, 1948)
        return float(1 - np.sqrt(2 * np.pi) / scaled * np.sum(np.exp(-(((2 * terms - 1) * np.pi / scaled) ** 2) / 8)))
    return float(2 * np.sum((-1.0) ** (terms - 1) * np.exp(-2 * (terms * scaled) ** 2)))


def of_counts(reference: np.ndarray, current: np.ndarray) -> float:
    """Return how likely counts of categories differ by so much (Pearson's chi-squared test of homogeneity).

    Args:
        reference, current: rows by category, shape (k,).
    """
    table = np.stack([reference, current]).astype(float)
    table = _pooled(table[:, table.sum(axis=0) > 0])
    freedom = table.shape[1] - 1
    if freedom < 1 or not table.sum(axis=1).all():
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    off = np.abs(table - expected)
    if freedom == 1:
        off = np.maximum(off - 0.5, 0.0)
    return chance_above(float((off**2 / expected).sum()), freedom)


def of_categories(reference: np.ndarray, current: np.ndarray) -> float:
    """Return how likely categories, perhaps very many, differ by so much.

    The chi-squared test takes the rare ones together, so that it does not see one give way to another. Whether more
    rows of either side are in rare categories that the other lacks than chance explains is a test of its own.

    Args:
        reference, current: rows by category, shape (k,).
    """
    totals = reference + current
    smaller = min(reference.sum(), current.sum())
    rare = (totals > 0) & (totals * smaller < LEAST_EXPECTED * totals.sum())
    of_all = of_counts(reference, current)
    if not smaller or not rare.any():
        return of_all
    alone = [_of_lone(totals[rare], side[rare], int(side.sum()), int(totals.sum())) for side in (reference, current)]
    return min(1.0, 3 * min(of_all, *alone))


def _of_lone(totals: np.ndarray, own: np.ndarray, rows: int, all_rows: int) -> float:
    """Return a bound on how likely so many rows are in categories that one side alone has.

    Where the side's rows are drawn from all, a category of t rows is its own with a chance that is known, and such
    events are negatively associated (K. Joag-Dev, F. Proschan, Negative Association of Random Variables, Annals of
    Statistics 11, 1983), so that H. Chernoff's bound for independent ones holds (Annals of Mathematical Statistics 23,
    1952), whichever factor it is computed with.

    Args:
        totals, own: rows by category, of both sides and of this one.
        rows, all_rows: of this side and of both, all categories included.
    """
    sizes, times = np.unique(totals[totals <= rows], return_counts=True)
    if not sizes.size:
        return 1.0
    fixed = lgamma(rows + 1) - lgamma(all_rows + 1)
    log_chance = np.array([fixed + lgamma(all_rows - t + 1) - lgamma(rows - t + 1) for t in sizes.tolist()])
    log_chance = np.minimum(log_chance, -1e-300)
    log_other = np.log(-np.expm1(log_chance))
    factors = np.geomspace(1e-3, 20, 60)[:, None]
    growth = (times * np.logaddexp(log_other, log_chance + factors * sizes)).sum(axis=1)
    return float(np.exp(min(0.0, (growth - factors[:, 0] * own[own == totals].sum()).min())))


def of_strangers(strange: int, reference: int, current: int) -> float:
    """Return how likely it is that `strange` values of a kind all lie in the current rows, and none in the reference.

    Of all ways to choose which of the pooled rows are the reference's, the share that leaves these out: exact.

    Args:
        strange: rows of the current side, such as those above the reference's greatest value.
        reference, current: numbers of values.
    """
    taken = np.arange(strange)
    return float(np.exp(np.sum(np.log(current - taken) - np.log(reference + current - taken))))


def _pooled(table: np.ndarray) -> np.ndarray:
    """Put the rarest categories together until at least `LEAST_EXPECTED` rows are expected in each cell."""
    shares = table.sum(axis=1) / table.sum()
    expected = table.sum(axis=0) * shares.min()
    order = np.argsort(expected, kind="stable")
    table, expected = table[:, order], expected[order]
    rare = int((expected < LEAST_EXPECTED).sum())
    while 0 < rare < len(expected) and expected[:rare].sum() < LEAST_EXPECTED:
        rare += 1
    return table if rare == 0 else np.column_stack([table[:, :rare].sum(axis=1), table[:, rare:]])
