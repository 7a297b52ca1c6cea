"""Probabilities corrected on validation rows, and whether they hold on others."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.scoring_core import curves
from ml_assets.training.metrics.metric import CALIBRATION
from ml_assets.training.metrics.ranked_scores import RankedScores, rank_scores


class Curve(BaseModel):
    """How one score is corrected: steps from ``x`` to ``y``, or log-odds times ``slope`` plus ``intercept``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: tuple[float, ...] = Field(default=(), description="Scores between which the correction is linear, ascending.")
    y: tuple[float, ...] = Field(default=(), description="The corrected score at each.")
    slope: float = Field(default=1.0, description="Factor of the log-odds.")
    intercept: float = Field(default=0.0, description="What is added to the log-odds.")

    def correct(self, score: np.ndarray) -> np.ndarray:
        """Return corrected scores."""
        return curves.correct(self, score)


class Calibration(BaseModel):
    """The curves of a model: one of a binary task, else one for each class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["isotonic", "sigmoid", "prior"] = Field(
        description="How the curves were learned; prior makes up for negatives that training left out, and no more."
    )
    curves: tuple[Curve, ...] = Field(description="One, or one for each class in the order of the classes.")


def fit_calibration(method: Literal["isotonic", "sigmoid"], outcome: np.ndarray, score: np.ndarray) -> Calibration:
    """Learn the correction from rows that the model was not fitted on.

    - isotonic: the best correction that keeps the order (Zadrozny and Elkan, KDD 2002).
    - sigmoid: a line through the log-odds, with Platt's guard against certainty (Platt, "Probabilistic outputs for
      support vector machines", 1999).

    Several classes are corrected one against the rest.

    Args:
        outcome: 0/1, or positions of classes, shape (n,).
        score: shape (n,) or (n, classes).
    """
    learn = _isotonic if method == "isotonic" else _sigmoid
    if score.ndim == 1:
        return Calibration(method=method, curves=(learn(outcome, score),))
    learnt = tuple(learn(outcome == position, score[:, position]) for position in range(score.shape[1]))
    return Calibration(method=method, curves=learnt)


def calibrate(calibration: Calibration, score: np.ndarray) -> np.ndarray:
    """Return corrected scores of the same shape; the classes of a row sum to one, and are equal if no class is left
    likely."""
    return curves.correct_all(calibration.curves, score)


def trusted_scores(outcome: np.ndarray, score: np.ndarray) -> RankedScores:
    """Return the scores that a calibration error is about: of the positive class, or of the class called."""
    if score.ndim == 1:
        return rank_scores(outcome, score)
    return rank_scores(score.argmax(axis=1) == outcome, np.minimum(score.max(axis=1), 1.0))


def chance_error(
    trusted: RankedScores, *, seed: int, metric: str = CALIBRATION, resamples: int = 200, confidence: float = 0.95
) -> float:
    """Return the calibration error that perfect scores stay below with this confidence, on as many rows.

    Labels are drawn from the scores themselves: few rows have an error though the scores are right (Broecker and
    Smith, "Increasing the reliability of reliability diagrams", 2007).
    """
    rng = np.random.default_rng(seed)
    ones = np.ones((1, len(trusted.score)))
    errors = []
    for _ in range(resamples):
        drawn = (rng.random(len(trusted.score)) < trusted.score).astype(np.float64)
        perfect = RankedScores(np.arange(len(drawn)), drawn, trusted.score, trusted.starts, trusted.threshold)
        errors.append(perfect.weigh(ones, [metric])[metric][0])
    return float(np.quantile(errors, confidence))


def _isotonic(outcome: np.ndarray, score: np.ndarray) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, outcome)
    return Curve(x=tuple(map(float, fitted.X_thresholds_)), y=tuple(map(float, fitted.y_thresholds_)))


def _sigmoid(outcome: np.ndarray, score: np.ndarray) -> Curve:
    from sklearn.linear_model import LogisticRegression

    positives = outcome.sum()
    negatives = len(outcome) - positives
    target = np.where(outcome == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    odds = curves.log_odds(score)[:, None]
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000).fit(
        np.concatenate([odds, odds]),
        np.repeat([1, 0], len(score)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return Curve(slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]))
