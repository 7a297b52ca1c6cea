"""A scored frame: the columns that a model's predictions become, and the way back."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.training.conformal import interval_ends
from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.tasks import MULTICLASS, PROBABILITY, REGRESSION, Task

SCORE, PREDICTION, LOWER, UPPER = "score", "prediction", "lower", "upper"


def probability_column(name: str) -> str:
    """The column with the probability of a class."""
    return f"{PROBABILITY}{name}"


def scored_classes(frame: pl.DataFrame) -> tuple[str, ...]:
    """The classes of one multiclass model's scored rows, in the order of the columns.

    A table of several models' rows has a column for the classes of each: those of another model are null.
    """
    own = [name for name in frame.columns if name.startswith(PROBABILITY) and frame[name].null_count() < frame.height]
    return tuple(name.removeprefix(PROBABILITY) for name in own)


def scored(rows: pl.DataFrame, model: TrainedModel) -> pl.DataFrame:
    """``rows`` with what the model says about them; see ``score_columns``.

    Raises:
        ValueError: a feature is missing, has changed its kind, or is infinite.
    """
    return rows.with_columns(score_columns(model, predict(model, rows)))


def score_columns(model: TrainedModel, score: np.ndarray) -> list[pl.Series]:
    """The columns of what ``predict`` gave.

    - binary: ``score``, the probability of the positive class, and ``prediction``, whether it reaches the threshold.
    - regression: ``score`` and ``prediction``, both the value, and with intervals ``lower`` and ``upper``.
    - multiclass: ``score``, the highest probability, ``prediction``, its class in the label's own type (text for a
      category), and ``probability_<class>`` for each class.

    All but ``prediction`` are float64.
    """
    if model.task == MULTICLASS:
        called = pl.Series(PREDICTION, np.array(model.classes)[score.argmax(axis=1)], dtype=pl.String)
        return [
            pl.Series(SCORE, score.max(axis=1)),
            called_classes(called, model.label_type),
            *(pl.Series(probability_column(name), score[:, at]) for at, name in enumerate(model.classes)),
        ]
    if model.task == REGRESSION:
        ends = (
            [] if model.intervals is None else zip((LOWER, UPPER), interval_ends(model.intervals, score), strict=True)
        )
        return [pl.Series(SCORE, score), pl.Series(PREDICTION, score), *(pl.Series(name, end) for name, end in ends)]
    column = pl.Series(SCORE, score)
    return [column, (column >= model.threshold).alias(PREDICTION)]


def read_scores(frame: pl.DataFrame, task: Task, classes: Sequence[str] | None) -> np.ndarray:
    """What ``predict`` gave, out of a scored frame: shape (rows,), or (rows, classes)."""
    if task == MULTICLASS:
        return frame.select(probability_column(name) for name in classes).to_numpy()
    return frame[SCORE].to_numpy()


def called_classes(called: pl.Series, label_type: str) -> pl.Series:
    """Names of classes as values of the label's own type."""
    if label_type == "Boolean":
        return called == "true"
    return called if label_type == "String" else called.cast(getattr(pl, label_type))
