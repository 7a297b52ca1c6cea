"""Metrics of predictions whose outcome is known."""

import math

import polars as pl

from ml_assets.monitoring.performance.outputs import Outputs
from ml_assets.training.conformal import covered_share
from ml_assets.training.metrics.ranked_scores import measure
from ml_assets.training.scored import LOWER, UPPER
from ml_assets.training.tasks import BINARY, measured_metrics

INTERVAL_COVERAGE = "interval_coverage"
"""Share of known labels between the ends of their intervals, these included."""


def measure_known(
    rows: pl.DataFrame, outputs: Outputs, pinball: tuple[str, ...] = (), *, intervals: bool = False
) -> dict[str, float | None]:
    """The metrics of the task, as training evaluates them; None where undefined. A binary f1 is of the prediction.

    Args:
        rows: what ``outputs`` names, typed by it; may be empty.
        pinball: pinball losses measured beside.
        intervals: measure how many labels lie in their intervals, of which ``rows`` holds the ends.
    """
    names = measured_metrics(outputs.task, pinball)
    if rows.is_empty():
        return dict.fromkeys([*names, INTERVAL_COVERAGE] if intervals else names)
    by_score = [name for name in names if name != "f1"]
    values = measure(outputs.measurable(rows), by_score)
    told = {name: None if math.isnan(value) else value for name, value in values.items()}
    if outputs.task == BINARY:
        told["f1"] = _f1(rows[outputs.label], rows[outputs.prediction])
    if intervals:
        told[INTERVAL_COVERAGE] = covered_share(*(rows[name].to_numpy() for name in (outputs.label, LOWER, UPPER)))
    return told


def _f1(label: pl.Series, prediction: pl.Series) -> float | None:
    """Harmonic mean of precision and recall; None if nothing is, or is predicted, positive."""
    named = int(label.sum() + prediction.sum())
    return 2 * int((label & prediction).sum()) / named if named else None
