"""retrain_decision: after each drop, whether the model is to be trained again, and why."""

from collections.abc import Mapping, Sequence
from functools import partial

import dagster as dg
import polars as pl

from ml_assets.components.conditions import FOLLOW_DROPS
from ml_assets.components.metadata.columns import RETRAIN_DECISIONS
from ml_assets.components.metadata.lineage import recorded_lineage
from ml_assets.components.metadata.tables import Metadata, column_schema, markdown
from ml_assets.components.model.asset_specs import model_asset_spec, watching_stage
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.dagster_internals import AssetCheckExecutionRecordStatus as Status
from ml_assets.dagster_internals import PartitionKeyFilter
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.diagnosis.drop import diagnose_falls
from ml_assets.modelling.performance.diagnosis.kept import DropDiagnosis
from ml_assets.modelling.performance.diagnosis.origins import Upstream
from ml_assets.modelling.retraining import add_new_decisions, decide_on_drop
from ml_assets.resources import LakeResource, RegistryResource
from ml_assets.retraining.decide import DecisionRecord


def retraining_assets(model: ModelContext, sources: Sequence[DeclaredSource] = ()) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(name=f"{model.spec.name}__retrain_decision", specs=[_asset_spec(model)], backfill_policy=SINGLE_RUN)
    def retrain_decision(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        tables, tracked, key = lake.open(), registry.open(), model.key("retrain_decision")
        drops = drops_of(context, model.spine.drops)
        decisions = [decide_on_drop(tables, tracked, model, drop, failed_gates(context, drop)) for drop in drops]
        add_new_decisions(tables, model, decisions)
        upstream = Upstream(sources, partial(recorded_lineage, context.instance))
        diagnosed = diagnose_falls(tables, tracked, model, decisions, upstream)
        described = RETRAIN_DECISIONS | {model.spine.partition: "The drop."}
        return dg.MaterializeResult(
            metadata={
                **_decision_metadata(decisions[-1]),
                **_diagnosis_metadata(*diagnosed),
                "table_version": tables.version(key),
                "dagster/column_schema": column_schema(tables.scan(key).collect_schema(), described),
            },
            data_version=dg.DataVersion(str(tables.version(key))),
        )

    return [retrain_decision]


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    return model_asset_spec(
        model,
        "retrain_decision",
        watching_stage(model),
        [model.key("performance_report"), model.key("drift_report"), model.key("reference")],
        "Whether the model is to be trained again, with the evidence, the rule that settled it and the "
        "features that may be behind it. A sensor acts on it once.",
        kinds={"polars", "delta"},
        partitions_def=partitions_of(model.spine.drops),
        automation_condition=FOLLOW_DROPS,
    )


def _decision_metadata(decision: DecisionRecord) -> Metadata:
    evidence = [item.model_dump(exclude={"side"}) for item in decision.evidence]
    causes = [cause.model_dump() for cause in decision.causes]
    return {
        "decision": "retrain" if decision.retrain else "wait",
        "reason": decision.reason,
        "rule": decision.rule,
        "champion": decision.champion,
        "decision_id": decision.id,
        "evidence": markdown(pl.DataFrame(evidence, infer_schema_length=None)),
        "causes": markdown(pl.DataFrame(causes)) if causes else "none",
    }


def _diagnosis_metadata(found: Sequence[DropDiagnosis], without: Mapping[str, str]) -> Metadata:
    """Show why performance fell, if it did."""
    why = {record.drop: [cause.text for cause in record.diagnosis.causes] for record in found}
    return {**({"why": why} if why else {}), **({"not_diagnosed": dict(without)} if without else {})}


def failed_gates(context: dg.AssetExecutionContext, drop: str) -> list[str]:
    """Return the blocking checks upstream whose latest execution failed, on this drop if they are cut:
    ``asset:check``."""
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
