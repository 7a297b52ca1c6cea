"""The rows that search and final fit learn from: negatives left out, a sample, and how much each row counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.training.kinds.base import FitWeights, ModelKind
from ml_assets.training.sampling.negatives import thin_negatives
from ml_assets.training.sampling.seeded import ClassSample, sample_classes
from ml_assets.training.sampling.weights import decay, declared_weights, sample_weights, scaled
from ml_assets.training.spec import TrainingSpec
from ml_assets.training.tasks import Task


@dataclass(frozen=True)
class LearnedRows:
    """Rows to learn from.

    Attributes:
        kept: share of the negatives of the training rows that are among them.
    """

    rows: pl.DataFrame
    weights: FitWeights
    kept: float


@dataclass(frozen=True)
class RowChoice:
    """How a declaration chooses and weighs the rows of train and validation.

    Attributes:
        time: column with the prediction time, by which rows age; needed by a half-life.
        metric: what the validation rows are measured by.
        sampled: whether the spine declares a sample, so that a row counts as all that it stands for.
    """

    task: Task
    kind: ModelKind
    training: TrainingSpec
    label: str
    time: str | None
    metric: str
    seed: int
    sampled: bool = False

    def choose(
        self,
        train: pl.DataFrame,
        validation: pl.DataFrame,
        classes: Sequence[str] | None,
        most: int | None = None,
    ) -> LearnedRows:
        """Choose the rows to learn from and weigh them and the validation rows.

        Args:
            most: rows of a sample; None takes all.

        Raises:
            ValueError: rows shall count differently and the kind takes no weights, a weight is none, or the rows of a
                part that count have labels of one class.
        """
        self._check_kind(train)
        validated = self._declared(validation, "validation")
        self._declared(train, "train")
        thinned = thin_negatives(train, self._positive(train), self.training.negatives, self.seed)
        sample = ClassSample(thinned.rows)
        if most is not None and thinned.rows.height > most:
            strata = self.task.strata(thinned.rows[self.label], classes)
            sample = sample_classes(thinned.rows, strata, most, self.seed, oversample=self.kind.takes_weights)
        declared = declared_weights(sample.rows, self.training, "train")
        weights = FitWeights(
            scaled(
                declared,
                sample_weights(sample.rows, self.sampled),
                self._decay(sample.rows, declared),
                stands_for=sample.weight,
            ),
            scaled(validated, sample_weights(validation, self.sampled), self._as_thinned(validation, thinned.kept)),
        )
        return LearnedRows(sample.rows, weights, thinned.kept)

    def _check_kind(self, train: pl.DataFrame) -> None:
        if self.training.weighted:
            self.kind.check_weights()
        if sample_weights(train, self.sampled) is not None and not self.kind.takes_weights:
            raise ValueError(
                "sample: some training rows stand for many and others for one, and a model of kind"
                f" {self.kind.declared} takes no weights of rows: let split.train leave out"
                " the one or the other, or choose another kind"
            )

    def _declared(self, rows: pl.DataFrame, part: str) -> np.ndarray | None:
        """Return the declared weights of a part, whose labels among the rows that count can be learned from."""
        weights = declared_weights(rows, self.training, part)
        if weights is not None:
            where = f"training.weight: the {part} part, of rows whose weight is above zero,"
            self.task.check_labels(part, rows[self.label].filter(weights > 0), where)
        return weights

    def _positive(self, rows: pl.DataFrame) -> np.ndarray:
        if self.training.negatives is None:
            return np.ones(rows.height, dtype=bool)
        return self.task.outcomes(rows[self.label], None) == 1

    def _decay(self, rows: pl.DataFrame, declared: np.ndarray | None) -> np.ndarray | None:
        if self.training.half_life is None:
            return None
        if self.time is None:
            raise ValueError("training.half_life: rows age by their prediction time: name its column")
        return decay(rows[self.time], self.training.half_life, declared)

    def _as_thinned(self, validation: pl.DataFrame, kept: float) -> np.ndarray | None:
        """Weigh validation rows as if negatives had been left out of them too.

        What a model of thinned rows gives, before correction, are probabilities among such rows: a loss measures them
        there, or the fit would go on until they are wrong. What goes by the order of the scores is measured on the rows
        as they are.
        """
        if kept == 1 or self.task.metrics[self.metric].by_order:
            return None
        return np.where(self._positive(validation), 1.0, kept)
