"""Features that hold the very outcomes they are to predict: target encodings over all rows, rates of the same period.

An honest rate of a group, told from other rows, misses the group's outcomes by at least what chance alone makes them
vary. One that was computed from these outcomes hits them more closely than chance allows. That is the lower tail of
the usual test for lack of fit (Draper and Smith, "Applied Regression Analysis", section 2.1): the rows with one value
of the feature are a group, and the groups' means lie too near a smooth curve over the feature.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.evaluation.leaks.outcomes import Outcomes
from ml_assets.training.spec import LeakSpec

MOST_ROWS = 100_000
"""The newest rows that are looked at: a run of time, since a sample would hide the closeness."""

_CHANCE = 1e-6  # how seldom an honest feature may look like this
_DEGREE = 3
_LEAST_GROUPS = 10
_LEAST_SHARE = 0.5  # of the rows that share their value with another
_SPREADS = 10


def knowing_features(
    rows: pl.DataFrame, features: Sequence[str], label: str, outcomes: Outcomes, spec: LeakSpec
) -> Iterator[Finding]:
    """Name numbers whose groups of equal value have outcomes closer to them than chance allows.

    Args:
        rows: all labelled rows at hand, in order of time; the more of those that a rate was computed from are
            missing here, the less is seen, and nothing once half of them are.
    """
    rows = rows.tail(MOST_ROWS)
    labels = outcomes.as_numbers(outcomes.task.outcomes(rows[label], outcomes.classes))
    for name in features:
        if not rows.schema[name].is_numeric():
            continue
        values = rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        there = np.isfinite(values)
        ratios = [noise_ratio(values[there], column[there]) for column in labels.T]
        lowest = min((ratio for ratio in ratios if ratio is not None), default=None)
        if lowest is not None and lowest < spec.own_outcomes:
            yield Finding(
                "own_outcomes",
                name,
                lowest,
                spec.own_outcomes,
                f"lies closer to the outcomes of rows that share its value than chance allows ({lowest:.2f} of the "
                "variation that a rate of other rows leaves): it was computed from these very outcomes",
                f"compute it from outcomes known before each prediction, as a window over the label's facts, {TRUST}",
            )


def noise_ratio(values: np.ndarray, label: np.ndarray) -> float | None:
    """Return how far the mean labels of equal values lie from a smooth curve, by what chance alone makes of it.

    Returns:
        1 is chance, more a curve that does not fit; None where there are too few groups to tell, or the closeness may
        be chance.
    """
    from scipy.special import chdtr

    distinct, group, rows = np.unique(values, return_inverse=True, return_counts=True)
    shared = rows >= 2
    if shared.sum() < _LEAST_GROUPS or rows[shared].sum() < _LEAST_SHARE * len(values):
        return None
    sums, squares = (np.bincount(group, weights=weight)[shared] for weight in (label, label**2))
    distinct, rows = distinct[shared], rows[shared].astype(np.float64)
    means = sums / rows
    curve = np.polynomial.Polynomial.fit(distinct, means, _DEGREE, w=np.sqrt(rows))(distinct)
    apart = squares - 2 * curve * sums + rows * curve**2
    variance = _variance_along(rows, apart)
    varying = variance > 0
    freedom = int(varying.sum()) - _DEGREE - 1
    if freedom < _LEAST_GROUPS - _DEGREE - 1:
        return None
    excess = float((rows * (means - curve) ** 2)[varying] @ (1 / variance[varying]))
    return excess / freedom if chdtr(freedom, excess) < _CHANCE else None


def _variance_along(rows: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return the variance of rows around the curve in each group, taken over a tenth of the rows around it."""
    place = np.minimum((np.cumsum(rows) - 1) * _SPREADS // rows.sum(), _SPREADS - 1).astype(int)
    total, weight = (np.bincount(place, weights=part, minlength=_SPREADS) for part in (apart, rows))
    return (total / np.where(weight == 0, 1, weight))[place]
