"""The names of the columns that predictions become."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

SCORE, PREDICTION, LOWER, UPPER = "score", "prediction", "lower", "upper"

PROBABILITY = "probability_"
"""Begins the name of the column with the probability of a class."""


@dataclass(frozen=True)
class ScoredColumns:
    """The columns of a scored frame that hold what a model predicted, and the label.

    Attributes:
        probability: the column of the score: the probability of the positive class or the value.
        classes: order of the classes of a model that has some, whose probabilities are ``probability_<class>``.
    """

    label: str
    probability: str = SCORE
    prediction: str = PREDICTION
    classes: Sequence[str] = ()

    @property
    def class_probabilities(self) -> list[str]:
        """The columns with the probability of a class, in the order of the classes."""
        return [probability_column(name) for name in self.classes]

    @property
    def predicted(self) -> list[str]:
        """All columns but the label."""
        return [self.probability, self.prediction, *self.class_probabilities]


def probability_column(name: str) -> str:
    """Return the column with the probability of a class."""
    return f"{PROBABILITY}{name}"


def scored_classes(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the classes of one multiclass model's scored rows, in the order of the columns.

    A table of several models' rows has a column for the classes of each: those of another model are null.
    """
    own = [name for name in frame.columns if name.startswith(PROBABILITY) and frame[name].null_count() < frame.height]
    return tuple(name.removeprefix(PROBABILITY) for name in own)


def called_classes(called: pl.Series, label_type: str) -> pl.Series:
    """Cast names of classes to the label's own type."""
    if label_type == "Boolean":
        return called == "true"
    return called if label_type == "String" else called.cast(getattr(pl, label_type))
