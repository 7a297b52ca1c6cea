"""What scores become: the columns of an answer, from arrays, or from a few numbers by plain Python.

There are three forms, which tasks name: a probability and whether it reaches a threshold (``binary``), a value and the
ends of its interval (``regression``), the probabilities of classes and the likeliest one (``multiclass``).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .curves import Correction, corrector, share

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"

SCORE, PREDICTION, LOWER, UPPER = "score", "prediction", "lower", "upper"

PROBABILITY = "probability_"
"""Begins the name of the column with the probability of a class."""

PlainColumns = Callable[[list], dict[str, list]]
"""Maps scores before calibration, a number for each row or a list of one per class, to lists by column."""


class IntervalEnds(Protocol):
    """How far the ends of an interval lie from the prediction, for each group along the prediction."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Predictions at which the next group begins, ascending."""
        ...

    @property
    def below(self) -> tuple[float, ...]:
        """What to add to a prediction of each group for the lower end."""
        ...

    @property
    def above(self) -> tuple[float, ...]:
        """What to add for the upper end."""
        ...


class AnsweringModel(Protocol):
    """What turns a model's scores into answers."""

    @property
    def threshold(self) -> float | None:
        """The probability from which an outcome is called positive."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The order of the classes in the scores."""
        ...

    @property
    def label_type(self) -> str:
        """Name of the label's type: String, Boolean, or that of an integer."""
        ...

    @property
    def intervals(self) -> IntervalEnds | None:
        """The ends of a value's interval."""
        ...


def probability_column(name: str) -> str:
    """Return the column with the probability of a class."""
    return f"{PROBABILITY}{name}"


def class_values(classes: Sequence[str], label_type: str) -> list[Any]:
    """Return the classes as values of the label's own type: text, booleans or integers."""
    if label_type == "String":
        return list(classes)
    return [name == "true" for name in classes] if label_type == "Boolean" else [int(name) for name in classes]


def interval_ends(intervals: IntervalEnds, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends, float64 of shape (rows,)."""
    group = np.searchsorted(np.array(intervals.edges), value, side="right")
    return value + np.array(intervals.below)[group], value + np.array(intervals.above)[group]


def columns(form: str, model: AnsweringModel, score: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns that calibrated scores become, by name.

    All but ``prediction`` are float64.

    - binary: ``score``, the probability of the positive class, and ``prediction``, whether it reaches the threshold.
    - regression: ``score`` and ``prediction``, both the value, and with intervals ``lower`` and ``upper``.
    - multiclass: ``score``, the highest probability, ``prediction``, its class in the label's own type, and
      ``probability_<class>`` for each class.
    """
    if form == MULTICLASS:
        return class_columns(model, score, score.argmax(axis=1))
    if form == BINARY:
        return {SCORE: score, PREDICTION: score >= model.threshold}
    ends = () if model.intervals is None else interval_ends(model.intervals, score)
    return {SCORE: score, PREDICTION: score, **dict(zip((LOWER, UPPER), ends, strict=False))}


def class_columns(model: AnsweringModel, score: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of several classes; ``chosen`` holds the position of each row's predicted class."""
    names = model.classes or ()
    values = np.array(class_values(names, model.label_type))
    answer = {SCORE: score.max(axis=1), PREDICTION: values[chosen]}
    return answer | {probability_column(name): score[:, at] for at, name in enumerate(names)}


def plain_columns(form: str, model: AnsweringModel, curves: Sequence[Correction]) -> PlainColumns:
    """Return a function that calibrates a few scores and makes of them what `columns` makes.

    An array of one number costs as much as one of a thousand: a dozen steps over it take longer than the trees.

    Args:
        curves: those of the model's calibration; none where it is not calibrated.
    """
    correct = [corrector(curve) for curve in curves]
    if form == MULTICLASS:
        return _plain_classes(model, correct)
    single = correct[0] if correct else None
    return _plain_probabilities(model, single) if form == BINARY else _plain_values(model, single)


def _plain_probabilities(model: AnsweringModel, correct: Callable[[float], float] | None) -> PlainColumns:
    threshold: Any = model.threshold

    def answer(scores: list[float]) -> dict[str, list]:
        scores = scores if correct is None else list(map(correct, scores))
        return {SCORE: scores, PREDICTION: [value >= threshold for value in scores]}

    return answer


def _plain_values(model: AnsweringModel, correct: Callable[[float], float] | None) -> PlainColumns:
    ends = model.intervals

    def answer(values: list[float]) -> dict[str, list]:
        values = values if correct is None else list(map(correct, values))
        columns = {SCORE: values, PREDICTION: list(values)}
        if ends is not None:
            groups = [bisect_right(ends.edges, value) for value in values]
            columns[LOWER] = [value + ends.below[group] for value, group in zip(values, groups, strict=True)]
            columns[UPPER] = [value + ends.above[group] for value, group in zip(values, groups, strict=True)]
        return columns

    return answer


def _plain_classes(model: AnsweringModel, correct: Sequence[Callable[[float], float]]) -> PlainColumns:
    classes = model.classes or ()
    called = class_values(classes, model.label_type)
    names = [probability_column(name) for name in classes]

    def answer(rows: list[list[float]]) -> dict[str, list]:
        if correct:
            rows = [share([each(value) for each, value in zip(correct, row, strict=True)]) for row in rows]
        highest = [max(row) for row in rows]
        columns = {SCORE: highest}
        columns[PREDICTION] = [called[row.index(top)] for row, top in zip(rows, highest, strict=True)]
        return columns | {name: [row[at] for row in rows] for at, name in enumerate(names)}

    return answer
