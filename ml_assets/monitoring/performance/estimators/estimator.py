"""What an estimator of performance is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from ml_assets.training.tasks.columns import ScoredColumns


@dataclass(frozen=True)
class EstimateRequest:
    """What is to be estimated.

    Attributes:
        columns: where predictions, labels and payoffs are.
        features: the model's features, for an estimator that reads them.
        metrics: metric -> the estimator's name for it.
        seed: of whatever is resampled or learned.
    """

    columns: ScoredColumns
    features: Sequence[str]
    metrics: Mapping[str, str]
    seed: int


class PerformanceEstimator(ABC):
    """Estimates how good predictions are whose labels are not known yet.

    Attributes:
        reads_features: whether the frames need the model's features.
        most_rows: rows of the reference that its own errors are measured on; of more, every second, third, ... counts.
    """

    reads_features: ClassVar[bool] = False
    most_rows: ClassVar[int] = 20_000

    @abstractmethod
    def estimate(self, reference: pl.DataFrame, analysis: pl.DataFrame, request: EstimateRequest) -> pl.DataFrame:
        """Learn from ``reference`` and estimate ``analysis``, per chunk and over all rows.

        Args:
            reference: CHUNK, the columns that the request names, those with payoffs among them, typed by the task, and
                the label; sorted by CHUNK.
            analysis: the same without the label.

        Returns:
            CHUNK (null: all rows as one chunk), metric, value, lower, upper (Float64): three sampling errors either
            way.

        Raises:
            MonitoringError: the library behind it failed.
        """
