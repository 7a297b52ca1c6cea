"""FeatureView: a declared view as an asset, one partition of the spine at a time."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from ml_assets.components.conditions import follow_inputs
from ml_assets.components.declared import declaration_version, use_case
from ml_assets.components.features.spine import Spine, find_spine
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.columns import describe_features
from ml_assets.components.metadata.tables import data_version, markdown, table_metadata
from ml_assets.components.partitions import SINGLE_RUN, drops_of
from ml_assets.components.scaffolders.components import FeatureViewScaffolder
from ml_assets.components.stages import FEATURE, STAGE
from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.digests.inputs import INPUTS, digest_inputs
from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.engine.reach import reachable
from ml_assets.features.stored import stored_rows
from ml_assets.resources import LakeResource

POINT_IN_TIME = "point_in_time"
AUDITED_ROWS = 50
"""Stored rows that are recomputed by hand at each materialization; a leak shows in far fewer."""


@dg.scaffold_with(FeatureViewScaffolder)
class FeatureView(DeclaredView, dg.Component, dg.Resolvable):
    """Features of one entity over one table, computed as of each row of a spine."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        from ml_assets.components.features.online import online_asset

        group = use_case(context)
        assets = [_feature_asset(self, find_spine(context, self.spine), group)]
        if self.online is not None and self.table is not None:
            assets.append(online_asset(self, self.online, self.owners, group))
        return dg.Definitions(assets=assets)


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
                POINT_IN_TIME,
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
        events = view.facts(tables)
        with TemporaryDirectory(prefix="ml_assets-features-") as folder:
            computed = _compute(view, spine, rows, events, Path(folder))
            written = tables.replace(view.key, computed.stored, {spine.partition: drops})
            return dg.MaterializeResult(
                metadata={
                    "missing_share": computed.missing_share,
                    "facts_left_out": _facts_left_out(view, events),
                    "table_versions_read": {t: tables.version(t) for t in [spine.table, view.table] if t},
                    **table_metadata(written, computed.stored, describe_stored(view, spine)),
                },
                data_version=data_version(written),
                check_results=[_audit(view, spine.time, computed, events)],
            )

    return features


def input_digests(
    view: DeclaredView, spine: DeclaredSpine, rows: pl.LazyFrame, events: pl.LazyFrame | None
) -> dict[str, str]:
    """Drop of the spine's rows -> digest of what the view's features of it are made of."""
    return digest_inputs(view, rows, events, partition=spine.partition, time=spine.time)


def _with_inputs(stored: pl.DataFrame, digests: dict[str, str], partition: str) -> pl.DataFrame:
    """The rows to store, each with the digest of its drop's inputs: the two are written in one commit."""
    of_drop = pl.col(partition).replace_strict(digests, default=None, return_dtype=pl.String)
    return stored.with_columns(of_drop.alias(INPUTS))


def describe_stored(view: FeatureView, spine: Spine) -> dict[str, str]:
    """The columns of the view's table: which row to predict they are of, and its features."""
    keys = dict.fromkeys(view.spine_entity, "Key of the entity.")
    return keys | {spine.time: "Prediction time: what is known later is in no feature."} | describe_features(view)


@dataclass(frozen=True)
class _Computed:
    """What was computed of a spine's rows.

    Attributes:
        stored: the rows to store, lazily from files.
        rows: some rows of the spine, drawn at random.
        features: theirs.
        missing_share: feature -> share of the spine's rows that have no value.
    """

    stored: pl.LazyFrame
    rows: pl.DataFrame
    features: pl.DataFrame
    missing_share: dict[str, float]


def _compute(
    view: FeatureView, spine: Spine, rows: pl.LazyFrame, events: pl.LazyFrame | None, folder: Path
) -> _Computed:
    samples, missing, height = [], [], 0
    digests = input_digests(view, spine, rows, events)
    for number, part in enumerate(compute_features_in_parts(view, rows, events, time=spine.time)):
        # What is equal has one key and one time, so it lies in one part.
        kept = stored_rows(view, part.rows, part.features, spine.partition, spine.time)
        _with_inputs(kept, digests, spine.partition).write_ipc(folder / f"{number}.arrow")
        drawn = pl.int_range(part.rows.height, eager=True).sample(min(AUDITED_ROWS, part.rows.height), seed=0)
        samples.append((part.rows[drawn], part.features[drawn]))
        missing.append(part.features.select(view.feature_names).null_count())
        height += part.rows.height
    sampled, features = (pl.concat(side) for side in zip(*samples, strict=True))
    drawn = pl.int_range(sampled.height, eager=True).sample(min(AUDITED_ROWS, sampled.height), seed=0)
    shares = pl.concat(missing).sum().select((pl.all() / max(height, 1)).round(4)).row(0, named=True)
    return _Computed(pl.scan_ipc(folder), sampled[drawn], features[drawn], shares)


def _facts_left_out(view: FeatureView, events: pl.LazyFrame | None) -> dict[str, int]:
    """Rows of the view's table that no feature can count, by the column that they have no value of."""
    if events is None:
        return {}
    needed = list(dict.fromkeys([*view.entity, *([view.known_at] if view.known_at else [])]))
    nulls = events.select(pl.col(needed).null_count()).collect(engine="streaming").row(0, named=True)
    return {f"without {name}": count for name, count in nulls.items() if count}


def _audit(view: FeatureView, time: str, computed: _Computed, events: pl.LazyFrame | None) -> dg.AssetCheckResult:
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


def differing_features(
    view: DeclaredView, features: pl.DataFrame, rows: pl.DataFrame, events: pl.LazyFrame | None, time: str
) -> pl.DataFrame:
    """What ``find_leaks`` finds in the features of some rows of a spine, all of which are recomputed."""
    if events is not None:
        events = reachable(view, events, rows[time].min(), rows[time].max())
    return find_leaks(view, features, events, time=time, spine=rows, rows=rows.height)
