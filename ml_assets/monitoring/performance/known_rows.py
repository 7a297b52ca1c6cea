"""Whether rows whose label is known are like those that still wait for theirs."""

import math

import numpy as np
import polars as pl

LEAST_DISTANCE = 0.1
"""Distance between the distributions of scores below which two groups of rows count as alike."""
_CRITICAL = 1.628
"""Quantile of Kolmogorov's distribution at 99 %: what 1 in 100 fair samples passes by chance."""

KNOWN_MEAN, UNKNOWN_MEAN, DISTANCE = "known_mean_score", "unknown_mean_score", "score_distance"


def compare_scores(known: pl.Series, unknown: pl.Series) -> dict[str, float | None]:
    """Compare the scores of rows whose label is known with those of the others; null where either has none.

    The distance is that of N. V. Smirnov (Table for Estimating the Goodness of Fit of Empirical Distributions, Annals
    of Mathematical Statistics 19, 1948): the greatest difference between the shares of rows below any score.
    """
    a, b = (np.sort(scores.drop_nulls().cast(pl.Float64).to_numpy()) for scores in (known, unknown))
    means = {
        name: float(scores.mean()) if scores.size else None for name, scores in ((KNOWN_MEAN, a), (UNKNOWN_MEAN, b))
    }
    if not a.size or not b.size:
        return {**means, DISTANCE: None}
    at = np.concatenate([a, b])
    below = [np.searchsorted(scores, at, side="right") / scores.size for scores in (a, b)]
    return {**means, DISTANCE: float(np.abs(below[0] - below[1]).max())}


def is_fair_sample(distance: float | None, known: int, unknown: int) -> bool:
    """Return whether the known rows may be a fair sample of all: their scores are as far apart as chance makes them in
    99 of 100 samples, or by less than ``LEAST_DISTANCE``."""
    if distance is None:
        return True
    return distance <= max(LEAST_DISTANCE, _CRITICAL * math.sqrt((known + unknown) / (known * unknown)))
