"""What a few scores become, by plain Python: the columns of `score_columns` without arrays and frames."""

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import polars as pl

from ml_assets.training.calibration import EDGE, Curve
from ml_assets.training.columns import LOWER, PREDICTION, SCORE, UPPER, called_classes, probability_column
from ml_assets.training.fit import TrainedModel
from ml_assets.training.tasks import MULTICLASS, REGRESSION, find_task

Columns = Callable[[list], dict[str, list]]
"""Scores before calibration, a number for each row or a list of one per class, to lists by column."""


def plain_columns(model: TrainedModel) -> Columns:
    """What says of a few rows what `score_columns` says of `calibrated` scores.

    An array of one number costs as much as one of a thousand: a dozen steps over it take longer than the trees.
    """
    correct = [_corrector(curve) for curve in model.calibration.curves] if model.calibration else []
    task = find_task(model.task).learned_as
    if task == MULTICLASS:
        return _classes(model, correct)
    one = correct[0] if correct else None
    return _values(model, one) if task == REGRESSION else _probabilities(model.threshold, one)


def _probabilities(threshold: float, correct: Callable[[float], float] | None) -> Columns:
    def columns(scores: list[float]) -> dict[str, list]:
        scores = scores if correct is None else list(map(correct, scores))
        return {SCORE: scores, PREDICTION: [value >= threshold for value in scores]}

    return columns


def _values(model: TrainedModel, correct: Callable[[float], float] | None) -> Columns:
    ends = model.intervals

    def columns(values: list[float]) -> dict[str, list]:
        values = values if correct is None else list(map(correct, values))
        told = {SCORE: values, PREDICTION: list(values)}
        if ends is not None:
            groups = [bisect_right(ends.edges, value) for value in values]
            told[LOWER] = [value + ends.below[group] for value, group in zip(values, groups, strict=True)]
            told[UPPER] = [value + ends.above[group] for value, group in zip(values, groups, strict=True)]
        return told

    return columns


def _classes(model: TrainedModel, correct: list[Callable[[float], float]]) -> Columns:
    called = called_classes(pl.Series(model.classes, dtype=pl.String), model.label_type).to_list()
    names = [probability_column(name) for name in model.classes]

    def columns(rows: list[list[float]]) -> dict[str, list]:
        if correct:
            rows = [_shared([one(value) for one, value in zip(correct, row, strict=True)]) for row in rows]
        highest = [max(row) for row in rows]
        told = {SCORE: highest}
        told[PREDICTION] = [called[row.index(top)] for row, top in zip(rows, highest, strict=True)]
        return told | {name: [row[at] for row in rows] for at, name in enumerate(names)}

    return columns


def _shared(row: list[float]) -> list[float]:
    total = sum(row)
    return [value / total for value in row] if total > 0 else [1 / len(row)] * len(row)


def _corrector(curve: Curve) -> Callable[[float], float]:
    return _stairs(curve.x, curve.y) if curve.x else _sigmoid(curve)


def _stairs(x: tuple[float, ...], y: tuple[float, ...]) -> Callable[[float], float]:
    """As `numpy.interp`, to the last bit: a threshold lies on a step, where many scores are one."""
    last = len(x) - 1

    def correct(score: float) -> float:
        at = bisect_right(x, score) - 1
        if at < 0:
            return y[0]
        if at >= last:
            return y[last]
        return y[at] if x[at] == score else (y[at + 1] - y[at]) / (x[at + 1] - x[at]) * (score - x[at]) + y[at]

    return correct


def _sigmoid(curve: Curve) -> Callable[[float], float]:
    def correct(score: float) -> float:
        score = min(max(score, EDGE), 1 - EDGE)
        # NumPy's functions, which differ from Python's in the last bit: the threshold is one of these numbers.
        log_odds = np.log(score) - np.log1p(-score)
        return float(1 / (1 + np.exp(-(curve.slope * log_odds + curve.intercept))))

    return correct
