"""The names of the columns that predictions become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl

from ml_assets.scoring_core.answers import LOWER, PREDICTION, PROBABILITY, SCORE, UPPER, probability_column
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.metrics.payoffs import NEVER

__all__ = [
    "LOWER",
    "NAIVE",
    "NAIVE_ERROR",
    "PREDICTION",
    "PROBABILITY",
    "SCORE",
    "UPPER",
    "ScoredColumns",
    "as_series",
    "decided_from",
    "probability_column",
    "scored_classes",
]

NAIVE = "seasonal_naive"
"""The label of a row's series one season earlier, or as many as it takes for it to be known at the row's time."""

NAIVE_ERROR = "seasonal_naive_error"
"""Root mean squared error over the training rows of a series of what was one season earlier: the scale of rmsse."""


@dataclass(frozen=True)
class ScoredColumns:
    """The columns of a scored frame that hold what a model predicted, and the label.

    Attributes:
        probability: the column of the score: the probability of the positive class or the value.
        classes: order of the classes of a model that has some, whose probabilities are ``probability_<class>``.
        payoff: what decisions bring, where that is declared.
    """

    label: str
    probability: str = SCORE
    prediction: str = PREDICTION
    classes: Sequence[str] = ()
    payoff: Payoff | None = None

    @property
    def class_probabilities(self) -> list[str]:
        """The columns with the probability of a class, in the order of the classes."""
        return [probability_column(name) for name in self.classes]

    @property
    def predicted(self) -> list[str]:
        """All columns but the label and the payoffs."""
        return [self.probability, self.prediction, *self.class_probabilities]

    @property
    def paid(self) -> list[str]:
        """The columns with payoffs."""
        return [] if self.payoff is None else self.payoff.columns


def scored_classes(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the classes of one multiclass model's scored rows, in the order of the columns.

    A table of several models' rows has a column for the classes of each: those of another model are null.
    """
    own = [name for name in frame.columns if name.startswith(PROBABILITY) and frame[name].null_count() < frame.height]
    return tuple(name.removeprefix(PROBABILITY) for name in own)


def decided_from(scored: pl.DataFrame) -> float:
    """Return a threshold that gives the predictions of one version's rows: the least score called positive."""
    least = scored.filter(pl.col(PREDICTION).cast(pl.Boolean))[SCORE].min()
    return NEVER if least is None else cast("float", least)


def as_series(
    columns: Mapping[str, np.ndarray], types: Mapping[str, type[pl.DataType]] | None = None
) -> list[pl.Series]:
    """Return arrays as columns of a frame, some of them cast to a type."""
    return [pl.Series(name, values, dtype=(types or {}).get(name)) for name, values in columns.items()]
