"""online/<view>: a view's features of every entity, kept ready for requests."""

from datetime import datetime
from uuid import uuid4

import dagster as dg
import polars as pl

from ml_assets.components.conditions import FOLLOW_OR_REFRESH
from ml_assets.components.declared import declaration_version
from ml_assets.components.freshness import freshness_policy
from ml_assets.components.metadata.tables import markdown
from ml_assets.components.run_clock import run_started
from ml_assets.components.stages import ONLINE, STAGE
from ml_assets.declarations.specs import DeclaredView
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.spec import OnlineSpec
from ml_assets.online.values.record import Build, online_key
from ml_assets.resources import AsOf, LakeResource, OnlineStoreResource

AGREES = "agrees_with_offline"
AUDITED_ROWS = 50
"""Entities and moments that are read back and recomputed at each build."""


def online_asset(
    view: DeclaredView, online: OnlineSpec, owners: list[str], group: str, store: str
) -> dg.AssetsDefinition:
    """Make the asset that builds the online features of a view with a table.

    Args:
        store: URL of the store that they are kept in.
    """

    @dg.multi_asset(
        name=f"online__{view.name}",
        specs=[_asset_spec(view, online, owners, group, store)],
        check_specs=[
            dg.AssetCheckSpec(
                AGREES,
                asset=_key(view),
                description="A sample of entities and moments, read back and recomputed from the facts, is the same.",
            )
        ],
    )
    def online_features(
        context: dg.AssetExecutionContext, lake: LakeResource, online_store: OnlineStoreResource, as_of: AsOf
    ) -> dg.MaterializeResult:
        tables = lake.open()
        build = _build(view, online, tables, online_store, as_of, run_started(context))
        tables.append(online_key(view.name), build.frame())
        return dg.MaterializeResult(
            metadata={name: value for name, value in build.model_dump(mode="json").items() if value is not None},
            data_version=dg.DataVersion(build.build),
            check_results=[_audit(view, build, tables, online_store)],
        )

    return online_features


def _key(view: DeclaredView) -> dg.AssetKey:
    return dg.AssetKey(online_key(view.name).split("/"))


def _asset_spec(view: DeclaredView, online: OnlineSpec, owners: list[str], group: str, store: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        _key(view),
        deps=[dg.AssetKey(_table(view).split("/"))],
        description=f"Of every entity, now and until the values expire: {view.description}",
        owners=owners,
        group_name=group,
        kinds={_kind(store), "delta"},
        tags={**view.tags, STAGE: ONLINE},
        code_version=declaration_version(view),
        freshness_policy=freshness_policy(online.freshness),
        automation_condition=FOLLOW_OR_REFRESH,
        metadata={"entity": view.spine_entity, "max_age": online.max_age},
    )


def _table(view: FeatureViewSpec) -> str:
    """Return the table of a view that is kept online; a view of features of the row only has none and is not kept."""
    if view.table is None:
        raise ValueError(f"feature view {view.name} has no table: nothing of it can be kept ready for requests")
    return view.table


def _build(
    view: FeatureViewSpec,
    online: OnlineSpec,
    lake: Lake,
    online_store: OnlineStoreResource,
    as_of: AsOf,
    started: datetime,
) -> Build:
    """Build every entity's features from the table and from what was pushed."""
    from ml_assets.durations import parse_duration
    from ml_assets.online.build import build_view
    from ml_assets.online.building.affected import CHANGE, MOST_CHANGED
    from ml_assets.online.export import export_pushed, export_refused, pushed_facts

    store, version = online_store.open(), lake.version(_table(view))
    table = lake.scan(_table(view), version)
    seq = export_pushed(store, lake, view)
    export_refused(store, lake, _table(view))
    return build_view(
        store,
        view,
        table,
        as_of=as_of.resolve(_newest(view, table, started)),
        max_age=parse_duration(online.max_age),
        build=uuid4().hex[:12],
        pushed=pushed_facts(lake, view.name, seq),
        pushed_seq=seq,
        table_version=version,
        files_of=lambda of: lake.files(_table(view), of),
        changed_since=lambda since: lake.changed_rows(_table(view), since, version, change=CHANGE, most=MOST_CHANGED),
    )


def _newest(view: FeatureViewSpec, table: pl.LazyFrame, started: datetime) -> datetime:
    """Return when the newest fact of the table was known, but not later than the run began."""
    if view.known_at is None:
        return started
    newest = table.select(pl.col(view.known_at).max()).collect().item()
    return started if newest is None else min(started, newest)


def _audit(view: FeatureViewSpec, build: Build, tables: Lake, online_store: OnlineStoreResource) -> dg.AssetCheckResult:
    from ml_assets.online.audit import audit_build
    from ml_assets.online.export import facts_of

    facts = facts_of(tables, view, build, build.pushed_seq)
    audit = audit_build(online_store.open(), view, build, facts, rows=AUDITED_ROWS)
    return dg.AssetCheckResult(
        passed=audit.differing.is_empty(),
        check_name=AGREES,
        metadata={
            "observed": audit.differing.height,
            "threshold": 0,
            "rows_recomputed": audit.rows,
            "differing": markdown(audit.differing.head(10)),
        },
    )


def _kind(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "redis"
