"""The tasks a model can have, and the metrics that fit each of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"

PROBABILITY = "probability_"
"""Begins the name of the column with the probability of a class."""


@dataclass(frozen=True)
class Metric:
    """Which way is better."""

    greater_is_better: bool

    @property
    def sign(self) -> int:
        """+1 or -1: multiply a difference by it and more is better."""
        return 1 if self.greater_is_better else -1


_UP, _DOWN = Metric(True), Metric(False)
PINBALL = {f"pinball_{percent / 100:g}": percent / 100 for percent in range(1, 100)}
"""Name -> quantile."""

METRICS = {
    "roc_auc": _UP,
    "average_precision": _UP,
    "log_loss": _DOWN,
    "brier": _DOWN,
    "calibration_error": _DOWN,
    "f1": _UP,
    "accuracy": _UP,
    "macro_f1": _UP,
    "roc_auc_ovr": _UP,
    "mae": _DOWN,
    "rmse": _DOWN,
    "r2": _UP,
    **dict.fromkeys(PINBALL, _DOWN),
}

_MEASURED = {
    BINARY: ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error", "f1"),
    MULTICLASS: ("log_loss", "roc_auc_ovr", "macro_f1", "accuracy", "calibration_error"),
    REGRESSION: ("mae", "rmse", "r2"),
}
_OPTIMISED = {
    BINARY: ("roc_auc", "average_precision", "log_loss"),
    MULTICLASS: ("log_loss", "roc_auc_ovr"),
    REGRESSION: ("mae", "rmse", *PINBALL),
}
DEFAULT_METRIC = {BINARY: "roc_auc", MULTICLASS: "log_loss", REGRESSION: "mae"}


def measured_metrics(task: Task, more: Iterable[str] = ()) -> tuple[str, ...]:
    """The metrics of every evaluation of a task, and those of ``more`` that are not among them."""
    return tuple(dict.fromkeys([*_MEASURED[task], *more]))


def fitting_metrics(task: Task) -> tuple[str, ...]:
    """Every metric that a floor or a promotion may name."""
    return measured_metrics(task, PINBALL if task == REGRESSION else ())


def optimised_metrics(task: Task) -> tuple[str, ...]:
    """The metrics that a search can optimise and early stopping can watch."""
    return _OPTIMISED[task]


def listed(metrics: Iterable[str]) -> str:
    """Metrics as words, the pinball losses as one."""
    names = [name for name in metrics if name not in PINBALL]
    return ", ".join([*names, "pinball_0.01 to pinball_0.99"] if any(m in PINBALL for m in metrics) else names)
