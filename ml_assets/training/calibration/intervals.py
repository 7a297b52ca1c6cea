"""Prediction intervals that hold whatever the model: its errors on rows that did not choose it, around predictions."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

_GROUP_ROWS = 200  # of which the 5th and the 95th percentile can be estimated


class Intervals(BaseModel):
    """How far the ends of an interval lie from the prediction, for each group along the prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: float = Field(description="Share of labels that should lie between the ends.")
    edges: tuple[float, ...] = Field(description="Predictions at which the next group begins, ascending.")
    below: tuple[float, ...] = Field(description="What to add to a prediction of each group for the lower end.")
    above: tuple[float, ...] = Field(description="What to add for the upper end.")


def fit_intervals(label: np.ndarray, value: np.ndarray, *, coverage: float, groups: int) -> Intervals:
    """Learn the ends from rows that the model was neither fitted on nor chosen by.

    Split-conformal prediction with signed errors: each end leaves out half of ``1 - coverage`` of the errors, so that
    a skewed error gets a skewed interval (Linusson, Johansson and Loefstroem, "Signed-error conformal regression",
    PAKDD 2014). Groups of equal size along the prediction have ends of their own (Bostroem and Johansson, "Mondrian
    conformal regressors", COPA 2020). If these and later rows come from one distribution, at least ``coverage``
    of the later labels lie inside; where rows drift they may not, which each drop's report counts.

    Args:
        label: known numbers, shape (n,).
        value: what the model predicted for them.

    Raises:
        ValueError: too few rows for this coverage.
    """
    groups = max(1, min(groups, len(value) // _GROUP_ROWS))
    edges = np.unique(np.quantile(value, np.arange(1, groups) / groups))
    group = np.searchsorted(edges, value, side="right")
    tail = (1 - coverage) / 2
    ends = [_ends(np.sort(label[group == at] - value[group == at]), tail) for at in range(len(edges) + 1)]
    below, above = zip(*ends, strict=True)
    return Intervals(coverage=coverage, edges=tuple(map(float, edges)), below=below, above=above)


def covered_share(label: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the share of labels between the ends, these included."""
    return float(((lower <= label) & (label <= upper)).mean())


def least_coverage(coverage: float, tolerance: float, rows: int, confidence: float = 0.95) -> float:
    """Return the share of covered labels below which coverage has failed.

    It is ``coverage - tolerance``, or less where so few rows would fall below that by chance.
    """
    from scipy.stats import binom

    return min(coverage - tolerance, float(binom.ppf((1 - confidence) / 2, rows, coverage)) / rows)


def _ends(errors: np.ndarray, tail: float) -> tuple[float, float]:
    """Return the errors of rank floor((n + 1) tail) and, from above, the same."""
    rank = int(np.floor((len(errors) + 1) * tail + 1e-9))
    if rank < 1:
        needed = int(np.ceil(1 / tail - 1e-9)) - 1
        raise ValueError(
            f"{len(errors)} rows are too few for intervals that leave out {tail:.3f} at each end:"
            f" {needed} are needed, so make split.validation longer, raise"
            " intervals.validation_share or lower intervals.coverage"
        )
    return float(errors[rank - 1]), float(errors[len(errors) - rank])
