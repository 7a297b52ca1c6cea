"""FeatureView: a declared view as an asset, one partition of the spine at a time."""

import dagster as dg
import polars as pl
from pydantic import Field

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata import data_version, markdown, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of
from ml_assets.components.scaffolders import FeatureViewScaffolder
from ml_assets.components.spine import Spine, find_spine
from ml_assets.components.stages import FEATURE, STAGE
from ml_assets.features.engine import compute_features
from ml_assets.features.point_in_time import find_leaks
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.spec import OnlineSpec
from ml_assets.resources import LakeResource

AUDITED_ROWS = 50
"""Stored rows that are recomputed by hand at each materialization; a leak shows in far fewer."""


@dg.scaffold_with(FeatureViewScaffolder)
class FeatureView(FeatureViewSpec, dg.Component, dg.Resolvable):
    """Features of one entity over one table, computed as of each row of a spine."""

    spine: str = Field(description="Name of the spine whose rows the features are computed for.")
    online: OnlineSpec | None = Field(
        default=None,
        description="Keep the features of every entity ready for requests; absent: in training and batch only.",
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from ml_assets.components.online_features import online_asset

        group = use_case(context)
        assets = [_feature_asset(self, find_spine(context, self.spine), group)]
        if self.online is not None and self.table is not None:
            assets.append(online_asset(self, self.online, self.owners, group))
        return dg.Definitions(assets=assets)

    @property
    def key(self) -> str:
        """The asset key of the view's table."""
        return f"features/{self.name}"


def _feature_asset(view: FeatureView, spine: Spine, group: str) -> dg.AssetsDefinition:
    tables = [view.table] if view.table else []

    @dg.multi_asset(
        name=f"features__{view.name}",
        specs=[
            dg.AssetSpec(
                dg.AssetKey(view.key.split("/")),
                deps=[dg.AssetKey(t.split("/")) for t in dict.fromkeys([spine.table, *tables])],
                description=view.description,
                owners=view.owners,
                group_name=group,
                kinds={"polars", "delta"},
                tags={STAGE: FEATURE},
                code_version=declaration_version(view),
                partitions_def=spine.partitions_def,
                freshness_policy=freshness_policy(view.freshness),
                automation_condition=follow_inputs(spine.partitions_def),
                metadata={"features": view.feature_names, "entity": view.spine_entity},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "point_in_time",
                asset=dg.AssetKey(view.key.split("/")),
                description="A sample, recomputed from rows known at each prediction time alone, gives the same.",
                blocking=True,
            )
        ],
        backfill_policy=SINGLE_RUN,
    )
    def features(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        drops = drops_of(context, spine.drops)
        tables = lake.open()
        rows = spine.rows(tables, drops, view.spine_columns).unique(maintain_order=True)
        events = None if view.table is None else events_of(tables.scan(view.table), view, rows, spine.time)
        computed = compute_features(view, rows, events, time=spine.time)
        stored = pl.concat([rows.select(spine.partition), computed], how="horizontal")
        written = tables.replace(view.key, stored, {spine.partition: drops})
        nulls = computed.select(pl.col(view.feature_names).is_null().mean()).row(0, named=True)
        return dg.MaterializeResult(
            metadata={
                **table_metadata(written, stored),
                "missing_share": {name: round(share, 4) for name, share in nulls.items()},
                "table_versions_read": {t: tables.version(t) for t in [spine.table, view.table] if t},
            },
            data_version=data_version(written),
            check_results=[_audit(view, spine.time, rows, computed, events)],
        )

    return features


def events_of(table: pl.LazyFrame, view: FeatureView, rows: pl.DataFrame, time: str) -> pl.LazyFrame:
    """The rows of the view's table that can matter to ``rows``: nothing known too early or too late."""
    table = table.select(view.table_columns)
    if view.known_at is None:
        return table
    table = table.filter(pl.col(view.known_at) <= rows[time].max())
    if view.look_back is not None:
        table = table.filter(pl.col(view.known_at) > rows[time].min() - view.look_back)
    return table


def _audit(
    view: FeatureView, time: str, rows: pl.DataFrame, computed: pl.DataFrame, events: pl.LazyFrame | None
) -> dg.AssetCheckResult:
    # A request feature may bear the name of the spine column that it hands on.
    stored = rows.with_columns(computed.select(view.feature_names))
    differing = find_leaks(view, stored, events, time=time, rows=AUDITED_ROWS)
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        check_name="point_in_time",
        metadata={
            "observed": differing.height,
            "threshold": 0,
            "rows_recomputed": min(AUDITED_ROWS, rows.height),
            "differing": markdown(differing.head(10)),
        },
    )
