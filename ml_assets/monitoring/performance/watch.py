"""Performance in production: estimated before labels are known, realised afterwards."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.monitoring.performance.estimated import estimate_performance
from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.evaluation.seasonal import scale_as_reference
from ml_assets.training.metrics.payoff import Payoff
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
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Measure estimated and realised performance of a model's rows, one below the other.

    Args:
        reference: predictions of the holdout, as ``ml_assets.training.predictions.scored`` has them, with labels.
        analysis: predictions of later rows; labels not known yet are null.
        earlier: predictions of rows in between, whose labels are known by now where they are not null.
        record: what this function returned of earlier periods, of this version or others.
        as_of: moment by which the labels were known; None for the end of the period.

    Raises:
        what ``estimate_performance`` and ``realise_performance`` raise.
    """
    about = _about(model, spec, reference)
    estimated = estimate_performance(
        reference,
        analysis,
        features=features,
        earlier=earlier,
        record=record,
        payoff=_known_payoff(model, reference),
        more=[*model.extra_metrics, model.watched_metric],
        **about,
    )
    return pl.concat([estimated, _realised(reference, analysis, model, about, as_of)])


def watch_realised(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    model: ModelSpec,
    spec: MonitoringSpec,
    as_of: datetime | None = None,
    estimated: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Measure the realised performance of rows again, as more labels have come; as ``watch_performance`` does.

    Args:
        estimated: rows of the estimate that it returned of them, whose chunks are kept.
    """
    return _realised(reference, analysis, model, _about(model, spec, reference), as_of, estimated)


def _about(model: ModelSpec, spec: MonitoringSpec, reference: pl.DataFrame) -> dict[str, Any]:
    return {
        "probability": SCORE,
        "prediction": PREDICTION,
        "label": model.label.column,
        "time": model.spine.time,
        "spec": spec,
        "task": model.task,
        "classes": find_task(model.task).read_classes(reference) or (),
    }


def _known_payoff(model: ModelSpec, reference: pl.DataFrame) -> Payoff | None:
    """Return the payoffs unless the reference is from before they were declared: estimates are judged on it."""
    payoff = model.payoff
    return payoff if payoff is not None and {*payoff.columns} <= {*reference.columns} else None


def _realised(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    model: ModelSpec,
    about: dict[str, Any],
    as_of: datetime | None,
    estimated: pl.DataFrame | None = None,
) -> pl.DataFrame:
    # A version that was trained before intervals were declared has none.
    ends = LOWER in analysis.columns and not analysis[LOWER].has_nulls()
    coverage = model.intervals.least if model.intervals is not None and ends else None
    analysis = scale_as_reference(analysis, reference, model)
    task, spec = find_task(model.task), about["spec"]
    named = (*spec.floors, *spec.ceilings, *(spec.estimated_metrics or ()))
    more = list(dict.fromkeys([*model.extra_metrics, *(name for name in named if task.is_optional(name))]))
    beside = {"coverage": coverage, "payoff": model.payoff, "horizon": model.spine.horizon, "estimated": estimated}
    return realise_performance(analysis, more=more, as_of=as_of, **beside, **about)
