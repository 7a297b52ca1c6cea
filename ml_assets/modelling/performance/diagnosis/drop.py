"""The diagnosis of a drop: its rows, those of its version's reference, and what happened upstream."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.diagnosis.subject import Subject
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.diagnosis.events import events_of, predicted_at
from ml_assets.modelling.performance.diagnosis.kept import DropDiagnosis, keep_diagnoses
from ml_assets.modelling.performance.diagnosis.origins import Upstream, origins_of
from ml_assets.modelling.records import VERSION
from ml_assets.modelling.watched import as_predicted, metric_of_reference, reference_rows, scored_rows
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.training.evaluation.seasonal import scale_as_reference
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import NAIVE_ERROR, PREDICTION, SCORE, ScoredColumns

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry
    from ml_assets.training.fit import TrainedModel

LEAST_LABELS = 200
"""Rows with a known label from which losses are looked at; with fewer, expected ones are."""
OF_PERFORMANCE = ("realised", "estimated", "calibration")
"""Kinds of evidence that are about performance."""
EXPLAINED = 500
"""Rows of the drop over which importances are averaged."""


class NothingToDiagnose(LookupError):
    """A drop of which no row was scored."""


def diagnose_falls(
    lake: Lake,
    registry: "Registry",
    model: ModelContext,
    decisions: Sequence[DecisionRecord],
    upstream: Upstream,
) -> tuple[list[DropDiagnosis], dict[str, str]]:
    """Diagnose the drops whose performance fell, and keep what is new of that.

    Args:
        decisions: of the drops, whose evidence says whether performance fell: realised, estimated or calibration.

    Returns:
        The diagnoses, and of each drop of which there cannot be one why not.
    """
    found, without = [], {}
    for decision in decisions:
        if any(each.breached for each in decision.evidence if each.kind in OF_PERFORMANCE):
            try:
                found.append(diagnose_drop(lake, registry, model, decision.drop, upstream=upstream))
            except NothingToDiagnose as nothing:
                without[decision.drop] = str(nothing)
    keep_diagnoses(lake, model, found)
    return found, without


def diagnose_drop(
    lake: Lake,
    registry: "Registry",
    model: ModelContext,
    drop: str,
    *,
    upstream: Upstream,
    labels_until: str | None = None,
) -> DropDiagnosis:
    """Say why the version that predicted a drop did worse on it than on its reference: by its labels, or where fewer
    than ``LEAST_LABELS`` are known by what its inputs make to be expected.

    Args:
        labels_until: later drop by whose end labels were known that count; the drop itself by default.

    Raises:
        NothingToDiagnose: no row was scored.
        ValueError: what the version predicts, or a feature of it, cannot be had any more.
    """
    from ml_assets.diagnosis.diagnose import diagnose, diagnose_before_labels

    own = as_predicted(lake, registry, model, drop)
    rows = scored_rows(lake, own, drop, labels_until)
    if rows.is_empty():
        raise NothingToDiagnose(f"{own.spec.name}, {drop}: no row of the drop was scored")
    known = rows[own.spec.label.column].count()
    version = rows[VERSION][0]
    reference = reference_rows(lake, own, version)
    rows = scale_as_reference(rows, reference, own.spec)
    fitted = registry.load(own.spec.name, version=version)
    made_at = predicted_at(lake, own.watched, own.spine.partition, drop)
    same = [source for source in upstream.sources if source.drops.grain == own.spine.drops.grain]
    subject = replace(
        _subject(own, reference, rows, fitted),
        origins=origins_of(own, upstream),
        private=own.private([*own.spec.slices, *own.features], upstream.lineage),
        events=events_of(lake, same, drop, made_at),
    )
    look = diagnose if known >= LEAST_LABELS else diagnose_before_labels
    found = look(reference, rows, subject, seed=own.monitoring.seed)
    return DropDiagnosis(
        model=own.spec.name, drop=drop, version=version, labels_until=labels_until or drop, diagnosis=found
    )


def _subject(model: ModelContext, reference: pl.DataFrame, rows: pl.DataFrame, fitted: "TrainedModel") -> Subject:
    from ml_assets.training.evaluation.explain import explain
    from ml_assets.training.predictions.scored import scored

    spec, task = model.spec, find_task(model.spec.task)
    metric = metric_of_reference(spec, reference)[0]
    listened = explain(fitted, rows, rows=min(EXPLAINED, spec.evaluation.explained_rows), seed=spec.seed)
    return Subject(
        task=task,
        columns=ScoredColumns(
            spec.label.column, SCORE, PREDICTION, task.read_classes(reference) or (), spec.payoff_for(metric)
        ),
        metric=metric,
        time=model.spine.time,
        features=[name for name in model.features if name not in model.monitoring.exclude],
        slices=_there(spec.slices, reference, rows),
        block=spec.evaluation.block or "1d",
        psi_threshold=model.monitoring.psi_threshold,
        beside=_there([*fitted.features, NAIVE_ERROR], reference, rows),
        importance=dict(listened.select("feature", "share").iter_rows()),
        rescore=lambda again: scored(again, fitted),
    )


def _there(names: Sequence[str], *frames: pl.DataFrame) -> list[str]:
    return [name for name in names if all(name in frame.columns for frame in frames)]
