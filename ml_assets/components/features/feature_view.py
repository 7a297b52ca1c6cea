"""FeatureView: a declared view as an asset, one partition of the spine at a time."""

from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.features.online import online_asset
from ml_assets.components.features.spine import Spine, find_spine
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.tables import data_version, markdown, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of, partitions_of
from ml_assets.components.project.tree import home_of
from ml_assets.components.scaffolders.components import FeatureViewScaffolder
from ml_assets.components.stages import FEATURE, STAGE
from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.audit.leaks import differing_features
from ml_assets.features.compute import ComputedFeatures, compute_to_files, facts_left_out
from ml_assets.features.describe import describe_features
from ml_assets.resources import LakeResource

POINT_IN_TIME = "point_in_time"


@dg.scaffold_with(FeatureViewScaffolder)
class FeatureView(DeclaredView, dg.Component, dg.Resolvable):
    """Features of one entity over one table, computed as of each row of a spine."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        group = use_case(context)
        assets = [_feature_asset(self, find_spine(context, self.spine), group)]
        if self.online is not None and self.table is not None:
            assets.append(online_asset(self, self.online, self.owners, group, home_of(context).online_store))
        return dg.Definitions(assets=assets)


def _feature_asset(view: FeatureView, spine: Spine, group: str) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"features__{view.name}",
        specs=[_asset_spec(view, spine, group)],
        check_specs=[
            dg.AssetCheckSpec(
                POINT_IN_TIME,
                asset=dg.AssetKey(view.key.split("/")),
                description="A sample, recomputed from rows known at each prediction time alone, gives the same.",
                blocking=True,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def features(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        tables, drops = lake.open(), drops_of(context, spine.drops)
        rows, events = spine.scan(tables, drops, view.spine_columns), view.facts(tables)
        with TemporaryDirectory(prefix="ml_assets-features-") as folder:
            computed = compute_to_files(view, rows, events, Path(folder), partition=spine.partition, time=spine.time)
            written = tables.replace(view.key, computed.stored, {spine.partition: drops})
            return dg.MaterializeResult(
                metadata={
                    "missing_share": computed.missing_share,
                    "facts_left_out": facts_left_out(view, events),
                    "table_versions_read": {table: tables.version(table) for table in _tables(view, spine)},
                    **table_metadata(written, computed.stored, describe_stored(view, spine)),
                },
                data_version=data_version(written),
                check_results=[_audit(view, spine.time, computed, events)],
            )

    return features


def _tables(view: DeclaredView, spine: DeclaredSpine) -> list[str]:
    """Return the tables that the view's features are computed from."""
    return list(dict.fromkeys(table for table in (spine.table, view.table) if table))


def _asset_spec(view: FeatureView, spine: Spine, group: str) -> dg.AssetSpec:
    partitions = partitions_of(spine.drops)
    return dg.AssetSpec(
        dg.AssetKey(view.key.split("/")),
        deps=[dg.AssetKey(table.split("/")) for table in _tables(view, spine)],
        description=view.description,
        owners=view.owners,
        group_name=group,
        kinds={"polars", "delta"},
        tags={**view.tags, STAGE: FEATURE},
        code_version=declaration_version(view),
        partitions_def=partitions,
        freshness_policy=freshness_policy(view.freshness),
        automation_condition=follow_inputs(partitions),
        metadata={"features": view.feature_names, "entity": view.spine_entity},
    )


def describe_stored(view: DeclaredView, spine: DeclaredSpine) -> dict[str, str]:
    """Describe the columns of the view's table: which row to predict they are of, and its features."""
    keys = dict.fromkeys(view.spine_entity, "Key of the entity.")
    moments = dict.fromkeys(view.stored_by, "Moment that planned features are about.")
    time = {spine.time: "Prediction time: what is known later is in no feature."}
    return moments | keys | time | describe_features(view)


def _audit(
    view: DeclaredView, time: str, computed: ComputedFeatures, events: pl.LazyFrame | None
) -> dg.AssetCheckResult:
    differing = differing_features(view, computed.features, computed.rows, events, time)
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        check_name=POINT_IN_TIME,
        metadata={
            "observed": differing.height,
            "threshold": 0,
            "rows_recomputed": computed.rows.height,
            "differing": markdown(differing.head(10)),
        },
    )
