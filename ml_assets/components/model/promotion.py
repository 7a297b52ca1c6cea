"""champion: the decision whether the challenger serves from now on."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.columns import DECISIONS
from ml_assets.components.metadata.tables import Metadata, column_schema, markdown, record_metadata
from ml_assets.components.model.asset_specs import model_asset_spec
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import TRAINING
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.promotion import decide_on_challenger
from ml_assets.modelling.records import TrainedVersion, read_record
from ml_assets.resources import AsOf, LakeResource, RegistryResource

if TYPE_CHECKING:
    from ml_assets.registry.records import RegisteredVersion
    from ml_assets.training.promotion.records import PromotionRecord


def promotion_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(name=f"{model.spec.name}__champion", specs=[_asset_spec(model)])
    def champion(
        context: dg.AssetExecutionContext, lake: LakeResource, as_of: AsOf, registry: RegistryResource
    ) -> dg.MaterializeResult:
        tables, tracked, key = lake.open(), registry.open(), model.key("champion")
        moment = model.moment(tables, as_of).isoformat()
        trained = read_record(tables, model.key("model"), moment, TrainedVersion)
        decision = decide_on_challenger(tables, tracked, model, trained, run_started(context))
        return dg.MaterializeResult(
            metadata={
                **_decision_metadata(decision, tracked.champion(model.spec.name)),
                "dagster/column_schema": column_schema(tables.scan(key).collect_schema(), DECISIONS),
            },
            data_version=dg.DataVersion(str(tables.version(key))),
        )

    return [champion]


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    return model_asset_spec(
        model,
        "champion",
        TRAINING,
        [model.key("evaluation"), model.key("reference")],
        "The decision whether the challenger serves from now on, with the evidence it rests on.",
        kinds={"mlflow"},
        freshness_policy=freshness_policy(model.freshness),
    )


def _decision_metadata(decision: "PromotionRecord", serves: "RegisteredVersion | None") -> Metadata:
    return {
        "decision": decision.answer,
        "reason": decision.reason,
        "serves_now": serves.version if serves else "none",
        "evidence": markdown(pl.DataFrame([item.model_dump() for item in decision.evidence])),
        **record_metadata(decision),
    }
