"""Metrics of predictions whose outcome is known."""

import math

import polars as pl

from ml_assets.monitoring.outputs import Outputs
from ml_assets.training.metrics import measure
from ml_assets.training.tasks import BINARY, measured_metrics


def measure_known(rows: pl.DataFrame, outputs: Outputs, pinball: tuple[str, ...] = ()) -> dict[str, float | None]:
    """The metrics of the task, as training evaluates them; None where undefined. A binary f1 is of the prediction.

    Args:
        rows: what ``outputs`` names, typed by it; may be empty.
        pinball: pinball losses measured beside.
    """
    names = measured_metrics(outputs.task, pinball)
    if rows.is_empty():
        return dict.fromkeys(names)
    by_score = [name for name in names if name != "f1"]
    values = measure(outputs.measurable(rows), by_score)
    told = {name: None if math.isnan(value) else value for name, value in values.items()}
    if outputs.task == BINARY:
        told["f1"] = _f1(rows[outputs.label], rows[outputs.prediction])
    return told


def _f1(label: pl.Series, prediction: pl.Series) -> float | None:
    """Harmonic mean of precision and recall; None if nothing is, or is predicted, positive."""
    named = int(label.sum() + prediction.sum())
    return 2 * int((label & prediction).sum()) / named if named else None
