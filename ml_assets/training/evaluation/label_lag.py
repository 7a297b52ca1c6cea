"""How long labels take, from those that are known at a moment."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

ENOUGH = 100
"""Known labels from which a 99th percentile can be told from the longest delay, in all and behind each delay."""
_ONE_SIDED_95 = 1.645
"""Quantile of the standard normal distribution."""


def label_lag(
    rows: pl.DataFrame, *, time: str, known_at: str, as_of: datetime, quantile: float = 0.99
) -> timedelta | None:
    """Return the time that a share of labels takes at the least, with 95 % confidence, from those known at a moment.

    The newest rows show their quick labels only: a delay can be seen only if it is no longer than the row is old. The
    estimate is the product-limit one for delays that are truncated on the right (S. W. Lagakos, L. M. Barraj, V. De
    Gruttola, Nonparametric Analysis of Truncated Survival Data, Biometrika 75, 1988). With delays x and ages a, each
    delay x_j, from the longest down, leaves the share 1 - 1 / n_j of those before it, where n_j counts the rows with
    x <= x_j <= a. Returned is the shortest delay whose share, at the upper end of its confidence interval, is large
    enough; its logarithm has the variance that M. Greenwood gives, the sum of 1 / (n_j (n_j - 1)) over longer delays.

    Limits: of delays that fewer than ``ENOUGH`` rows are old enough for, nothing is said: with a few rows at risk a
    single late label would be a large share. So at least five late labels make a lag; fewer may be chance. Labels that
    come later than that, or never, cannot be seen. Labels count as independent: many that one late delivery brought
    count as many.

    Args:
        rows: prediction times and, where known, moments at which the label was known; later ones are left out.
        quantile: the share, 0 to 1.

    Returns:
        None where fewer than ``ENOUGH`` labels are known of rows that are old enough.
    """
    known = rows.filter(pl.col(known_at) <= as_of, pl.col(time).is_not_null())
    if known.height < ENOUGH:
        return None
    spans = known.select(delay=pl.col(known_at) - pl.col(time), age=pl.lit(as_of) - pl.col(time))
    delay, age = (np.sort(spans[name].dt.total_microseconds().to_numpy()) for name in ("delay", "age"))
    seen = np.arange(1, delay.size + 1) - np.searchsorted(age, delay, side="left")
    solid = np.flatnonzero(seen >= ENOUGH)
    if not solid.size:
        return None
    delay, seen = delay[: solid[-1] + 1], np.maximum(seen[: solid[-1] + 1], 1)
    with np.errstate(divide="ignore"):
        kept, variance = np.log1p(-1 / seen), 1 / (seen * np.maximum(seen - 1, 1))
    # At a delay the share is that of all longer ones; equal delays leave one after the other.
    share, spread = _sum_of_later(kept), np.sqrt(_sum_of_later(variance))
    enough = share + _ONE_SIDED_95 * spread >= np.log(quantile) - 1e-12
    return timedelta(microseconds=int(delay[np.argmax(enough)]))


def _sum_of_later(values: np.ndarray) -> np.ndarray:
    return np.r_[np.cumsum(values[::-1])[::-1][1:], 0.0]


def check_gap(gap: timedelta, declared: str, lag: timedelta | None) -> None:
    """Raise ValueError if a declared gap is shorter than 99 of 100 labels take."""
    if lag is not None and gap < lag:
        raise ValueError(
            f"split.gap: {declared} is shorter than labels take: 99 % of those known by the cut-off came, with 95 % "
            f"confidence, not sooner than within {describe_span(lag)} of the prediction time. Make it at least as long"
            ", or rows would learn from, and be judged by, the quick labels alone"
        )


def describe_span(span: timedelta) -> str:
    """Return a duration in words, in the largest unit that leaves two digits."""
    hours = span / timedelta(hours=1)
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
