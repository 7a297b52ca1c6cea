"""retrain_decision: after each drop, whether the model is to be trained again, and why."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg
import polars as pl

from ml_assets.components.conditions import FOLLOW_DROPS
from ml_assets.components.metadata.tables import column_schema, markdown
from ml_assets.components.model.context import ModelContext
from ml_assets.components.model.monitoring import as_predicted, reference_rows, scored_rows
from ml_assets.components.partitions import SINGLE_RUN, drop_end, drops_of
from ml_assets.components.records import AS_OF, VERSION, TrainedVersion
from ml_assets.dagster_internals import AssetCheckExecutionRecordStatus as Status
from ml_assets.dagster_internals import PartitionKeyFilter
from ml_assets.lake import Lake
from ml_assets.lake.records import NUMBER, RECORD, add_records
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.retraining.decide import DecisionRecord, read_decisions
from ml_assets.retraining.evidence import Circumstances

DROPS_LOOKED_AT = 2
"""A rule on n of the last m chunks may reach back into the drop before."""

DESCRIBED = {
    NUMBER: "Place in the order in which decisions were made: the last on a drop is the one that holds.",
    **{f"decision_{n}" if n == "id" else n: field.description for n, field in DecisionRecord.model_fields.items()},
    RECORD: "The whole decision as JSON, with its evidence.",
}


def retraining_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    return [_retrain_decision(model)]


def _retrain_decision(model: ModelContext) -> dg.AssetsDefinition:
    spec = model.spec

    @dg.multi_asset(
        name=f"{spec.name}__retrain_decision",
        specs=[
            model.asset_spec(
                "retrain_decision",
                model.watching_stage,
                [model.key("performance_report"), model.key("drift_report"), model.key("reference")],
                "Whether the model is to be trained again, with the evidence, the rule that settled it and the "
                "features that may be behind it. A sensor acts on it once.",
                kinds={"polars", "delta"},
                partitions_def=model.spine.partitions_def,
                automation_condition=FOLLOW_DROPS,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def retrain_decision(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        tables, drops = lake.open(), drops_of(context, model.spine.drops)
        records = [_decide(tables, registry, model, drop, failed_gates(context, drop)) for drop in drops]
        _add_new(tables, model, records)
        key, last = model.key("retrain_decision"), records[-1]
        return dg.MaterializeResult(
            metadata={
                "decision": "retrain" if last.retrain else "wait",
                "reason": last.reason,
                "rule": last.rule,
                "champion": last.champion,
                "decision_id": last.id,
                "evidence": markdown(
                    pl.DataFrame([e.model_dump(exclude={"side"}) for e in last.evidence], infer_schema_length=None)
                ),
                "causes": markdown(pl.DataFrame([c.model_dump() for c in last.causes])) if last.causes else "none",
                "table_version": tables.version(key),
                "dagster/column_schema": column_schema(
                    tables.scan(key).collect_schema(), DESCRIBED | {model.spine.partition: "The drop."}
                ),
            },
            data_version=dg.DataVersion(str(tables.version(key))),
        )

    return retrain_decision


def _add_new(lake: Lake, model: ModelContext, records: Sequence[DecisionRecord]) -> None:
    """Add the decisions that say something else than the last on their drop, or rest on other evidence."""
    stands = {one.drop: one.id for one in read_decisions(lake, model.spec.name)}
    new = [one for one in records if stands.get(one.drop) != one.id]
    if new:
        columns = [{model.spine.partition: one.drop, **_columns(one)} for one in new]
        add_records(lake, model.key("retrain_decision"), new, columns, model.spine.partition)


def _columns(record: DecisionRecord) -> dict[str, object]:
    wanted = ("id", "model", "as_of", "champion", "retrain", "rule", "reason")
    return {f"decision_{n}" if n == "id" else n: getattr(record, n) for n in wanted}


def _decide(
    lake: Lake, registry: RegistryResource, model: ModelContext, drop: str, gates: Sequence[str]
) -> DecisionRecord:
    from ml_assets.retraining.causes import rank_causes
    from ml_assets.retraining.decide import decide, decide_on_nothing, record_decision
    from ml_assets.retraining.evidence import gather_evidence
    from ml_assets.retraining.limits import learn_limits
    from ml_assets.training.evaluation.explain import explain

    spec, policy = model.spec, model.retraining
    as_of = drop_end(drop, model.spine.drops).isoformat()
    reported = _reported(lake, model, "performance_report", [drop])
    if reported.is_empty():
        champion = registry.open().champion(spec.name)
        about = {"model": spec.name, "drop": drop, "as_of": as_of, "champion": champion.version if champion else ""}
        return record_decision(decide_on_nothing(), evidence=(), causes=(), **about)
    version = reported[VERSION][0]
    looked_at = [d for d in lake.partitions(model.key("performance_report"), model.spine.partition) if d <= drop]
    looked_at = looked_at[-DROPS_LOOKED_AT:]
    drift, performance = (
        _reported(lake, model, report, looked_at).filter(pl.col(VERSION) == version)
        for report in ("drift_report", "performance_report")
    )
    model = as_predicted(lake, registry.open(), model, drop)
    spec = model.spec
    evidence = gather_evidence(
        drift=drift,
        performance=performance,
        limits=learn_limits(
            reference_rows(lake, model, version),
            features=model.features,
            time=model.spine.time,
            label=spec.label.column,
            metric=spec.metric,
            task=spec.task,
            monitoring=model.monitoring,
            retraining=policy,
        ),
        metric=spec.metric,
        circumstances=_circumstances(lake, registry, model, drop, version, gates),
        monitoring=model.monitoring,
        retraining=policy,
    )
    decision, causes = decide(evidence, policy), []
    if decision.retrain:
        fitted = registry.open().load(spec.name, version=version)
        listened = explain(fitted, scored_rows(lake, model, drop), rows=500, seed=spec.seed)
        of_drop = drift.filter(pl.col(model.spine.partition) == drop)
        causes = rank_causes(of_drop, listened, model.monitoring.psi_threshold)
    return record_decision(
        decision, model=spec.name, drop=drop, as_of=as_of, champion=version, evidence=evidence, causes=causes
    )


def _reported(lake: Lake, model: ModelContext, report: str, drops: Sequence[str]) -> pl.DataFrame:
    return lake.scan(model.key(report)).filter(pl.col(model.spine.partition).is_in(drops)).collect()


def _circumstances(
    lake: Lake, registry: RegistryResource, model: ModelContext, drop: str, version: str, gates: Sequence[str]
) -> Circumstances:
    now, label = drop_end(drop, model.spine.drops), model.spec.label
    trainings = lake.scan(model.key("model")).select(AS_OF, "version", "record").collect()
    records = {its: record for _, its, record in trainings.iter_rows()}
    if version not in records:
        raise ValueError(
            f"{model.key('model')} holds no training of version {version}, which made the predictions of {drop}: train "
            f"again, or materialize {model.key('predictions')} of it by the champion of the day"
        )
    champion = TrainedVersion.model_validate_json(records[version])
    looked_from = [datetime.fromisoformat(as_of) for as_of in trainings[AS_OF]]
    rolled_back = registry.open().rolled_back_at(model.spec.name)
    before = [moment for moment in [*looked_from, *([rolled_back] if rolled_back else [])] if moment <= now]
    # A drop from before every training is judged as of the first one: no label is newer than that.
    last = max(before, default=min(looked_from))
    known = lake.scan(model.spine.table).filter(pl.col(label.known_at) <= now, pl.col(label.column).is_not_null())
    counts = known.select(all=pl.len(), new=(pl.col(label.known_at) > last).sum()).collect().row(0, named=True)
    return Circumstances(
        as_of=now,
        trained_as_of=datetime.fromisoformat(champion.as_of),
        last_trained=last,
        labelled_rows=counts["all"],
        new_labels=counts["new"],
        failed_gates=tuple(gates),
    )


def failed_gates(context: dg.AssetExecutionContext, drop: str) -> list[str]:
    """Blocking checks upstream of this asset whose latest execution, on this drop if cut, failed: ``asset:check``."""
    graph, storage = context.job_def.asset_layer.asset_graph, context.instance.event_log_storage
    upstream = graph.get_ancestor_asset_keys(context.asset_key)
    gates = [graph.get(key) for key in graph.asset_check_keys if key.asset_key in upstream]
    gates = [gate for gate in gates if gate.blocking]
    cut = [gate.key for gate in gates if gate.partitions_def is not None]
    whole = [gate.key for gate in gates if gate.partitions_def is None]
    latest = {
        **storage.get_latest_asset_check_execution_by_key(cut, partition_filter=PartitionKeyFilter(key=drop)),
        **storage.get_latest_asset_check_execution_by_key(whole),
    }
    failed = [key for key, record in latest.items() if record.status == Status.FAILED]
    return sorted(f"{key.asset_key.to_user_string()}:{key.name}" for key in failed)
