"""What a model said about rows, brought to the types that monitoring works on, by task."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.monitoring.inputs import labelled, predicted, zero_or_one
from ml_assets.training.metrics.ranked_scores import Measurable
from ml_assets.training.outcomes import align_classes, outcomes, pair
from ml_assets.training.scored import probability_column
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, Task


@dataclass(frozen=True)
class Outputs:
    """The columns of a scored frame, as ``ml_assets.training.scored`` makes them.

    Attributes:
        probability: of a binary task the probability of the positive class; of a regression the value.
        classes: order of the classes of a multiclass task, whose probabilities are ``probability_<class>``.
    """

    task: Task
    probability: str
    prediction: str
    label: str
    classes: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """All but the label."""
        several = [probability_column(name) for name in self.classes] if self.task == MULTICLASS else []
        return [self.probability, self.prediction, *several]

    def reference(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The reference's rows with a known label, typed.

        Raises:
            ValueError: a value is out of range, or the labels are too few to learn from.
        """
        known = self.known(self.said(frame, "reference"), "reference")
        if self.task == BINARY:
            return labelled(known, self.label)
        if known[self.label].n_unique() < 2:
            raise ValueError(
                f"reference: {known.height} rows with a known {self.label!r} hold one value of it, so nothing can be "
                "estimated from them; use a longer reference"
            )
        return known

    def said(self, frame: pl.DataFrame, what: str) -> pl.DataFrame:
        """Predictions typed: probabilities and values Float64, a binary prediction Int64, a class String."""
        if self.task == BINARY:
            return predicted(frame, what, self.probability, self.prediction)
        if self.task == REGRESSION:
            return _numbers(frame, what, self.prediction)
        for column in self.columns[2:]:
            score = frame[column].cast(pl.Float64)
            bad = frame.height - score.is_between(0, 1).sum()
            if bad:
                raise ValueError(f"{what}: {bad} of {frame.height} values of {column!r} are no probability 0..1")
        return frame.with_columns(pl.col(self.columns[2:]).cast(pl.Float64), pl.col(self.prediction).cast(pl.String))

    def known(self, frame: pl.DataFrame, what: str) -> pl.DataFrame:
        """The rows whose label is known, typed as the prediction is."""
        known = frame.drop_nulls(self.label)
        if self.task == BINARY:
            return zero_or_one(known, what, self.label)
        if self.task == REGRESSION:
            return _numbers(known, what, self.label)
        return known.with_columns(pl.col(self.label).cast(pl.String))

    def measurable(self, rows: pl.DataFrame) -> Measurable:
        """Typed rows with labels as ``training.metrics.measure`` takes them.

        A class that the model has never seen counts as one to which it gave probability 0.
        """
        if self.task != MULTICLASS:
            return pair(outcomes(rows[self.label], self.task, None), rows[self.score].to_numpy(), self.task)
        unseen = sorted(set(rows[self.label]) - set(self.classes))
        every = (*self.classes, *unseen)
        score = align_classes(rows.select(self.columns[2:]).to_numpy(), self.classes, every)
        return pair(outcomes(rows[self.label], self.task, every), score, self.task)

    @property
    def score(self) -> str:
        """The column that a binary or a regression model is measured by."""
        return self.prediction if self.task == REGRESSION else self.probability


def _numbers(frame: pl.DataFrame, what: str, column: str) -> pl.DataFrame:
    values = frame[column].cast(pl.Float64)
    bad = frame.height - values.is_finite().sum()
    if bad:
        raise ValueError(f"{what}: {bad} of {frame.height} values of {column!r} are no finite number")
    return frame.with_columns(values)
