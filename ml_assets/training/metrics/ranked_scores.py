"""Metrics of a probability for a binary outcome, computed for many weightings of the same rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_assets.training.metrics.measure import refuse_unknown
from ml_assets.training.metrics.metric import OF_PROBABILITIES, POSITIVE_CALIBRATION, VALUE, Metric, TopOfList
from ml_assets.training.metrics.payoffs import PER_ROWS, Payoffs
from ml_assets.training.metrics.top_of_list import measure_top

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class RankedScores:
    """Labels and scores sorted once, ready to be measured under any row weights.

    ``order`` sorts the rows by score; ``label`` and ``score`` are sorted, float64 of shape (n,);
    ``starts`` are the first positions of the g distinct scores. ``payoffs``, in row order, are what decisions by
    ``threshold`` bring.
    """

    metrics: ClassVar[Mapping[str, Metric]] = OF_PROBABILITIES

    order: np.ndarray
    label: np.ndarray
    score: np.ndarray
    starts: np.ndarray
    threshold: float
    payoffs: Payoffs | None = None

    def labels(self) -> np.ndarray:
        """Return the labels in the row order given to ``rank_scores``."""
        label = np.empty_like(self.label)
        label[self.order] = self.label
        return label

    def weigh(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the named metrics under each of b row weightings.

        - roc_auc: probability that a positive scores above a negative, ties count half (Mann-Whitney).
        - average_precision: precision at each distinct score, weighted by the recall it adds (no interpolation).
        - log_loss: natural logarithm, scores clipped by the float64 machine epsilon as scikit-learn does.
        - brier: mean squared difference of score and outcome.
        - calibration_error: expected calibration error over ten bins of equal mass along the score, the mean
          over bins of abs(mean outcome - mean score). Equal mass rather than equal width follows Nguyen and
          O'Connor, "Posterior calibration and exploratory analysis for natural language processing models",
          EMNLP 2015. A group of tied scores that straddles an edge is shared between its bins in proportion,
          so row order does not matter.
        - f1: harmonic mean of precision and recall of ``score >= threshold``.
        - positive_calibration_error: the calibration error where the positives are, as a share of their number. Ten
          bins along the score hold the same sum of scores, so that each should hold a tenth of the positives; the
          error is the sum over bins of abs(positives - sum of scores) over the sum of all scores. Where one row in a
          thousand is positive, nine of ten bins of equal mass hold next to none, and calibration_error says nothing.
        - precision_at_100, recall_at_5pct, lift_at_5pct ...: see ``measure_top``.
        - value: what decisions by ``score >= threshold`` bring per thousand rows.

        Args:
            weights: shape (b, n), row order as given to ``rank_scores``; counts of a resample, or any weights >= 0.

        Returns:
            Per name an array of shape (b,); NaN where it is undefined.

        Raises:
            ValueError: a metric is not known, or there are no payoffs for a value.
        """
        refuse_unknown(names, self.metrics)
        sorted_weights = weights[:, self.order]
        results = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            if not set(names) <= _OF_ROWS:
                results |= _rank_metrics(self, sorted_weights, names)
            if {"log_loss", "brier", "f1"} & set(names):
                results |= _row_metrics(self, sorted_weights)
            if VALUE in names:
                results[VALUE] = PER_ROWS * (weights @ self._earned()) / weights.sum(axis=1)
        return {name: results[name] for name in names}

    def _earned(self) -> np.ndarray:
        if self.payoffs is None:
            raise ValueError(f"the metric {VALUE} needs payoffs: declare `payoff`")
        called = np.empty(len(self.score), dtype=bool)
        called[self.order] = self.score >= self.threshold
        return self.payoffs.earned(self.labels(), called)


_OF_ROWS = {"log_loss", "brier", "f1", VALUE}


