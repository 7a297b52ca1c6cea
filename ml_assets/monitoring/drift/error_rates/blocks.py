"""Blocks of successive days of a reference, as long as days depend on one another.

H. R. Künsch, The Jackknife and the Bootstrap for General Stationary Observations, Annals of Statistics 17, 1989; here
circular: the first day follows the last (D. N. Politis, J. P. Romano, A Circular Block-Resampling Procedure for
Stationary Data, 1992).
"""

import math

import numpy as np

_MOST_CORRELATED = 0.97


def step_correlation(series: np.ndarray) -> np.ndarray:
    """Return how each series depends on its step before, 0 to 0.97, shape (series,).

    What few steps give is corrected for how much too small it comes out (M. G. Kendall, Note on Bias in the Estimation
    of Autocorrelation, Biometrika 41, 1954), and drawn half the way to the mean of all series, as it is uncertain.

    Args:
        series: float64, shape (steps, series), in the order of time.
    """
    steps = len(series)
    off = series - series.mean(axis=0)
    variance = np.square(off).sum(axis=0)
    measured = (off[1:] * off[:-1]).sum(axis=0) / np.where(variance > 0, variance, np.inf)
    corrected = np.where(variance > 0, measured + (1 + 3 * measured) / steps, 0)
    varied = corrected[variance > 0]
    return np.clip((corrected + (varied.mean() if varied.size else 0)) / 2, 0, _MOST_CORRELATED)


def choose_block_length(correlation: np.ndarray, steps: int) -> int:
    """Return the block length in steps, 1 up to a third of all, the mean of what suits each series.

    It is the best one for the variance of a mean (D. N. Politis, H. White, Automatic Block-Length Selection for the
    Dependent Bootstrap, Econometric Reviews 23, 2004) where a series depends on its past as an autoregression of the
    first order does, which few steps suffice to fit (D. W. K. Andrews, Heteroskedasticity and Autocorrelation
    Consistent Covariance Matrix Estimation, Econometrica 59, 1991).
    """
    lengths = np.cbrt(1.5 * np.square(2 * correlation / (1 - np.square(correlation))) * steps)
    return max(1, min(math.ceil(np.minimum(lengths, steps / 3).mean() - 0.5), steps // 3))


def variance_of_mean(correlation: np.ndarray, length: int) -> np.ndarray:
    """Return the variance of a mean of ``length`` steps of a first-order autoregression of variance 1."""
    rest = 2 * correlation * (1 - correlation**length) / (length * np.square(1 - correlation))
    return ((1 + correlation) / (1 - correlation) - rest) / length


def block_sums(deviations: np.ndarray, block: int) -> np.ndarray:
    """Return the sums of ``block`` successive steps, from each step on, over the root of their number.

    Args:
        deviations: float64, shape (steps, columns); the first step follows the last.
    """
    added = np.cumsum(np.vstack([np.zeros((1, deviations.shape[1])), deviations, deviations[: block - 1]]), axis=0)
    return (added[block:] - added[:-block]) / math.sqrt(block)
