"""A model's card, put together from the registry and the records in the lake."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.cards.card import (
    Estimate,
    FeatureFacts,
    FeatureImportance,
    HoldoutMetric,
    ModelCard,
    PartOfData,
    PromotionSummary,
    Provenance,
    SliceMeasure,
)
from ml_assets.cards.decided import read_version_decisions
from ml_assets.cards.fair import describe_fairness_limits, group_measures, read_groups
from ml_assets.cards.limits import known_limits
from ml_assets.cards.watching import describe_watching, read_watched_drops
from ml_assets.features.describe import describe_features
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.evaluation import IMPORTANCE
from ml_assets.modelling.records import AS_OF, TrainedVersion, read_version
from ml_assets.quality.private import masked
from ml_assets.registry.records import CHALLENGER, CHAMPION, RegisteredVersion
from ml_assets.training.tasks import find_metric

if TYPE_CHECKING:
    from ml_assets.registry.registry import Registry
    from ml_assets.training.fit import TrainedModel

MODEL, BASELINE, IMPROVEMENT = "model", "baseline", "improvement"
"""Subjects of the evaluation's rows that hold metrics."""


def read_card(
    model: ModelContext, registered: RegisteredVersion, trained: "TrainedModel", lake: Lake, registry: "Registry"
) -> ModelCard:
    """Put together what is known of a version. What the lake does not keep of it is empty in the card, and among its
    limits."""
    from ml_assets.training.evaluation.explain import importance_unit

    own, spec = model.trained_on(trained.inputs), model.spec
    label = spec.label if trained.inputs is None else trained.inputs.label
    record = _record(lake, model, registered.version)
    measured = _evaluation(lake, model, record)
    private = model.private([*spec.slices, *spec.groups])
    groups = read_groups(lake, spec.name, registered.version, private)
    metrics, slices = _metrics(measured), _slices(measured, private)
    roles = (role for role in (CHAMPION, CHALLENGER) if role in registered.aliases)
    confidence = measured["confidence"].drop_nulls() if "confidence" in measured.columns else pl.Series()
    decisions = read_version_decisions(lake, spec.name, registered.version)
    return ModelCard(
        model=spec.name,
        version=registered.version,
        role=next(roles, "earlier version"),
        description=spec.description,
        owners=tuple(spec.owners),
        tags=dict(model.tags),
        statements=model.card,
        task=trained.task,
        kind=trained.kind,
        label=label.column,
        label_known_at=label.known_at,
        rows_of=model.spine.table,
        trained_as_of=registered.tags.get("as_of", ""),
        data=_data(lake, model, record),
        features=_features(lake, model, record, own, trained),
        metrics=metrics,
        confidence=None if confidence.is_empty() else confidence[0],
        slices=slices,
        groups=tuple(spec.groups),
        fairness=group_measures(groups),
        fairness_limits=describe_fairness_limits(groups, model),
        threshold=trained.threshold,
        calibration=trained.calibration and trained.calibration.method,
        negatives_kept=trained.negatives_kept,
        interval_coverage=trained.intervals and trained.intervals.coverage,
        importance=_importance(measured, own),
        importance_unit=importance_unit(trained),
        limits=tuple(known_limits(model, registered.version, trained, lake, metrics, slices)),
        watched=tuple(describe_watching(model)),
        drops=read_watched_drops(lake, model, registered.version),
        decisions=decisions,
        decision=PromotionSummary(**decisions[-1].model_dump(include={*PromotionSummary.model_fields}))
        if decisions
        else None,
        asks_for_approval=spec.promotion.approve,
        optimised=spec.optimised_metric,
        promoted_by=spec.promotion.metric,
        provenance=_provenance(model, registered, trained, registry, record),
    )


def _record(lake: Lake, model: ModelContext, version: str) -> TrainedVersion | None:
    if not lake.exists(model.key("model")):
        return None
    rows = lake.scan(model.key("model")).filter(pl.col("version") == version).select("record").collect()
    return None if rows.is_empty() else TrainedVersion.model_validate_json(rows["record"][-1])


def _evaluation(lake: Lake, model: ModelContext, record: TrainedVersion | None) -> pl.DataFrame:
    if record is None or not lake.exists(model.key("evaluation")):
        return pl.DataFrame(schema={"subject": pl.String})
    return read_version(lake, model.key("evaluation"), record)


