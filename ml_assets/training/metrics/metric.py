"""Which metrics there are for what is built in, and which way each is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Which way is better."""

    greater_is_better: bool

    @property
    def sign(self) -> int:
        """+1 or -1: multiply a difference by it and more is better."""
        return 1 if self.greater_is_better else -1


UP, DOWN = Metric(True), Metric(False)

PINBALL = {f"pinball_{percent / 100:g}": percent / 100 for percent in range(1, 100)}
"""Pinball losses: name -> quantile."""

OF_PROBABILITIES = {
    "roc_auc": UP,
    "average_precision": UP,
    "log_loss": DOWN,
    "brier": DOWN,
    "calibration_error": DOWN,
    "f1": UP,
}
"""Metrics of a probability for a binary outcome."""

OF_CLASSES = {"log_loss": DOWN, "roc_auc_ovr": UP, "macro_f1": UP, "accuracy": UP, "calibration_error": DOWN}
"""Metrics of probabilities for several classes."""

OF_FORECASTS = {"wape": DOWN, "rmsse": DOWN}
"""Metrics of forecasts of many series, whose sizes differ."""

OF_VALUES = {"mae": DOWN, "rmse": DOWN, "r2": UP, **OF_FORECASTS, **dict.fromkeys(PINBALL, DOWN)}
"""Metrics of a predicted number."""
