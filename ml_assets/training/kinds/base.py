"""One small interface to everything that learns, so that search, final fit and scoring know no library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ml_assets.training.encoding import Encoding
from ml_assets.training.kinds.spaces import library
from ml_assets.training.spec import TrainingSpec

Rows = tuple[np.ndarray, np.ndarray]
"""Encoded features, float32 of shape (rows, features), and targets of shape (rows,)."""

OnRound = Callable[[int, float], None]
"""Told the rounds done and the validation metric after each round; it ends the fit by raising."""


@dataclass(frozen=True)
class Problem:
    """What is to be learned. ``classes`` is their number, 0 unless the task is multiclass."""

    kind: str
    task: str
    metric: str
    classes: int
    encoding: Encoding
    training: TrainingSpec
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, cut back to its best round, and the validation metric after each round.

    ``best_iteration`` counts from 0. What does not learn in rounds has one.
    """

    estimator: Any
    best_iteration: int
    history: list[float]

    @property
    def best_value(self) -> float:
        """The metric at the best round."""
        return self.history[self.best_iteration]


class Kind(Protocol):
    """What a module ``<library>_kind`` offers."""

    FILE: str
    """Name of an estimator's file, the one that MLflow's flavour of the library gives it."""

    @staticmethod
    def bind(problem: Problem, train: Rows, validation: Rows) -> Any:
        """Rows in the library's own form; made once, any number of fits can share them."""

    @staticmethod
    def fit(
        problem: Problem, data: Any, parameters: Mapping[str, Any], max_rounds: int, on_round: OnRound | None = None
    ) -> Fitted:
        """Fit on the training rows until the metric on the validation rows stops improving."""

    @staticmethod
    def predict(estimator: Any, matrix: np.ndarray, classes: int) -> np.ndarray:
        """Scores as float64: (rows,) or (rows, classes)."""

    @staticmethod
    def contributions(estimator: Any, encoding: Encoding, matrix: np.ndarray) -> np.ndarray | None:
        """SHAP values of shape (rows, features + 1) or (rows, classes, features + 1); None if there are none."""

    @staticmethod
    def columns(encoding: Encoding) -> list[str]:
        """What the features are called where the estimator is asked without its encoding, as MLflow does: by their own
        names, unless the library cannot take one of these."""

    @staticmethod
    def save(estimator: Any, path: Path) -> None:
        """Write the estimator in the library's own format, which is no pickle."""

    @staticmethod
    def load(path: Path, kind: str, encoding: Encoding) -> Any:
        """Read what ``save`` or MLflow wrote; ValueError if it does not belong to the encoding."""


def find_kind(kind: str) -> Kind:
    """The module behind a declared kind."""
    return import_module(f"ml_assets.training.kinds.{library(kind)}")
