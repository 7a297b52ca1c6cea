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
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.spec import OnlineSpec
from ml_assets.online.values.record import Build
from ml_assets.resources import AsOf, LakeResource, OnlineStoreResource

AUDITED_ROWS = 50
"""Entities and moments that are read back and recomputed at each build."""


def online_key(view: str) -> str:
    """The asset key of a view's online features; the lake table there has a row for each build."""
    return f"online/{view}"


def online_asset(view: FeatureViewSpec, online: OnlineSpec, owners: list[str], group: str) -> dg.AssetsDefinition:
    """The asset that builds the online features of a view with a table."""
    key = dg.AssetKey(online_key(view.name).split("/"))

    @dg.multi_asset(
        name=f"online__{view.name}",
        specs=[
            dg.AssetSpec(
                key,
                deps=[dg.AssetKey(view.table.split("/"))],
                description=f"Of every entity, now and until the values expire: {view.description}",
                owners=owners,
                group_name=group,
                kinds={_kind(Home.from_environment().online_store), "delta"},
                tags={STAGE: ONLINE},
                code_version=declaration_version(view),
                freshness_policy=freshness_policy(online.freshness),
                automation_condition=FOLLOW_OR_REFRESH,
                metadata={"entity": view.spine_entity, "max_age": online.max_age},
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "agrees_with_offline",
                asset=key,
                description="A sample of entities and moments, read back and recomputed from the facts, is the same.",
            )
        ],
    )
    def online_features(
        context: dg.AssetExecutionContext, lake: LakeResource, online_store: OnlineStoreResource, as_of: AsOf
    ) -> dg.MaterializeResult:
        from ml_assets.durations import parse_duration
        from ml_assets.online.build import build_view
        from ml_assets.online.export import export_pushed, pushed_facts

        tables, store = lake.open(), online_store.open()
        version = tables.version(view.table)
        table = tables.scan(view.table, version)
        seq = export_pushed(store, tables, view)
        build = build_view(
            store,
            view,
            table,
            as_of=as_of.resolve(_newest(view, table, run_started(context))),
            max_age=parse_duration(online.max_age),
            build=uuid4().hex[:12],
            pushed=pushed_facts(tables, view.name, seq),
            pushed_seq=seq,
            table_version=version,
        )
        tables.append(online_key(view.name), build.frame())
        return dg.MaterializeResult(
            metadata={name: value for name, value in build.model_dump(mode="json").items() if value is not None},
            data_version=dg.DataVersion(build.build),
            check_results=[_audit(view, build, tables, online_store)],
        )

    return online_features


def _newest(view: FeatureViewSpec, table: pl.LazyFrame, started: datetime) -> datetime:
    """When the newest fact of the table was known, but not later than the run began."""
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
        check_name="agrees_with_offline",
        metadata={
            "observed": audit.differing.height,
            "threshold": 0,
            "rows_recomputed": audit.rows,
            "differing": markdown(audit.differing.head(10)),
        },
    )


def _kind(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "redis"
