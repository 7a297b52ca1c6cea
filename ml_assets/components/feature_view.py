"""FeatureView: a declared view as an asset, one partition of the spine at a time."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

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
from ml_assets.features.parts import compute_features_in_parts
from ml_assets.features.point_in_time import find_leaks
from ml_assets.features.reach import reachable
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
        rows = spine.scan(tables, drops, view.spine_columns)
        events = None if view.table is None else tables.scan(view.table)
        with TemporaryDirectory(prefix="ml_assets-features-") as folder:
            computed = _compute(view, spine, rows, events, Path(folder))
            written = tables.replace(view.key, computed.stored, {spine.partition: drops})
            return dg.MaterializeResult(
                metadata={
                    **table_metadata(written, computed.stored),
                    "missing_share": _missing_share(view, computed.stored),
                    "table_versions_read": {t: tables.version(t) for t in [spine.table, view.table] if t},
                },
                data_version=data_version(written),
                check_results=[_audit(view, spine.time, computed.sample, events)],
            )

    return features


@dataclass(frozen=True)
class _Computed:
    """The rows to store, lazily from files, and some of them with the spine's columns."""

    stored: pl.LazyFrame
    sample: pl.DataFrame


def _compute(
    view: FeatureView, spine: Spine, rows: pl.LazyFrame, events: pl.LazyFrame | None, folder: Path
) -> _Computed:
    samples = []
    for number, part in enumerate(compute_features_in_parts(view, rows, events, time=spine.time)):
        # What is equal has one key and one time, so it lies in one part.
        first = pl.Series(part.rows.select(pl.struct(pl.all()).is_first_distinct()))
        distinct, features = part.rows.filter(first), part.features.filter(first)
        distinct.select(spine.partition).hstack(features).write_ipc(folder / f"{number}.arrow")
        # A request feature may bear the name of the spine column that it hands on.
        offered = distinct.with_columns(features.select(view.feature_names))
        samples.append(offered.sample(min(AUDITED_ROWS, offered.height), seed=0))
    offered = pl.concat(samples)
    return _Computed(pl.scan_ipc(folder), offered.sample(min(AUDITED_ROWS, offered.height), seed=0))


def _missing_share(view: FeatureView, stored: pl.LazyFrame) -> dict[str, float]:
    nulls = stored.select(pl.col(view.feature_names).is_null().mean()).collect(engine="streaming")
    return {name: round(share, 4) for name, share in nulls.row(0, named=True).items()}


def _audit(view: FeatureView, time: str, sample: pl.DataFrame, events: pl.LazyFrame | None) -> dg.AssetCheckResult:
    if events is not None:
        events = reachable(view, events, sample[time].min(), sample[time].max())
    differing = find_leaks(view, sample, events, time=time, rows=AUDITED_ROWS)
    return dg.AssetCheckResult(
        passed=differing.is_empty(),
        check_name="point_in_time",
        metadata={
            "observed": differing.height,
            "threshold": 0,
            "rows_recomputed": sample.height,
            "differing": markdown(differing.head(10)),
        },
    )
