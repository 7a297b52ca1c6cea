"""Metrics of predictions whose outcome is known."""

import math

import polars as pl

from ml_assets.training.metrics import measure, rank_scores

METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "calibration_error")


def measure_binary(rows: pl.DataFrame, *, probability: str, prediction: str, label: str) -> dict[str, float | None]:
    """The metrics above, as training evaluates them, and f1 of ``prediction``; None where undefined.

    Args:
        rows: ``probability`` (Float64, 0 to 1), ``prediction`` and ``label`` (Int64 0/1); may be empty.
    """
    if rows.is_empty():
        return dict.fromkeys([*METRICS, "f1"])
    values = measure(rank_scores(rows[label].to_numpy(), rows[probability].to_numpy()), METRICS)
    return {name: None if math.isnan(value) else value for name, value in values.items()} | {
        "f1": _f1(rows[label], rows[prediction])
    }


def _f1(label: pl.Series, prediction: pl.Series) -> float | None:
    """Harmonic mean of precision and recall; None if nothing is, or is predicted, positive."""
    named = int(label.sum() + prediction.sum())
    return 2 * int((label & prediction).sum()) / named if named else None
