"""Calibration applied: scores corrected by a model's curves, as arrays or one at a time, to the same bits."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

EDGE = 1e-7
"""Log-odds are taken of scores at least this far from 0 and 1, which is what float32 resolves."""


class Correction(Protocol):
    """How one score is corrected: steps from ``x`` to ``y``, or log-odds times ``slope`` plus ``intercept``."""

    @property
    def x(self) -> tuple[float, ...]:
        """Scores between which the correction is linear, ascending; none for a correction of the log-odds."""
        ...

    @property
    def y(self) -> tuple[float, ...]:
        """The corrected score at each."""
        ...

    @property
    def slope(self) -> float:
        """Factor of the log-odds."""
        ...

    @property
    def intercept(self) -> float:
        """What is added to the log-odds."""
        ...


def correct(curve: Correction, score: np.ndarray) -> np.ndarray:
    """Correct an array of scores by one curve."""
    if curve.x:
        return np.interp(score, curve.x, curve.y)
    return 1 / (1 + np.exp(-(curve.slope * log_odds(score) + curve.intercept)))


def correct_all(curves: Sequence[Correction], score: np.ndarray) -> np.ndarray:
    """Correct scores of shape (rows,) by one curve, or of shape (rows, classes) by one curve a class.

    The classes of a row sum to one, alike if no class is left likely.
    """
    if score.ndim == 1:
        return correct(curves[0], score)
    corrected = np.stack([correct(curve, column) for curve, column in zip(curves, score.T, strict=True)], 1)
    total = corrected.sum(axis=1, keepdims=True)
    return np.where(total > 0, corrected / np.where(total > 0, total, 1), 1 / score.shape[1])


def corrector(curve: Correction) -> Callable[[float], float]:
    """Return a function that corrects one score: an array of one number costs as much as one of a thousand."""
    return _stairs(curve.x, curve.y) if curve.x else _sigmoid(curve)


def share(row: list[float]) -> list[float]:
    """Scale the corrected scores of a row's classes to a sum of one; all are equal if no class is left likely."""
    total = sum(row)
    return [value / total for value in row] if total > 0 else [1 / len(row)] * len(row)


def log_odds(score: np.ndarray) -> np.ndarray:
    """Return the logarithm of score / (1 - score)."""
    score = np.clip(score, EDGE, 1 - EDGE)
    return np.log(score) - np.log1p(-score)


def _stairs(x: tuple[float, ...], y: tuple[float, ...]) -> Callable[[float], float]:
    """Correct as `numpy.interp` does, to the last bit: a threshold lies on a step, where many scores are equal."""
    last = len(x) - 1

    def corrected(score: float) -> float:
        at = bisect_right(x, score) - 1
        if at < 0:
            return y[0]
        if at >= last:
            return y[last]
        return y[at] if x[at] == score else (y[at + 1] - y[at]) / (x[at + 1] - x[at]) * (score - x[at]) + y[at]

    return corrected


def _sigmoid(curve: Correction) -> Callable[[float], float]:
    slope, intercept = curve.slope, curve.intercept

    def corrected(score: float) -> float:
        score = min(max(score, EDGE), 1 - EDGE)
        # NumPy's functions, which differ from Python's in the last bit: the threshold is one of these numbers.
        odds = np.log(score) - np.log1p(-score)
        return float(1 / (1 + np.exp(-(slope * odds + intercept))))

    return corrected
