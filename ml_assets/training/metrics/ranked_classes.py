"""Metrics of probabilities for several classes, computed for many weightings of the same rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_assets.training.metrics.measure import refuse_unknown
from ml_assets.training.metrics.metric import OF_CLASSES, Metric
from ml_assets.training.metrics.ranked_scores import RankedScores, rank_scores


@dataclass(frozen=True)
class RankedClasses:
    """Labels and class probabilities, ready to be measured under any row weights.

    ``label`` and ``called`` (the most probable class) are positions of classes, int64 of shape (n,);
    ``probability`` has shape (n, k); ``ranked`` holds the rows by the score of each class against all others,
    ``trust`` by the highest probability, with whether the call was right as its label.
    """

    metrics: ClassVar[Mapping[str, Metric]] = OF_CLASSES

    label: np.ndarray
    called: np.ndarray
    probability: np.ndarray
    ranked: tuple[RankedScores, ...]
    trust: RankedScores

    def labels(self) -> np.ndarray:
        """Return the known classes in row order."""
        return self.label

    def weigh(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the named metrics under each of b row weightings.

        - log_loss: natural logarithm of the known class's probability, clipped by the float64 machine epsilon
          as scikit-learn does.
        - roc_auc_ovr: ROC AUC of each class against all others, weighted by the class's share of the rows
          (``average="weighted"`` in scikit-learn), so that it stands where a rare class has no row.
        - macro_f1: mean of the F1 of the classes, each counting the same; one that is neither known nor called
          in any row does not count.
        - accuracy: share of rows whose most probable class is the known one.
        - calibration_error: that of the highest probability against whether its class is the known one (Guo et
          al., "On calibration of modern neural networks", ICML 2017), in ten bins of equal mass.

        Args:
            weights: shape (b, n); counts of a resample, or any weights >= 0.

        Returns:
            Per name an array of shape (b,); NaN where it is undefined.
        """
        refuse_unknown(names, self.metrics)
        total = weights.sum(axis=1)
        known = weights @ self._one_hot(self.label)
        results = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            if "log_loss" in names:
                results["log_loss"] = weights @ self._losses() / total
            if "accuracy" in names:
                results["accuracy"] = weights @ (self.called == self.label) / total
            if "roc_auc_ovr" in names:
                results["roc_auc_ovr"] = self._one_against_rest(weights, known)
            if "macro_f1" in names:
                results["macro_f1"] = self._macro_f1(weights, known)
            if "calibration_error" in names:
                results |= self.trust.weigh(weights, ["calibration_error"])
        return {name: results[name] for name in names}

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        return (codes[:, None] == np.arange(self.probability.shape[1])).astype(np.float64)

    def _losses(self) -> np.ndarray:
        epsilon = np.finfo(np.float64).eps
        of_label = self.probability[np.arange(len(self.label)), self.label]
        return -np.log(np.clip(of_label, epsilon, 1 - epsilon))

    def _one_against_rest(self, weights: np.ndarray, known: np.ndarray) -> np.ndarray:
        areas = np.stack([ranked.weigh(weights, ["roc_auc"])["roc_auc"] for ranked in self.ranked], axis=1)
        defined = ~np.isnan(areas)
        return np.where(defined, areas * known, 0).sum(axis=1) / np.where(defined, known, 0).sum(axis=1)

    def _macro_f1(self, weights: np.ndarray, known: np.ndarray) -> np.ndarray:
        called = weights @ self._one_hot(self.called)
        hits = weights @ (self._one_hot(self.label) * (self.called == self.label)[:, None])
        f1 = 2 * hits / (known + called)
        return np.nansum(f1, axis=1) / (~np.isnan(f1)).sum(axis=1)


def rank_classes(label: np.ndarray, probability: np.ndarray) -> RankedClasses:
    """Prepare labels (positions of classes, shape (n,)) and probabilities of shape (n, k), k >= 2.

    Raises:
        ValueError: shapes do not go together, there are no rows, a label is no position, or a row holds no
            probabilities that sum to one.
    """
    label, probability = np.asarray(label), np.asarray(probability, dtype=np.float64)
    if probability.ndim != 2 or label.shape != probability.shape[:1] or not len(label) or probability.shape[1] < 2:
        raise ValueError(f"labels {label.shape} and probabilities {probability.shape} must be (n,) and (n, k), n > 0")
    classes = probability.shape[1]
    if not (np.issubdtype(label.dtype, np.integer) and ((label >= 0) & (label < classes)).all()):
        raise ValueError(f"a label is the position of its class, 0 to {classes - 1}: drop rows without a label first")
    if not ((probability >= 0).all() and np.allclose(probability.sum(axis=1), 1, atol=1e-4)):
        raise ValueError("the probabilities of a row must sum to one, none below zero")
    probability = np.minimum(probability, 1.0)
    called = probability.argmax(axis=1)
    return RankedClasses(
        label=label.astype(np.int64),
        called=called,
        probability=probability,
        ranked=tuple(rank_scores(label == position, probability[:, position]) for position in range(classes)),
        trust=rank_scores(called == label, probability.max(axis=1)),
    )
