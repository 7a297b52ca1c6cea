"""A number: the score is the predicted value."""

# ruff: noqa: ARG002 - a task takes what others need
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl

from ml_assets.fairness.views import Estimated, FairnessView
from ml_assets.scoring_core import answers
from ml_assets.training.metrics.compared_values import ComparedValues, compare_values
from ml_assets.training.metrics.concordance import concordance
from ml_assets.training.metrics.measure import Measurable
from ml_assets.training.metrics.metric import PINBALL
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.tasks.baselines import Baseline, fit_rates
from ml_assets.training.tasks.columns import NAIVE_ERROR, SCORE, ScoredColumns, as_series
from ml_assets.training.tasks.task import Scorer, Task

_LABEL, _SCORE = "__label", "__score"
_SQUARED = ("rmse", "rmsse", "r2")
"""Metrics of squared errors."""


class Regression(Task):
    """A number."""

    name = "regression"
    described = "How much"
    label_words = "a number"
    learned_as = "regression"
    metrics = ComparedValues.metrics
    measured = ("mae", "rmse", "r2")
    optimised = ("mae", "rmse", *PINBALL)
    leak_metric = "concordance"
    has_intervals = True
    forecasts = True
    relative_drop = True
    answers = "the value"
    importance_unit = "unit of the label"
    estimator = "loss"
    estimable: ClassVar[Mapping[str, str]] = {"mae": "mae", "rmse": "rmse"}
    estimated = ("mae", "rmse")

    def stopping_metric(self, metric: str) -> str | None:
        """Return mae for wape, which is the same multiple of it for every model, and rmse for what squares errors."""
        return metric if metric in self.optimised else {"wape": "mae", "rmsse": "rmse", "r2": "rmse"}.get(metric)

    def takes(self, dtype: pl.DataType) -> bool:
        """Return whether the type is numeric."""
        return dtype.is_numeric()

    def suits(self, dtype: pl.DataType, distinct: pl.Series | None) -> bool:
        """Return True: regression takes every label that the tasks before it do not."""
        return True

    def check_labels(self, part: str, label: pl.Series, where: str) -> None:
        """Raise ValueError unless the labels are finite numbers that vary."""
        strange = label.len() - label.cast(pl.Float64).is_finite().sum()
        if strange:
            raise ValueError(f"{where} has {strange} labels in column {label.name} that are no finite numbers")
        if label.n_unique() < 2:
            raise ValueError(f"{where} has only the label {label[0]}: make split.{part} longer, it has to vary")

    def outcomes(self, label: pl.Series, classes: Sequence[str] | None) -> np.ndarray:
        """Return the numbers as float64."""
        return label.cast(pl.Float64).to_numpy()

    def pair(self, outcome: np.ndarray, score: np.ndarray, threshold: float | None = None) -> Measurable:
        """Pair known with predicted numbers."""
        return compare_values(outcome, score)

    def beside(self, scores: Measurable, rows: pl.DataFrame, payoff: Payoff | None = None) -> Measurable:
        """Add the scale of rmsse, where the rows have one."""
        if NAIVE_ERROR not in rows.columns or not isinstance(scores, ComparedValues):
            return scores
        return replace(scores, scale=rows[NAIVE_ERROR].cast(pl.Float64).fill_null(float("nan")).to_numpy())

    def score_columns(self, model: Scorer, score: np.ndarray) -> list[pl.Series]:
        """Return ``score`` and ``prediction``, both the value, and with intervals ``lower`` and ``upper``."""
        return as_series(answers.columns(self.learned_as, model, score))

    def fit_baseline(
        self, train: pl.DataFrame, *, label: str, by: str | None, metric: str | None, classes: Sequence[str] | None
    ) -> Baseline:
        """Learn the best constant: the median under mae, the quantile under a pinball loss, else the mean."""
        quantile = 0.5 if metric == "mae" else PINBALL.get(metric or "")
        return fit_rates(train, pl.col(label).cast(pl.Float64), by, quantile)

    def slice_columns(self, outcome: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
        """Return outcome and score."""
        return {_LABEL: outcome, _SCORE: score}

    def slice_measures(self) -> dict[str, pl.Expr]:
        """Measure the means of label and score, MAE and RMSE."""
        label, score = pl.col(_LABEL), pl.col(_SCORE)
        return {
            "mean_label": label.mean(),
            "mean_score": score.mean(),
            "mae": (score - label).abs().mean(),
            "rmse": ((score - label) ** 2).mean().sqrt(),
        }

    def forecast_measures(self) -> dict[str, pl.Expr]:
        """Measure WAPE and RMSSE; null where no label differs from 0, or no row has a scale."""
        error = pl.col(_SCORE) - pl.col(_LABEL)
        size = pl.col(_LABEL).abs().sum()
        return {
            "wape": pl.when(size > 0).then(error.abs().sum() / size),
            "rmsse": ((error / pl.col(NAIVE_ERROR)) ** 2).mean().sqrt(),
        }

    def fairness_views(self, label: str, classes: Sequence[str] | None) -> list[FairnessView]:
        """Look at the errors."""
        return [Estimated("", pl.col(label).cast(pl.Float64), pl.col(SCORE).cast(pl.Float64))]

    def plots(self, model: Scorer, outcome: np.ndarray, score: np.ndarray) -> dict[str, bytes]:
        """Draw the residuals."""
        from ml_assets.training.plots import plot_residuals

        ends = None if model.intervals is None else answers.interval_ends(model.intervals, score)
        return {"residuals": plot_residuals(outcome, score, ends)}

    def leak_strength(self, outcome: np.ndarray, score: np.ndarray) -> float:
        """Measure the share of pairs of rows that the feature puts in the right order."""
        return concordance(outcome, score)

    def typed_scores(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the prediction to Float64."""
        return _finite(frame, what, columns.prediction)

    def typed_labels(self, frame: pl.DataFrame, what: str, columns: ScoredColumns) -> pl.DataFrame:
        """Cast the label to Float64."""
        return _finite(frame, what, columns.label)

    def measurable(self, rows: pl.DataFrame, columns: ScoredColumns) -> Measurable:
        """Pair known labels with the typed predictions."""
        paired = self.pair(self.outcomes(rows[columns.label], None), rows[columns.prediction].to_numpy())
        return self.beside(paired, rows)

    def row_losses(self, rows: pl.DataFrame, columns: ScoredColumns, metric: str) -> np.ndarray:
        """Return the pinball loss of a model of a quantile, the squared error under rmse, rmsse and r2, or else the
        absolute error."""
        off = rows[columns.label].to_numpy() - rows[columns.prediction].to_numpy()
        if metric in PINBALL:
            return np.where(off >= 0, PINBALL[metric], PINBALL[metric] - 1) * off
        return off**2 if metric in _SQUARED else np.abs(off)

    def row_loss(self, metric: str) -> str:
        """Return the name of the loss."""
        if metric in PINBALL:
            return f"pinball loss of the quantile {PINBALL[metric]:g}"
        return "squared error" if metric in _SQUARED else "absolute error"


def _finite(frame: pl.DataFrame, what: str, column: str) -> pl.DataFrame:
    values = frame[column].cast(pl.Float64)
    bad = frame.height - values.is_finite().sum()
    if bad:
        raise ValueError(f"{what}: {bad} of {frame.height} values of {column!r} are no finite number")
    return frame.with_columns(values)


TASK = Regression()
