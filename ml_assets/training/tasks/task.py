"""What a task is: the kind of outcome a model predicts, and all that follows from it."""

# ruff: noqa: ARG002, B027 - hooks that a task overrides where it has something to do
from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ml_assets.training.metrics.metric import PINBALL, Metric

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from ml_assets.fairness.views import FairnessView
    from ml_assets.training.calibration.intervals import Intervals
    from ml_assets.training.calibration.probabilities import Calibration
    from ml_assets.training.metrics.measure import Measurable
    from ml_assets.training.metrics.payoff import Payoff
    from ml_assets.training.metrics.payoffs import Payoffs
    from ml_assets.training.tasks.baselines import Baseline, ClassBaseline
    from ml_assets.training.tasks.columns import ScoredColumns


class Scorer(Protocol):
    """What a task reads of a fitted model to turn its scores into columns; a ``TrainedModel`` is one."""

    @property
    def threshold(self) -> float | None:
        """The score from which a row is called positive, if there is a positive class."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The order of the classes in the scores, if there are classes."""
        ...

    @property
    def label_type(self) -> str:
        """The Polars name of the label's type."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """The correction of the scores."""
        ...

    @property
    def intervals(self) -> Intervals | None:
        """What lower and upper ends are made of."""
        ...


class Task(ABC):
    """The kind of outcome a model predicts, and all that follows from it.

    A new task is a module with a subclass and an instance of it, registered under its name: by an entry point of the
    group ``ml_assets.tasks``, or in the process by ``TASKS.register``. Where it is close to one of the built-in tasks
    it extends that class (a choice among ordered classes extends ``Multiclass``), and says in ``learned_as`` which of
    them a model kind fits it as.

    A label is a column of the training set. An *outcome* is the label as metrics take it, a *score* what a model
    gives: shape (rows,), or (rows, classes).

    Attributes:
        name: what declarations, records and tags call it.
        described: begins the description of a scaffolded model, before "<label> is".
        label_words: the types of label that it takes, in words.
        learned_as: name of the built-in task (binary, multiclass, regression) whose objective a model kind uses, and
            whose form scores have.
        metrics: every metric that fits, by name.
        measured: the metrics of every evaluation, in this order.
        optimised: the metrics that early stopping can watch and a search optimise; the first is the default.
        promoted_by: metric that champion and challenger are compared by where none is declared; None: the model's own.
        leak_metric: name of what ``leak_strength`` measures.
        has_positive: there is a positive class, a score from which it is called, and a share of rows that have it.
        calibratable: scores are probabilities, which can be calibrated.
        has_payoff: decisions can have declared payoffs.
        has_intervals: predictions can have a lower and an upper end.
        forecasts: labels of one series come at regular moments, so that an earlier one is a forecast of a later one.
        relative_drop: a fall of a metric is tolerated as a share of the metric, as it has the label's unit.
        answers: what a prediction holds, in words.
        importance_unit: the unit of SHAP values.
        estimator: name of the way in which monitoring estimates performance before labels are known, one of
            ``ml_assets.monitoring.performance.estimators``; None if there is none.
        estimable: metric -> the estimator's name for it; one that ``is_estimable`` adds has its own name there.
        estimated: the metrics that are estimated where none are declared.
    """

    name: ClassVar[str]
    described: ClassVar[str]
    label_words: ClassVar[str]
    learned_as: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    measured: ClassVar[tuple[str, ...]]
    optimised: ClassVar[tuple[str, ...]]
    promoted_by: ClassVar[str | None] = None
    leak_metric: ClassVar[str]
    has_positive: ClassVar[bool] = False
    calibratable: ClassVar[bool] = False
    has_payoff: ClassVar[bool] = False
    has_intervals: ClassVar[bool] = False
    forecasts: ClassVar[bool] = False
    relative_drop: ClassVar[bool] = False
    answers: ClassVar[str]
    importance_unit: ClassVar[str] = "log-odds"
    estimator: ClassVar[str | None] = None
    estimable: ClassVar[Mapping[str, str]] = {}
    estimated: ClassVar[tuple[str, ...]] = ()

    # Metrics

    @property
    def has_quantiles(self) -> bool:
        """Whether pinball losses fit."""
        return any(name in self.metrics for name in PINBALL)

    def is_optional(self, metric: str) -> bool:
        """Return whether a metric fits and is measured only where a declaration names it."""
        return metric in self.metrics and metric not in self.measured

    def stopping_metric(self, metric: str) -> str | None:
        """Return the metric that early stopping watches while a search optimises this one, which is measured after each
        fit where the two differ; None where a search cannot optimise it."""
        return metric if metric in self.optimised else None

    def watched_while_searching(self, metric: str) -> str:
        """Return ``stopping_metric``; ValueError where a search cannot optimise the metric."""
        watched = self.stopping_metric(metric)
        if watched is None:
            raise ValueError(f"metric: a search cannot optimise {metric} for the task {self.name}")
        return watched

    def is_estimable(self, metric: str) -> bool:
        """Return whether a metric can be estimated before labels are known."""
        return metric in self.estimable

    def measured_with(self, more: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the metrics of every evaluation, and those of ``more`` that are not among them."""
        return tuple(dict.fromkeys([*self.measured, *more]))

    # The label

    @abstractmethod
    def takes(self, dtype: pl.DataType) -> bool:
        """Return whether a column of this type can be the label."""

    def suits(self, dtype: pl.DataType, distinct: pl.Series | None) -> bool | None:
        """Return whether a column is most likely a label of this task, for a declaration that names none.

        Args:
            distinct: the column's values, each once and without null; None where no row is at hand.

        Returns:
            None if that depends on values and there are none.
        """
        return False

    def suggest_metric(self, label: pl.Series) -> str | None:
        """Return the metric to optimise for such labels, without null; None where the task's own default suits."""
        return None

    def check_label_type(self, column: str, dtype: pl.DataType) -> None:
        """Raise ValueError unless a column of this type can be the label."""
        if not self.takes(dtype):
            raise ValueError(f"label {column} is {dtype}, it must be {self.label_words}")

    @abstractmethod
    def check_labels(self, part: str, label: pl.Series, where: str) -> None:
        """Raise ValueError unless the labels of a part of a split can be learned from or measured by.

        Args:
            part: name of the part, as ``split.<part>`` in a declaration.
            where: the part in words.
        """

    def check_parts(self, parts: Mapping[str, pl.Series]) -> None:
        """Raise ValueError unless the labels of train, validation and holdout go together."""

    def classes_of(self, label: pl.Series) -> tuple[str, ...] | None:
        """Return the classes that training labels hold, as text; None for a task without classes."""
        return None

    @abstractmethod
    def outcomes(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return labels as metrics take them, shape (rows,)."""

    def targets(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return labels as a library learns from them, shape (rows,); by default as ``outcomes``."""
        return self.outcomes(label, classes)

    # Scores

    @abstractmethod
    def pair(self, outcome: np.ndarray, score: np.ndarray, threshold: float | None = None) -> Measurable:
        """Pair outcomes with what ``predict`` gave for the same rows, ready for ``measure`` and ``bootstrap``."""

    def beside(self, scores: Measurable, rows: pl.DataFrame, payoff: Payoff | None = None) -> Measurable:
        """Add to paired scores what metrics read of their rows beside outcome and score; by default nothing.

        Args:
            rows: a frame of the same rows in the same order, with what columns it has.
            payoff: what decisions about these rows bring, where that is declared.
        """
        return scores

    def choose_threshold(self, outcome: np.ndarray, score: np.ndarray, payoffs: Payoffs | None = None) -> float | None:
        """Return the score from which a row is called positive; None of a task without a positive class."""
        return None

    def strata(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray | None:
        """Return each row's class as a whole number from 0, shape (rows,), for a sample that keeps rare classes; None
        of a task whose samples need not."""
        return None

    @abstractmethod
    def score_columns(self, model: Scorer, score: np.ndarray) -> list[pl.Series]:
        """Return the columns that calibrated scores become: ``score``, ``prediction``, and what the task adds."""

    def read_scores(self, frame: pl.DataFrame, classes: Sequence[str] | None) -> np.ndarray:
        """Read the scores that ``predict`` gave out of a scored frame: shape (rows,), or (rows, classes)."""
        from ml_assets.training.tasks.columns import SCORE

        return frame[SCORE].to_numpy()

    def read_classes(self, frame: pl.DataFrame) -> tuple[str, ...] | None:
        """Return the classes of one model's scored rows, in the order of their columns; None without classes."""
        return None

    def summarise_predictions(self, prediction: pl.Series) -> dict[str, Any]:
        """Summarise scored rows beside their mean score: a number or a small table by name."""
        return {}

    # Evaluation

    @abstractmethod
    def fit_baseline(
        self, train: pl.DataFrame, *, label: str, by: str | None, metric: str | None, classes: Sequence[str] | None
    ) -> Baseline | ClassBaseline:
        """Learn the naive prediction that is best under ``metric``, of all rows and of each value of ``by``."""

    @abstractmethod
    def slice_columns(self, outcome: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns that ``slice_measures`` reads, each of shape (rows,)."""

    @abstractmethod
    def slice_measures(self) -> dict[str, pl.Expr]:
        """Return the measures of one value of a slice column, by name: aggregations of ``slice_columns``."""

    def forecast_measures(self) -> dict[str, pl.Expr]:
        """Return the measures of slices of rows that have ``NAIVE_ERROR``, which they read beside ``slice_columns``."""
        return {}

    def plots(self, model: Scorer, outcome: np.ndarray, score: np.ndarray) -> dict[str, bytes]:
        """Draw the scores of the holdout: PNG bytes by name."""
        return {}

    def leak_strength(self, outcome: np.ndarray, score: np.ndarray) -> float:
        """Measure how well one feature alone predicts the outcome: 0.5 is not at all, 1 perfectly."""
        from ml_assets.training.metrics.measure import measure

        return measure(self.pair(outcome, score), [self.leak_metric])[self.leak_metric]

    # Fairness

    def fairness_views(self, label: str, classes: Sequence[str] | None) -> Sequence[FairnessView]:
        """Return how the rows of a scored frame are looked at to compare groups; by default not at all.

        Args:
            label: column with the label, null where it is not known.
            classes: of the model that scored the rows, if it has some.
        """
        return ()

    def is_fairness_limit(self, name: str) -> bool:
        """Return whether what a limit of fairness is about is measured of this task."""
        from ml_assets.fairness.rules import LIMITS

        return any({*LIMITS[name].measures} <= {*view.measured} for view in self.fairness_views("label", ("class",)))

    # Monitoring and retraining

    @abstractmethod
    def typed_scores(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the predictions of a scored frame to the types that monitoring works on.

        Args:
            what: the frame in words.

        Raises:
            ValueError: a value is out of range.
        """

    @abstractmethod
    def typed_labels(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast known labels to the type of the prediction; raises as ``typed_scores``."""

    def check_reference(self, known: pl.DataFrame, columns: ScoredColumns) -> None:
        """Raise ValueError unless performance can be estimated from these rows, whose labels are known."""
        if known[columns.label].n_unique() < 2:
            raise ValueError(
                f"reference: {known.height} rows with a known {columns.label!r} hold one value of it, so nothing can "
                "be estimated from them; use a longer reference"
            )

    def measurable(self, rows: pl.DataFrame, columns: ScoredColumns) -> Measurable:
        """Return typed rows with labels as ``measure`` takes them."""
        return self.pair(self.outcomes(rows[columns.label], None), rows[columns.probability].to_numpy())

    def row_losses(self, rows: pl.DataFrame, columns: ScoredColumns, metric: str) -> np.ndarray:
        """Return what is lost on each typed row whose label is known, float64 of shape (rows,); less is better.

        Means of rows say where a metric of all rows has fallen, also one that no row has by itself. By default the
        squared difference of score and outcome.

        Args:
            metric: the model's.
        """
        outcome = self.outcomes(rows[columns.label], None)
        return (rows[columns.probability].to_numpy() - outcome) ** 2

    def row_loss(self, metric: str) -> str:
        """Return what ``row_losses`` are, in words."""
        return "squared difference of score and outcome"

    def realised(self, rows: pl.DataFrame, columns: ScoredColumns, names: Sequence[str]) -> dict[str, float | None]:
        """Measure typed rows whose labels are known, at least one; None where a metric is undefined."""
        from ml_assets.training.metrics.measure import measure

        values = measure(self.measurable(rows, columns), names)
        return {name: None if math.isnan(value) else value for name, value in values.items()}
