"""What a search makes as good as it can: the metric that early stopping watches, or one measured after each fit."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from ml_assets.training.calibration.probabilities import calibrate
from ml_assets.training.kinds.base import FitRequest, FitResult, find_kind
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.sampling.negatives import prior_correction
from ml_assets.training.tasks import find_metric, find_task
from ml_assets.training.tasks.columns import NAIVE_ERROR


@dataclass(frozen=True)
class ValidationRows:
    """What a metric is measured on.

    Attributes:
        rows: the validation rows, with what a metric reads beside label and score: payoffs, the scale of rmsse.
        encoded: their features, as the kind takes them.
        outcome: their labels, as metrics take them.
        weights: how much each counts, of a mean of 1; None where all count alike.
        kept: share of the negatives that a fit learns from, which its scores are corrected by.
        payoff: what decisions bring, by which the threshold is chosen, on these rows alone.
    """

    rows: pl.DataFrame
    encoded: np.ndarray
    outcome: np.ndarray
    weights: np.ndarray | None
    kept: float
    payoff: Payoff | None

    def measure(self, metric: str, task: str, score: np.ndarray) -> float:
        """Measure scores of these rows; decisions are by the threshold that a final fit would choose on them."""
        of = find_task(task)
        if self.kept < 1:
            score = calibrate(prior_correction(self.kept), score)
        threshold = of.choose_threshold(
            self.outcome, score, None if self.payoff is None else self.payoff.of_rows(self.rows)
        )
        scores = of.beside(of.pair(self.outcome, score, threshold), self.rows, self.payoff)
        return measure(scores, [metric], self.weights)[metric]

    def digested(self) -> Iterator[bytes]:
        """Yield what the measured values depend on beside features, labels and what fits depend on."""
        if self.payoff is not None:
            yield json.dumps(self.payoff.model_dump(), sort_keys=True).encode()
        beside = [*(self.payoff.columns if self.payoff else ()), NAIVE_ERROR]
        for name in (name for name in beside if name in self.rows.columns):
            yield np.ascontiguousarray(self.rows[name].cast(pl.Float64).fill_null(math.nan).to_numpy()).tobytes()
        if self.weights is not None:
            yield np.ascontiguousarray(self.weights).tobytes()


@dataclass(frozen=True)
class Objective:
    """The metric of a search.

    Attributes:
        metric: what the search optimises.
        request: of every fit; its metric is what early stopping watches and trials are compared by while they run.
        validation: rows that the metric is measured on after each fit; None where early stopping watches it itself.
    """

    metric: str
    request: FitRequest
    validation: ValidationRows | None = None

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Optuna's word for which way is better."""
        return "maximize" if find_metric(self.metric).greater_is_better else "minimize"

    def value_of(self, fitted: FitResult) -> float:
        """Return the metric of a fit.

        Raises:
            ValueError: it is undefined on these rows.
        """
        if self.validation is None:
            return fitted.best_value
        request = self.request
        score = find_kind(request.kind).predict(fitted.estimator, self.validation.encoded, request.classes)
        value = self.validation.measure(self.metric, request.task, score)
        if math.isnan(value):
            raise ValueError(
                f"metric: {self.metric} is undefined on the validation rows, so no parameters can be chosen by it: of "
                "rmsse no series of theirs has training labels a season apart, of others there are too few rows"
            )
        return value

    def turned(self, watched: float) -> float:
        """Return what early stopping watches, turned so that it is better in the direction of the metric."""
        return find_metric(self.request.metric).sign * find_metric(self.metric).sign * watched
