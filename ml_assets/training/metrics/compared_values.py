"""Metrics of a predicted number, computed for many weightings of the same rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_assets.training.metrics.measure import refuse_unknown
from ml_assets.training.metrics.metric import OF_VALUES, PINBALL, Metric


@dataclass(frozen=True)
class ComparedValues:
    """Known and predicted numbers of the same rows, float64 of shape (n,), ready to be measured."""

    metrics: ClassVar[Mapping[str, Metric]] = OF_VALUES

    label: np.ndarray
    value: np.ndarray

    def labels(self) -> np.ndarray:
        """Return the known numbers."""
        return self.label

    def weigh(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the named metrics under each of b row weightings.

        - mae: mean absolute error, in the label's unit.
        - rmse: root of the mean squared error, in the label's unit.
        - r2: share of the label's variance that the prediction explains; NaN where the label does not vary.
        - pinball_q: mean cost of the prediction where a unit too low costs q and a unit too high 1 - q; the
          quantile q has the least (Koenker and Bassett, "Regression quantiles", Econometrica 46, 1978).

        Args:
            weights: shape (b, n); counts of a resample, or any weights >= 0.

        Returns:
            Per name an array of shape (b,).
        """
        refuse_unknown(names, self.metrics)
        total = weights.sum(axis=1)
        error = self.label - self.value
        results = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            for name in names:
                if name in PINBALL:
                    quantile = PINBALL[name]
                    results[name] = weights @ np.maximum(quantile * error, (quantile - 1) * error) / total
                elif name == "mae":
                    results[name] = weights @ np.abs(error) / total
                elif name == "rmse":
                    results[name] = np.sqrt(weights @ error**2 / total)
                else:
                    results[name] = self._explained(weights, total, error)
        return results

    def _explained(self, weights: np.ndarray, total: np.ndarray, error: np.ndarray) -> np.ndarray:
        # Counted from the overall mean, so that a label far from zero loses no digits.
        centred = self.label - self.label.mean()
        varied = weights @ centred**2 - (weights @ centred) ** 2 / total
        varied = np.where(varied > 1e-12 * total * np.square(centred).max(), varied, np.nan)
        return 1 - weights @ error**2 / varied


def compare_values(label: np.ndarray, value: np.ndarray) -> ComparedValues:
    """Pair known with predicted numbers, both of shape (n,).

    Raises:
        ValueError: lengths differ, there are no rows, or a number is not finite.
    """
    label, value = np.asarray(label, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if label.shape != value.shape or label.ndim != 1 or not len(label):
        raise ValueError(f"labels {label.shape} and predictions {value.shape} must be of one shape (n,) with n > 0")
    for what, numbers in (("labels", label), ("predictions", value)):
        if not np.isfinite(numbers).all():
            raise ValueError(f"{(~np.isfinite(numbers)).sum()} {what} are not finite: drop rows without a label first")
    return ComparedValues(label, value)
