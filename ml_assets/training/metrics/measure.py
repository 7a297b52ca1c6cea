"""Measuring predictions under many weightings of their rows at once."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np

from ml_assets.training.metrics.metric import Metric


class Measurable(Protocol):
    """Predictions of n rows beside their labels, to be measured under any weights of these rows."""

    metrics: ClassVar[Mapping[str, Metric]]
    """Every metric that can be measured, by name."""

    def labels(self) -> np.ndarray:
        """Return the labels in row order, shape (n,)."""
        ...

    def weigh(self, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Measure the named metrics under each of b row weightings.

        Args:
            weights: shape (b, n), in row order; counts of a resample, or any weights >= 0.

        Returns:
            Per name an array of shape (b,); NaN where it is undefined.

        Raises:
            ValueError: a metric does not fit.
        """
        ...


def measure(
    scores: Measurable, names: Sequence[str] | None = None, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Measure the named metrics, by default all that are listed, of the rows as they are, or each with its weight.

    A value is NaN where a class is absent and the metric needs both.
    """
    row = np.ones((1, len(scores.labels()))) if weights is None else np.asarray(weights, dtype=np.float64)[None]
    wanted = list(scores.metrics) if names is None else names
    return {name: float(values[0]) for name, values in scores.weigh(row, wanted).items()}


def measure_weighted(scores: Measurable, weights: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return ``scores.weigh(weights, names)``."""
    return scores.weigh(weights, names)


def refuse_unknown(names: Sequence[str], known: Mapping[str, Metric]) -> None:
    """Raise ValueError if a metric is not one of the known."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown metrics {unknown}: choose from {list(known)}")
