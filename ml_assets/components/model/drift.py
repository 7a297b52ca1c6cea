"""drift_report: how far the features of each drop have moved from the champion's reference."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from ml_assets.components.conditions import FOLLOW_DROPS
from ml_assets.components.metadata.columns import DRIFT
from ml_assets.components.metadata.tables import Metadata, data_version, inline_png, markdown, table_metadata
from ml_assets.components.model.asset_specs import model_asset_key, model_asset_spec, watching_stage
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.drift.false_alarms import keep_false_alarms
from ml_assets.modelling.drift.measure import DropDrift, keep_drop_profiles, measure_drop, with_attribution
from ml_assets.modelling.watched import as_predicted
from ml_assets.monitoring.drift.attribution import ATTRIBUTION, ATTRIBUTION_CHANGE
from ml_assets.registry.registry import Registry
from ml_assets.resources import LakeResource, RegistryResource

if TYPE_CHECKING:
    from ml_assets.monitoring.report.summary import DriftSummary


def drift_assets(model: ModelContext) -> list[dg.AssetsDefinition]:
    @dg.multi_asset(
        name=f"{model.spec.name}__drift_report",
        specs=[_asset_spec(model)],
        backfill_policy=SINGLE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                "psi",
                asset=model_asset_key(model, "drift_report"),
                description="No feature's population stability index passes the declared threshold.",
            )
        ],
    )
    def drift_report(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from ml_assets.monitoring.report.summary import summarise_drift

        tables, tracked, drops = lake.open(), registry.open(), drops_of(context, model.spine.drops)
        measured = {drop: _measured(tables, tracked, model, drop) for drop in drops}
        stored = pl.concat([drift.stored for drift in measured.values()])
        written = tables.replace(model.key("drift_report"), stored, {model.spine.partition: drops})
        keep_drop_profiles(tables, model, measured)
        keep_false_alarms(tables, model, measured)
        summaries = {drop: summarise_drift(of_drop.drift, model.monitoring) for drop, of_drop in measured.items()}
        worst = max(drops, key=lambda drop: summaries[drop].strongest_psi)
        return dg.MaterializeResult(
            metadata={
                **_drift_metadata(worst, summaries[worst], measured[worst]),
                "not_watched": list(model.monitoring.exclude),
                **table_metadata(written, stored, model.described(DRIFT)),
            },
            data_version=data_version(written),
            check_results=[_psi_check(worst, summaries[worst])],
        )

    return [drift_report]


def _measured(lake: Lake, registry: Registry, model: ModelContext, drop: str) -> DropDrift:
    own = as_predicted(lake, registry, model, drop)
    return with_attribution(lake, registry, own, measure_drop(lake, own, drop), drop)


def _asset_spec(model: ModelContext) -> dg.AssetSpec:
    # Served features are kept with the answers.
    beside = [model.spine.table] if model.watches_served else [view.key for view in model.views]
    return model_asset_spec(
        model,
        "drift_report",
        watching_stage(model),
        [model.watched, model.key("reference"), *beside],
        "How far the features of a drop have moved from the champion's reference, by week and as a whole.",
        kinds={"polars", "delta"},
        partitions_def=partitions_of(model.spine.drops),
        automation_condition=FOLLOW_DROPS,
    )


def _drift_metadata(drop: str, summary: "DriftSummary", shown: DropDrift) -> Metadata:
    from ml_assets.monitoring.report.distributions import plot_distribution
    from ml_assets.monitoring.report.heat_map import plot_drift

    if shown.drift.is_empty():
        return {"drop": drop, "rows": 0}
    strongest = summary.strongest_feature
    by_psi = shown.drift.filter(method="psi", scope="period").sort("value", descending=True)
    distribution = plot_distribution(shown.reference[strongest], shown.rows[strongest], strongest)
    return {
        "drop": drop,
        "strongest_feature": strongest,
        "strongest_psi": summary.strongest_psi,
        "drifted_features": list(summary.drifted),
        **({"false_alarms": shown.false_alarms.sentence} if shown.false_alarms else {}),
        "heat_map": inline_png(plot_drift(shown.drift), "PSI by week and feature"),
        "distribution": inline_png(distribution, strongest),
        **_attribution_metadata(shown),
        "by_psi": markdown(by_psi.head(15).select("feature", "value", "threshold", "alert")),
    }


def _attribution_metadata(shown: DropDrift) -> Metadata:
    distance = shown.drift.filter(method=ATTRIBUTION)
    if distance.is_empty():
        return {}
    changes = shown.drift.filter(method=ATTRIBUTION_CHANGE).sort(pl.col("value").abs(), descending=True)
    return {
        "attribution_drift": distance["value"][0],
        "attribution_moved": markdown(changes.head(10).select("feature", change="value")),
    }


def _psi_check(drop: str, summary: "DriftSummary") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="psi",
        passed=not summary.drifted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "observed": summary.strongest_psi,
            "threshold": summary.threshold,
            "drop": drop,
            "drifted": ", ".join(summary.drifted) or "none",
        },
    )