def rank_scores(label: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> RankedScores:
    """Sort labels (0/1 or boolean) and scores (probabilities), both of shape (n,), by score.

    Raises:
        ValueError: lengths differ, there are no rows, a label is not 0/1, or a score is outside 0..1.
    """
    label, score = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if label.shape != score.shape or label.ndim != 1 or not len(label):
        raise ValueError(f"labels {label.shape} and scores {score.shape} must be of one shape (n,) with n > 0")
    if not np.isin(label, (0.0, 1.0)).all():
        raise ValueError("a binary label is 0 or 1: drop rows without a label first")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError(f"scores must be probabilities, these run from {score.min()} to {score.max()}")
    order = np.argsort(score, kind="stable")
    label, score = label[order], score[order]
    starts = np.flatnonzero(np.r_[True, np.diff(score) > 0])
    return RankedScores(order, label, score, starts, threshold)


def _rank_metrics(ranked: RankedScores, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    positive = weights * ranked.label
    if len(ranked.starts) < len(ranked.label):
        positive = np.add.reduceat(positive, ranked.starts, axis=1)
        weights = np.add.reduceat(weights, ranked.starts, axis=1)
    below, positive_below = np.cumsum(weights, axis=1), np.cumsum(positive, axis=1)
    total, positives = below[:, -1:], positive_below[:, -1:]
    results = {}
    if "roc_auc" in names:
        negative, negative_below = weights - positive, below - positive_below
        wins = np.einsum("bg,bg->b", positive, negative_below - negative / 2)
        results["roc_auc"] = wins / (positives * (total - positives))[:, 0]
    if "average_precision" in names:
        hits, called = positives - positive_below + positive, total - below + weights
        precision = np.divide(hits, called, out=np.zeros_like(called), where=called > 0)
        results["average_precision"] = np.einsum("bg,bg->b", positive, precision) / positives[:, 0]
    if {"calibration_error", POSITIVE_CALIBRATION} & set(names):
        expected = weights * ranked.score[ranked.starts]
        masses = {"calibration_error": (weights, below), POSITIVE_CALIBRATION: (expected, np.cumsum(expected, axis=1))}
        results |= {
            name: _calibration_error(mass, positive - expected, running)
            for name, (mass, running) in masses.items()
            if name in names
        }
    tops = {name: top for name in names if (top := TopOfList.parse(name)) is not None}
    if tops:
        results |= dict(zip(tops, measure_top(positive, weights, list(tops.values())), strict=True))
    return results


def _calibration_error(weights: np.ndarray, excess: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Compute the error over bins of equal mass. ``excess`` is outcome minus score, summed per distinct score;
    ``weights`` its mass, ``below`` the running sum of that."""
    excess_below = np.cumsum(excess, axis=1)
    inner = below[:, -1:] * np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    position = np.stack([np.searchsorted(row, edges) for row, edges in zip(below, inner, strict=True)])

    def at(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, position, axis=1)

    share_above = (at(below) - inner) / at(weights)
    inner_excess = at(excess_below) - share_above * at(excess)
    edges = np.concatenate([np.zeros_like(inner_excess[:, :1]), inner_excess, excess_below[:, -1:]], axis=1)
    return np.abs(np.diff(edges, axis=1)).sum(axis=1) / below[:, -1]


def _row_metrics(ranked: RankedScores, weights: np.ndarray) -> dict[str, np.ndarray]:
    label, score = ranked.label, ranked.score
    epsilon = np.finfo(np.float64).eps
    clipped = np.clip(score, epsilon, 1 - epsilon)
    loss = -np.where(label == 1, np.log(clipped), np.log1p(-clipped))
    taken = (score >= ranked.threshold).astype(np.float64)
    columns = np.stack([np.ones_like(label), label, loss, (score - label) ** 2, taken, taken * label], axis=1)
    total, positives, loss_sum, square_sum, taken_sum, hits = (weights @ columns).T
    return {
        "log_loss": loss_sum / total,
        "brier": square_sum / total,
        "f1": 2 * hits / (positives + taken_sum),
    }