def _data(lake: Lake, model: ModelContext, record: TrainedVersion | None) -> tuple[PartOfData, ...]:
    key, time = model.key("training_set"), model.spine.time
    if record is None or not lake.exists(key):
        return ()
    own = lake.scan(key).filter(pl.col(AS_OF) == record.as_of)
    parts = own.group_by("split").agg(rows=pl.len(), first=pl.col(time).min(), last=pl.col(time).max())
    of = {name: (rows, first, last) for name, rows, first, last in parts.collect().iter_rows()}
    named = [name for name in ("train", "validation", "calibration", "holdout") if name in of]
    return tuple(PartOfData(part=name, rows=of[name][0], first=of[name][1], last=of[name][2]) for name in named)


def _metrics(measured: pl.DataFrame) -> tuple[HoldoutMetric, ...]:
    rows = {(row["subject"], row["metric"]): row for row in measured.iter_rows(named=True)} if measured.height else {}
    return tuple(
        HoldoutMetric(
            metric=metric,
            greater_is_better=find_metric(metric).greater_is_better,
            model=_estimate(row),
            baseline=_estimate_of(rows.get((BASELINE, metric))),
            improvement=_estimate_of(rows.get((IMPROVEMENT, metric))),
        )
        for (subject, metric), row in rows.items()
        if subject == MODEL
    )


def _estimate_of(row: dict[str, Any] | None) -> Estimate | None:
    return None if row is None else _estimate(row)


def _estimate(row: dict[str, Any]) -> Estimate:
    return Estimate(value=row["value"], low=row["low"], high=row["high"])


def _slices(measured: pl.DataFrame, private: frozenset[str]) -> tuple[SliceMeasure, ...]:
    others = measured.filter(~pl.col("subject").is_in([MODEL, BASELINE, IMPROVEMENT, IMPORTANCE]))
    subjects = [str(subject) for subject in others["subject"].unique(maintain_order=True)]
    hidden = masked(subject for subject in subjects if subject.partition("=")[0] in private)
    return tuple(
        SliceMeasure(
            subject=f"{subject.partition('=')[0]}={hidden[subject]}" if subject in hidden else subject,
            rows=rows["rows"][0],
            measures=dict(rows.select("metric", "value").iter_rows()),
        )
        for subject, rows in zip(subjects, others.partition_by("subject", maintain_order=True), strict=True)
    )


def _importance(measured: pl.DataFrame, own: ModelContext) -> tuple[FeatureImportance, ...]:
    if measured.is_empty():
        return ()
    words = {name: text for view in own.views for name, text in describe_features(view).items()}
    shares = measured.filter(pl.col("subject") == IMPORTANCE).sort("value", "metric", descending=[True, False])
    return tuple(
        FeatureImportance(feature=name, share=share, description=words.get(name, ""))
        for name, share in shares.select("metric", "value").iter_rows()
    )


def _features(
    lake: Lake, model: ModelContext, record: TrainedVersion | None, own: ModelContext, trained: "TrainedModel"
) -> tuple[FeatureFacts, ...]:
    """Describe what the version was trained on; a view that the version does not name is unknown."""
    words = {name: (view.name, text) for view in own.views for name, text in describe_features(view).items()}
    missing = _missing(lake, model.key("training_set"), record, trained.features)
    return tuple(
        FeatureFacts(
            feature=name,
            view=words.get(name, ("", ""))[0],
            description=words.get(name, ("", ""))[1],
            missing=missing.get(name),
        )
        for name in trained.features
    )


def _missing(lake: Lake, key: str, record: TrainedVersion | None, features: Sequence[str]) -> dict[str, float | None]:
    """Return the share of a training set's rows that have no value of a feature."""
    if record is None or not lake.exists(key):
        return {}
    own = lake.scan(key).filter(pl.col(AS_OF) == record.as_of)
    there = [name for name in features if name in own.collect_schema()]
    return own.select(pl.col(there).null_count() / pl.len()).collect().row(0, named=True) if there else {}


def _provenance(
    model: ModelContext,
    registered: RegisteredVersion,
    trained: "TrainedModel",
    registry: "Registry",
    record: TrainedVersion | None,
) -> Provenance:
    origin, as_of = registry.origin(registered.run_id), registered.tags.get("as_of", "")
    named = f"{model.group} --train-as-of {as_of[:10]} --model {model.spec.name}" if model.group and as_of else ""
    return Provenance(
        run_id=registered.run_id,
        dagster_run_id=origin.dagster_run_id,
        code_commit=origin.code_commit,
        code_changed=origin.code_changed,
        platform=origin.platform,
        table_versions=origin.table_versions,
        location=registered.location,
        parameters=trained.parameters,
        training_set_version=record and record.training_set_version,
        seed=model.spec.seed,
        trees=record and record.trees,
        command=named and f"ml-assets run {named}",
    )
