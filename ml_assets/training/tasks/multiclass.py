"""A choice among classes: the score is a probability of each class."""

# ruff: noqa: ARG002 - a task takes what others need
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ml_assets.fairness.views import Decided, FairnessView
from ml_assets.scoring_core import answers
from ml_assets.training.metrics.measure import Measurable
from ml_assets.training.metrics.metric import CALIBRATION_ERRORS
from ml_assets.training.metrics.ranked_classes import RankedClasses, rank_classes
from ml_assets.training.tasks.baselines import ClassBaseline, fit_class_rates
from ml_assets.training.tasks.classes import align_classes, class_codes, learn_classes
from ml_assets.training.tasks.columns import PREDICTION, ScoredColumns, as_series, probability_column, scored_classes
from ml_assets.training.tasks.task import Scorer, Task

_MOST_CLASSES = 200
_SHOWN_CLASSES = 20
_FEW_NUMBERS = 20  # distinct whole numbers up to which they are most likely classes
_SCORE, _HIT, _OF_LABEL = "__score", "__hit", "__of_label"


class Multiclass(Task):
    """A choice among classes."""

    name = "multiclass"
    described = "Which"
    label_words = "text, boolean or integer"
    learned_as = "multiclass"
    metrics = RankedClasses.metrics
    measured = tuple(metrics)
    optimised = ("log_loss", "roc_auc_ovr")
    leak_metric = "roc_auc_ovr"
    calibratable = True
    answers = "the likeliest class, its probability and that of every class"
    estimator = "confidence"
    estimable: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "macro_f1": "f1",
    }  # of several classes, NannyML's f1 is the mean over them
    estimated = ("accuracy", "macro_f1")

    def stopping_metric(self, metric: str) -> str | None:
        """Return log_loss for the metrics of the classes that are called; None for the calibration error."""
        if metric in self.optimised:
            return metric
        return "log_loss" if metric in self.metrics and metric not in CALIBRATION_ERRORS else None

    def takes(self, dtype: pl.DataType) -> bool:
        """Return whether the type is text, boolean or whole numbers."""
        return dtype == pl.Boolean or dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)

    def suits(self, dtype: pl.DataType, distinct: pl.Series | None) -> bool | None:
        """Return whether the labels are text, or whole numbers of which there are few."""
        if not dtype.is_integer():
            return dtype == pl.String
        return None if distinct is None else len(distinct) <= _FEW_NUMBERS

    def check_labels(self, part: str, label: pl.Series, where: str) -> None:
        """Raise ValueError unless there are at least two classes, and at most 200."""
        if label.n_unique() < 2:
            raise ValueError(f"{where} has only labels of class {label[0]}: make split.{part} longer, two are needed")
        if label.n_unique() > _MOST_CLASSES:
            raise ValueError(
                f"{where} has {label.n_unique()} classes in column {label.name}, at most {_MOST_CLASSES} are possible:"
                " is it a number to predict (task: regression)?"
            )

    def check_parts(self, parts: Mapping[str, pl.Series]) -> None:
        """Raise ValueError if validation or holdout has a class that training lacks."""
        known = parts["train"].cast(pl.String).unique()
        for name in ("validation", "holdout"):
            seen = parts[name].cast(pl.String).unique()
            new = seen.filter(~seen.is_in(known.implode())).sort().to_list()
            if new:
                raise ValueError(
                    f"the {name} part has the classes {new[:10]} in column {parts[name].name}, which the train part has"
                    " not: train on a longer history, or make rare classes one before"
                )

    def classes_of(self, label: pl.Series) -> tuple[str, ...]:
        """Return the distinct labels: numbers in their order, all else in that of the alphabet."""
        return learn_classes(label)

    def outcomes(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return positions of classes as int64."""
        return class_codes(label, classes or ())

    def strata(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return positions of classes."""
        return class_codes(label, classes or ())

    def pair(self, outcome: np.ndarray, score: np.ndarray, threshold: float | None = None) -> Measurable:
        """Rank the rows by the probability of each class."""
        return rank_classes(outcome, score)

    def score_columns(self, model: Scorer, score: np.ndarray) -> list[pl.Series]:
        """Return the columns of several classes.

        They are ``score``, the highest probability, ``prediction``, its class in the label's own type (text for a
        category), and ``probability_<class>`` for each class.
        """
        by_name = answers.class_columns(model, score, self.choose_class(score))
        return as_series(by_name, {PREDICTION: getattr(pl, model.label_type)})

    def choose_class(self, score: np.ndarray) -> np.ndarray:
        """Return the position of the class that is predicted of each row: the likeliest."""
        return score.argmax(axis=1)

    def read_scores(self, frame: pl.DataFrame, classes: Sequence[str] | None) -> np.ndarray:
        """Return the probabilities of the classes."""
        return frame.select(probability_column(name) for name in classes or ()).to_numpy()

    def read_classes(self, frame: pl.DataFrame) -> tuple[str, ...]:
        """Return the classes that have a column with values."""
        return scored_classes(frame)

    def summarise_predictions(self, prediction: pl.Series) -> dict[str, Any]:
        """Count how often each class is predicted."""
        return {"called": prediction.value_counts(sort=True).head(_SHOWN_CLASSES)}

    def fit_baseline(
        self, train: pl.DataFrame, *, label: str, by: str | None, metric: str | None, classes: Sequence[str] | None
    ) -> ClassBaseline:
        """Learn the share of each class."""
        return fit_class_rates(train, label, by, tuple(classes or learn_classes(train[label])))

    def slice_columns(self, outcome: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
        """Return whether the predicted class is right, the probability of the known one, and the highest."""
        of_label = score[np.arange(len(outcome)), outcome]
        return {_HIT: self.choose_class(score) == outcome, _OF_LABEL: of_label, _SCORE: score.max(axis=1)}

    def slice_measures(self) -> dict[str, pl.Expr]:
        """Measure accuracy, mean score and log loss."""
        epsilon = float(np.finfo(np.float64).eps)
        return {
            "accuracy": pl.col(_HIT).mean(),
            "mean_score": pl.col(_SCORE).mean(),
            "log_loss": -pl.col(_OF_LABEL).clip(epsilon, 1 - epsilon).log().mean(),
        }

    def fairness_views(self, label: str, classes: Sequence[str] | None) -> list[FairnessView]:
        """Look at each class against the rest."""
        predicted, known = pl.col(PREDICTION).cast(pl.String), pl.col(label).cast(pl.String)
        return [
            Decided(name, predicted == name, known == name, pl.col(probability_column(name)).cast(pl.Float64))
            for name in classes or ()
        ]

    def plots(self, model: Scorer, outcome: np.ndarray, score: np.ndarray) -> dict[str, bytes]:
        """Draw the confusion of classes, and the calibration of the likeliest one."""
        from ml_assets.training.calibration.probabilities import trusted_scores
        from ml_assets.training.plots import plot_calibration, plot_confusion

        trusted = trusted_scores(outcome, score)
        return {
            "confusion": plot_confusion(outcome, self.choose_class(score), model.classes or ()),
            "calibration": plot_calibration(trusted.label, trusted.score),
        }

    def typed_scores(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the probabilities to Float64 and the predicted class to String."""
        for column in columns.class_probabilities:
            score = frame[column].cast(pl.Float64)
            bad = frame.height - score.is_between(0, 1).sum()
            if bad:
                raise ValueError(f"{what}: {bad} of {frame.height} values of {column!r} are no probability 0..1")
        return frame.with_columns(
            pl.col(columns.class_probabilities).cast(pl.Float64), pl.col(columns.prediction).cast(pl.String)
        )

    def typed_labels(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the label to String."""
        return frame.with_columns(pl.col(columns.label).cast(pl.String))

    def measurable(self, rows: pl.DataFrame, columns: ScoredColumns) -> Measurable:
        """Count a class that the model has never seen as one to which it gave probability 0."""
        unseen = sorted(set(rows[columns.label]) - set(columns.classes))
        every = (*columns.classes, *unseen)
        score = align_classes(rows.select(columns.class_probabilities).to_numpy(), columns.classes, every)
        return self.pair(self.outcomes(rows[columns.label], every), score)

    def row_losses(self, rows: pl.DataFrame, columns: ScoredColumns, metric: str) -> np.ndarray:
        """Return the Brier score of each row: the sum over classes of (probability - whether it is the class)^2.

        A class that the model has never seen counts as one to which it gave probability 0.
        """
        score = rows.select(columns.class_probabilities).to_numpy()
        place = {name: at for at, name in enumerate(columns.classes)}
        known = np.array([place.get(name, -1) for name in rows[columns.label].cast(pl.String)])
        of_label = np.where(known >= 0, score[np.arange(len(score)), known], 0.0)
        return (score**2).sum(axis=1) - 2 * of_label + 1.0

    def row_loss(self, metric: str) -> str:
        """Return its name."""
        return "Brier score"


TASK = Multiclass()
