"""Metrics of a predicted number, computed for many weightings of the same rows at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_assets.training.metrics.measure import refuse_unknown
from ml_assets.training.metrics.metric import OF_VALUES, PINBALL, Metric


@dataclass(frozen=True)
class ComparedValues:
    """Known and predicted numbers of the same rows, float64 of shape (n,), ready to be measured.

    ``scale`` has the error by which each row's own is divided for rmsse, NaN where there is none; None for no row.
    """

    metrics: ClassVar[Mapping[str, Metric]] = OF_VALUES

    label: np.ndarray
    value: np.ndarray
    scale: np.ndarray | None = None

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
        - wape: sum of the absolute errors as a share of the sum of the absolute labels; NaN where all labels are 0.
        - rmsse: root of the mean of the squared errors, each divided by the squared ``scale`` of its row: that is the
          root mean squared error of the naive forecast of the row's series over the training rows (Hyndman and
          Koehler, "Another look at measures of forecast accuracy", International Journal of Forecasting 22, 2006).
          Rows without a scale do not count; NaN where no row has one.

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
                elif name == "wape":
                    size = weights @ np.abs(self.label)
                    results[name] = np.where(size > 0, weights @ np.abs(error) / size, np.nan)
                elif name == "rmsse":
                    results[name] = self._scaled(weights, error)
                else:
                    results[name] = self._explained(weights, total, error)
        return results

    def _scaled(self, weights: np.ndarray, error: np.ndarray) -> np.ndarray:
        if self.scale is None:
            return np.full(len(weights), np.nan)
        known = ~np.isnan(self.scale)
        squares = (error[known] / self.scale[known]) ** 2
        return np.sqrt(weights[:, known] @ squares / weights[:, known].sum(axis=1))

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
