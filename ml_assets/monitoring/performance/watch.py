"""Performance in production: estimated before labels are known, realised afterwards."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from ml_assets.monitoring.performance.estimated import estimate_performance
from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.evaluation.seasonal import scale_as_reference
from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import LOWER, PREDICTION, SCORE


def watch_performance(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    model: ModelSpec,
    features: Sequence[str],
    spec: MonitoringSpec,
    earlier: pl.DataFrame | None = None,
    record: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Measure estimated and realised performance of a model's rows, one below the other.

    Args:
        reference: predictions of the holdout, as ``ml_assets.training.predictions.scored`` has them, with labels.
        analysis: predictions of later rows; labels not known yet are null.
        earlier: predictions of rows in between, whose labels are known by now where they are not null.
        record: what this function returned of earlier periods, of this version or others.

    Raises:
        what ``estimate_performance`` and ``realise_performance`` raise.
    """
    about: dict[str, Any] = {
        "probability": SCORE,
        "prediction": PREDICTION,
        "label": model.label.column,
        "time": model.spine.time,
        "spec": spec,
        "task": model.task,
        "classes": find_task(model.task).read_classes(reference) or (),
    }
    estimated = estimate_performance(reference, analysis, features=features, earlier=earlier, record=record, **about)
    # A version that was trained before intervals were declared has none.
    ends = LOWER in analysis.columns and not analysis[LOWER].has_nulls()
    coverage = model.intervals.least if model.intervals is not None and ends else None
    analysis = scale_as_reference(analysis, reference, model)
    task = find_task(model.task)
    limited = [name for name in (*spec.floors, *spec.ceilings) if task.is_optional(name)]
    more = list(dict.fromkeys([*model.extra_metrics, *limited]))
    realised = realise_performance(analysis, more=more, coverage=coverage, payoff=model.payoff, **about)
    return pl.concat([estimated, realised])
