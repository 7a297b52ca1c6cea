"""Pushed facts in the lake: the table `pushed/<view>`, from which a build takes them and any value can be explained."""

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.facts.blob import decode_schema
from ml_assets.online.facts.rows import decode_facts_from_json
from ml_assets.online.facts.union import PUSHED, RETRACTS, SEQ, union_facts
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.values.record import Build

ARRIVED_AT = "_arrived_at"


def pushed_key(view: str) -> str:
    """Return the asset key of the lake table with the facts pushed to a view: the view's columns, SEQ and
    ARRIVED_AT, and RETRACTS since the first was taken back."""
    return f"pushed/{view}"


def export_pushed(store: OnlineStore, lake: Lake, view: FeatureViewSpec) -> int:
    """Append to the lake what was pushed to a view since the last export; gives the number of the last fact, or 0."""
    key = pushed_key(view.name)
    there = lake.scan(key).select(pl.col(SEQ).max()).collect().item() if lake.exists(key) else 0
    rows = store.pushed_since(view.name, there)
    if not rows:
        return there
    # The columns of the build that they were pushed to: the view may read others by now.
    pushed_to = decode_schema(store.schema(view.name))
    kept = decode_facts_from_json(
        [row.row for row in rows], {n: t for n, t in pushed_to.items() if n not in (PUSHED, RETRACTS)}
    )
    arrived = pl.Series(ARRIVED_AT, [row.arrived_at for row in rows], pl.Int64).cast(pl.Datetime("us"))
    numbered = kept.with_columns(
        pl.Series(SEQ, [row.seq for row in rows], pl.Int64), arrived.dt.replace_time_zone("UTC").cast(MOMENT)
    )
    if any(row.retracts for row in rows):
        numbered = numbered.with_columns(pl.Series(RETRACTS, [row.retracts for row in rows], pl.Boolean))
    lake.append(key, numbered)
    return rows[-1].seq


def pushed_facts(lake: Lake, view: str, seq: int) -> pl.LazyFrame | None:
    """Return the facts pushed to a view up to number `seq`, as they were exported, in order; None if there is none."""
    if not seq or not lake.exists(pushed_key(view)):
        return None
    # Two exports at once may have written the same fact.
    return lake.scan(pushed_key(view)).filter(pl.col(SEQ) <= seq).unique(SEQ).sort(SEQ)


def quarantine_key(table: str) -> str:
    """Return the asset key of the lake table with the rows pushed to a table that broke a rule: SEQ, ARRIVED_AT,
    the row as JSON, `_rules` and `_columns`."""
    return f"pushed_quarantine/{table}"


def export_refused(store: OnlineStore, lake: Lake, table: str) -> int:
    """Move to the lake what was pushed to a table and refused, but what is there already; gives how many rows were
    added."""
    key = quarantine_key(table)
    rows = [(seq, at, each.row, each.rules, each.columns) for seq, at, each in store.refused_since(table, 0)]
    schema = {SEQ: pl.Int64, ARRIVED_AT: pl.Int64, "row": pl.String, "_rules": pl.String, "_columns": pl.String}
    moment = pl.col(ARRIVED_AT).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)
    refused = pl.DataFrame(rows, schema=schema, orient="row").with_columns(moment)
    if lake.exists(key):
        # Numbers alone do not tell: a store that is made anew begins again.
        refused = refused.join(lake.scan(key).select(refused.columns).collect(), on=refused.columns, how="anti")
    if refused.height:
        lake.append(key, refused)
    if rows:
        store.forget_refused(table, rows[-1][0])
    return refused.height


def facts_of(lake: Lake, view: FeatureViewSpec, build: Build, seq: int) -> pl.LazyFrame:
    """Return the facts behind what was read from a build, `seq` being the last pushed fact in it: `view.table_columns`.

    Those of the future are among them: cut at the moment of the read. Of the table's facts, those are left out that
    were too old for any moment of the build.
    """
    if view.table is None:
        raise ValueError(f"feature view {view.name!r} reads no table: there are no facts behind it")
    table = lake.scan(view.table, build.table_version)
    if view.known_at is not None:
        table = table.filter(pl.col(view.known_at) <= build.as_of)
        if view.look_back is not None:
            table = table.filter(pl.col(view.known_at) > build.as_of - view.look_back)
    return union_facts(table, pushed_facts(lake, view.name, seq), view)
