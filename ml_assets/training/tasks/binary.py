"""A yes or no: the score is the probability of the positive class."""

# ruff: noqa: ARG002 - a task takes what others need
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ml_assets.fairness.views import Decided, FairnessView
from ml_assets.scoring_core import answers
from ml_assets.training.metrics.measure import Measurable
from ml_assets.training.metrics.metric import CALIBRATION_ERRORS, VALUE, TopOfList
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.metrics.payoffs import NEVER, Payoffs, best_value_threshold
from ml_assets.training.metrics.ranked_scores import RankedScores, rank_scores
from ml_assets.training.tasks.baselines import Baseline, fit_rates
from ml_assets.training.tasks.columns import PREDICTION, SCORE, ScoredColumns, as_series
from ml_assets.training.tasks.task import Scorer, Task

_LABEL, _SCORE = "__label", "__score"

RARE = 0.05
"""Share of positives below which what is measured of all rows says little of them."""


class Binary(Task):
    """A yes or no."""

    name = "binary"
    described = "Probability that"
    label_words = "boolean or integer 0/1"
    learned_as = "binary"
    metrics = RankedScores.metrics
    measured = tuple(metrics)
    optimised = ("roc_auc", "average_precision", "log_loss")
    promoted_by = "roc_auc"
    leak_metric = "roc_auc"
    has_positive = True
    has_payoff = True
    calibratable = True
    answers = "the probability and whether it reaches the threshold"
    estimator = "confidence"
    estimable: ClassVar[Mapping[str, str]] = {
        "roc_auc": "roc_auc",
        "average_precision": "average_precision",
        "f1": "f1",
    }
    estimated = ("roc_auc", "f1")

    def stopping_metric(self, metric: str) -> str | None:
        """Return average_precision for what goes by the order of the scores, log_loss for what goes by the scores or by
        decisions; None for calibration errors, which scores that say nothing make small."""
        if metric in self.optimised:
            return metric
        if metric not in self.metrics or metric in CALIBRATION_ERRORS:
            return None
        return "average_precision" if self.metrics[metric].by_order else "log_loss"

    def is_estimable(self, metric: str) -> bool:
        """Return whether a metric follows from calibrated probabilities: also what decisions bring, and the top of a
        list."""
        return metric in self.estimable or metric == VALUE or TopOfList.parse(metric) is not None

    def takes(self, dtype: pl.DataType) -> bool:
        """Return whether the type is boolean or whole numbers."""
        return dtype == pl.Boolean or dtype.is_integer()

    def suits(self, dtype: pl.DataType, distinct: pl.Series | None) -> bool | None:
        """Return whether the labels are booleans, or whole numbers that are all 0 or 1."""
        if not dtype.is_integer():
            return dtype == pl.Boolean
        return None if distinct is None else distinct.is_in([0, 1]).all()

    def suggest_metric(self, label: pl.Series) -> str | None:
        """Return average_precision where positives are rare: ROC AUC hardly moves among so many negatives."""
        share = label.cast(pl.Float64).mean()
        return "average_precision" if isinstance(share, float) and 0 < share < RARE else None

    def check_labels(self, part: str, label: pl.Series, where: str) -> None:
        """Raise ValueError unless the labels are 0 and 1, with both present."""
        values = label.cast(pl.Int64).unique().sort().to_list()
        if not set(values) <= {0, 1}:
            raise ValueError(f"{where} has labels {values[:10]} in column {label.name}: a binary label is 0 or 1")
        if len(values) < 2:
            raise ValueError(f"{where} has only labels of class {values[0]}: make split.{part} longer, both are needed")

    def outcomes(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return 0 and 1 as float64."""
        return label.cast(pl.Float64).to_numpy()

    def targets(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return 0 and 1 as float32."""
        return label.cast(pl.Float32).to_numpy()

    def pair(self, outcome: np.ndarray, score: np.ndarray, threshold: float | None = None) -> RankedScores:
        """Rank the rows by their score; without a threshold a row is called positive from 0.5 on."""
        return rank_scores(outcome, score, 0.5 if threshold is None else threshold)

    def beside(self, scores: Measurable, rows: pl.DataFrame, payoff: Payoff | None = None) -> Measurable:
        """Add what the decisions bring, where that is declared."""
        if payoff is None or not isinstance(scores, RankedScores):
            return scores
        return replace(scores, payoffs=payoff.of_rows(rows))

    def choose_threshold(self, outcome: np.ndarray, score: np.ndarray, payoffs: Payoffs | None = None) -> float:
        """Choose the threshold whose decisions bring most; without payoffs that with the highest F1."""
        return best_f1_threshold(outcome, score) if payoffs is None else best_value_threshold(outcome, score, payoffs)

    def strata(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return 0 and 1."""
        return label.cast(pl.Int64).to_numpy()

    def score_columns(self, model: Scorer, score: np.ndarray) -> list[pl.Series]:
        """Return ``score``, the probability, and ``prediction``, whether it reaches the threshold."""
        return as_series(answers.columns(self.learned_as, model, score))

    def summarise_predictions(self, prediction: pl.Series) -> dict[str, Any]:
        """Count how many rows are called positive."""
        return {"predicted_positive_share": prediction.mean()}

    def fit_baseline(
        self, train: pl.DataFrame, *, label: str, by: str | None, metric: str | None, classes: Sequence[str] | None
    ) -> Baseline:
        """Learn the share of positives."""
        return fit_rates(train, pl.col(label).cast(pl.Float64), by)

    def slice_columns(self, outcome: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
        """Return outcome and score."""
        return {_LABEL: outcome, _SCORE: score}

    def slice_measures(self) -> dict[str, pl.Expr]:
        """Measure prevalence, mean score, ROC AUC (null when only one class occurs) and Brier score."""
        label, score = pl.col(_LABEL), pl.col(_SCORE)
        positives = label.sum()
        pairs = positives * (pl.len() - positives)
        # Mann-Whitney: the rank sum of the positives counts the pairs in which the positive scores higher.
        wins = score.rank("average").filter(label == 1).sum() - positives * (positives + 1) / 2
        return {
            "prevalence": label.mean(),
            "mean_score": score.mean(),
            "roc_auc": pl.when(pairs > 0).then(wins / pairs),
            "brier": ((score - label) ** 2).mean(),
        }

    def row_loss(self, metric: str) -> str:
        """Return the name of the squared difference of probability and outcome."""
        return "Brier score"

    def fairness_views(self, label: str, classes: Sequence[str] | None) -> list[FairnessView]:
        """Look at who is called positive, and rightly so."""
        called, positive = pl.col(PREDICTION).cast(pl.Boolean), pl.col(label).cast(pl.Boolean)
        return [Decided("", called, positive, pl.col(SCORE).cast(pl.Float64))]

    def plots(self, model: Scorer, outcome: np.ndarray, score: np.ndarray) -> dict[str, bytes]:
        """Draw the ROC curve and the calibration."""
        from ml_assets.training.plots import plot_calibration, plot_roc

        return {"roc": plot_roc(outcome, score), "calibration": plot_calibration(outcome, score)}

    def typed_scores(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the probability to Float64 and the prediction to Int64."""
        score = frame[columns.probability].cast(pl.Float64)
        bad = frame.height - score.is_between(0, 1).sum()
        if bad:
            raise ValueError(
                f"{what}: {bad} of {frame.height} values of {columns.probability!r} are no probability 0..1"
            )
        return _zero_or_one(frame.with_columns(score), what, columns.prediction)

    def typed_labels(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the label to Int64."""
        return _zero_or_one(frame, what, columns.label)

    def check_reference(self, known: pl.DataFrame, columns: ScoredColumns) -> None:
        """Raise ValueError unless the reference has both classes."""
        if known[columns.label].n_unique() < 2:
            raise ValueError(
                f"reference: {known.height} rows with a known {columns.label!r} hold fewer than two classes, "
                "so nothing can be calibrated on them; use a longer reference"
            )

    def measurable(self, rows: pl.DataFrame, columns: ScoredColumns) -> Measurable:
        """Rank the rows by their score; called positive are those from the least score on whose prediction is so, and
        decisions bring what is declared, where every row has it."""
        least = rows.filter(pl.col(columns.prediction) == 1)[columns.probability].min()
        threshold = NEVER if least is None else float(least)  # pyright: ignore[reportArgumentType] - of a Float64
        paired = self.pair(self.outcomes(rows[columns.label], None), rows[columns.probability].to_numpy(), threshold)
        payoff = columns.payoff
        return paired if payoff is None or not payoff.given_of(rows).all() else self.beside(paired, rows, payoff)

    def realised(self, rows: pl.DataFrame, columns: ScoredColumns, names: Sequence[str]) -> dict[str, float | None]:
        """Measure the probabilities, and F1 and value of the predictions that were made, whatever the threshold was
        then; the value of the rows that have payoffs."""
        values = super().realised(rows, columns, [name for name in names if name not in ("f1", VALUE)])
        label, prediction = rows[columns.label], rows[columns.prediction]
        if "f1" in names:
            values["f1"] = _f1(label, prediction)
        if VALUE in names and columns.payoff is not None:
            paid = rows.filter(columns.payoff.given_of(rows))
            made = paid[columns.label].to_numpy(), paid[columns.prediction].to_numpy()
            values[VALUE] = columns.payoff.of_rows(paid).value(*made) if paid.height else None
        return values


def best_f1_threshold(label: np.ndarray, score: np.ndarray) -> float:
    """Return the score from which calling a row positive gives the highest F1; of several, the highest score."""
    order = np.argsort(-score, kind="stable")
    label, score = np.asarray(label)[order], np.asarray(score, dtype=np.float64)[order]
    hits = np.cumsum(label, dtype=np.float64)
    f1 = 2 * hits / (np.arange(1, len(label) + 1) + hits[-1])
    last_of_ties = np.r_[score[1:] < score[:-1], True]
    return float(score[np.argmax(np.where(last_of_ties, f1, -1.0))])


def _zero_or_one(frame: pl.DataFrame, what: str, column: str) -> pl.DataFrame:
    """Cast ``column`` (numbers or Booleans) to Int64; ValueError if a value is neither 0 nor 1."""
    values = frame[column].cast(pl.Float64)
    bad = frame.height - values.is_in([0.0, 1.0]).sum()
    if bad:
        raise ValueError(f"{what}: {bad} of {frame.height} values of {column!r} are neither 0 nor 1")
    return frame.with_columns(values.cast(pl.Int64))


def _f1(label: pl.Series, prediction: pl.Series) -> float | None:
    """Return the harmonic mean of precision and recall; None if no row is positive or called positive."""
    named = int(label.sum()) + int(prediction.sum())
    return 2 * int((label & prediction).sum()) / named if named else None


TASK = Binary()
