"""Pushed facts in the lake: the table `pushed/<view>`, from which a build takes them and any value can be explained."""

import logging
from collections.abc import Sequence

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.lake.commits import PositionMoved
from ml_assets.online.facts.blob import decode_schema
from ml_assets.online.facts.origins import ORIGIN, note_returning, read_origins, without_repeated
from ml_assets.online.facts.rows import decode_facts_from_json
from ml_assets.online.facts.union import PUSHED, RETRACTS, SEQ, typed, union_facts
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.stores.records import PushedRow
from ml_assets.online.values.record import Build

ARRIVED_AT = "_arrived_at"

API_KEY = "_api_key"
"""Column of what was pushed: name of the key that it was pushed with; null for none, and where that is not known."""

_NUMBERS = {SEQ: pl.Int64, ARRIVED_AT: pl.Int64}

_EXPORTS = "exports"
"""Counts, in a table of quarantined rows, how often some were added: of two exports at once one sees the other's."""

_LOG = logging.getLogger(__name__)


def pushed_key(view: str) -> str:
    """Return the asset key of the lake table with the facts pushed to a view: the view's columns, SEQ and
    ARRIVED_AT; RETRACTS since the first was taken back, API_KEY since the first was pushed with a key."""
    return f"pushed/{view}"


def export_pushed(store: OnlineStore, lake: Lake, view: FeatureViewSpec) -> int:
    """Append to the lake what was pushed to a view since the last export; gives the number of the last fact, or 0.

    A store that was put back from a backup has used numbers again that mean other facts in the lake: these facts get
    new numbers before.
    """
    key = pushed_key(view.name)
    there = lake.scan(key).select(pl.col(SEQ).max()).collect().item() if lake.exists(key) else 0
    if there:
        _renumber_reused(store, lake, view, there)
    rows = store.pushed_since(view.name, there)
    if not rows:
        return there
    numbered = _numbered(store, view, rows)
    if not any(row.retracts for row in rows):
        numbered = numbered.drop(RETRACTS)
    origins = pl.Series(ORIGIN, read_origins(store, view.table or "", view.name, rows), pl.String)
    keys = pl.Series(API_KEY, [row.api_key for row in rows], pl.String)
    lake.append(key, numbered.with_columns(each for each in (origins, keys) if each.null_count() < len(rows)))
    return rows[-1].seq


def _renumber_reused(store: OnlineStore, lake: Lake, view: FeatureViewSpec, there: int) -> None:
    """Give new numbers to the facts that lie in the store under numbers which the lake has of others, and to all that
    came after them."""
    # First, so that what is pushed from now on has none of them.
    store.renumber(view.name, there, ())
    rows = store.pushed_since(view.name, 0)
    _note_returning(store, lake, view, rows)
    if not rows or rows[0].seq > there:
        return
    held = _numbered(store, view, rows)
    exported = lake.scan(pushed_key(view.name)).filter(pl.col(SEQ) >= rows[0].seq)
    if RETRACTS not in exported.collect_schema():
        exported = exported.with_columns(pl.lit(False).alias(RETRACTS))
    exported = typed(exported.with_columns(pl.col(RETRACTS).fill_null(False)), held.drop(RETRACTS).schema).collect()
    reused = held.filter(pl.col(SEQ) <= there).join(exported, on=held.columns, how="anti", nulls_equal=True)
    if reused.height:
        seqs = held.filter(pl.col(SEQ) >= reused[SEQ].min())[SEQ].to_list()
        store.renumber(view.name, there, seqs)
        _LOG.warning(
            "feature view %r: the online store was put back from a backup: %d facts that were pushed to it since, from "
            "number %d on, got numbers after %d, as %s has other facts under theirs",
            view.name, len(seqs), seqs[0], there, pushed_key(view.name),
        )  # fmt: skip


def _note_returning(store: OnlineStore, lake: Lake, view: FeatureViewSpec, rows: Sequence[PushedRow]) -> None:
    """Let facts count no second time when they are sent again, of which the lake has what the store lost."""
    build, exported = store.build(view.name), lake.scan(pushed_key(view.name))
    if build is None or ORIGIN not in exported.collect_schema():
        return
    held = pl.LazyFrame({SEQ: [row.seq for row in rows], ARRIVED_AT: [row.arrived_at for row in rows]}, _NUMBERS)
    since = exported.filter(pl.col(SEQ) > build.pushed_seq, pl.col(ORIGIN).is_not_null())
    lost = since.select(SEQ, pl.col(ARRIVED_AT).to_physical(), ORIGIN).join(held, on=[SEQ, ARRIVED_AT], how="anti")
    note_returning(store, view.table or "", view.name, lost.collect()[ORIGIN].to_list())


def _numbered(store: OnlineStore, view: FeatureViewSpec, rows: Sequence[PushedRow]) -> pl.DataFrame:
    """Return pushed facts as the lake has them, with SEQ, ARRIVED_AT and RETRACTS."""
    # The columns of the build that they were pushed to: the view may read others by now.
    pushed_to = decode_schema(store.schema(view.name))
    kept = decode_facts_from_json(
        [row.row for row in rows], {n: t for n, t in pushed_to.items() if n not in (PUSHED, RETRACTS)}
    )
    arrived = pl.Series(ARRIVED_AT, [row.arrived_at for row in rows], pl.Int64).cast(pl.Datetime("us"))
    return kept.with_columns(
        pl.Series(SEQ, [row.seq for row in rows], pl.Int64),
        arrived.dt.replace_time_zone("UTC").cast(MOMENT),
        pl.Series(RETRACTS, [row.retracts for row in rows], pl.Boolean),
    )


def pushed_facts(lake: Lake, view: str, seq: int) -> pl.LazyFrame | None:
    """Return the facts pushed to a view up to number `seq`, as they were exported, in order; None if there is none."""
    if not seq or not lake.exists(pushed_key(view)):
        return None
    # Two exports at once may have written the same fact.
    return without_repeated(lake.scan(pushed_key(view)).filter(pl.col(SEQ) <= seq).unique(SEQ).sort(SEQ))


def quarantine_key(table: str) -> str:
    """Return the asset key of the lake table with the rows pushed to a table that broke a rule: SEQ, ARRIVED_AT,
    the row as JSON, `_rules` and `_columns`, and API_KEY since the first was pushed with a key."""
    return f"pushed_quarantine/{table}"


def export_refused(store: OnlineStore, lake: Lake, table: str) -> int:
    """Move to the lake what was pushed to a table and refused, but what is there already; gives how many rows were
    added. Each is there once, also where several do it at the same time."""
    while True:
        try:
            return _export_refused(store, lake, table)
        except PositionMoved:  # Another export was first: what it has added is there now.
            continue


def _export_refused(store: OnlineStore, lake: Lake, table: str) -> int:
    key = quarantine_key(table)
    exports = lake.position(key, _EXPORTS)
    kept = store.refused_since(table, 0)
    rows = [(seq, at, each.row, each.rules, each.columns, each.api_key) for seq, at, each in kept]
    texts = ("row", "_rules", "_columns", API_KEY)
    schema = {SEQ: pl.Int64, ARRIVED_AT: pl.Int64, **dict.fromkeys(texts, pl.String)}
    moment = pl.col(ARRIVED_AT).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)
    refused = pl.DataFrame(rows, schema=schema, orient="row").with_columns(moment)
    if lake.exists(key):
        # Numbers alone do not tell: a store that is made anew begins again.
        there = lake.scan(key)
        if API_KEY not in there.collect_schema():
            there = there.with_columns(pl.lit(None, pl.String).alias(API_KEY))
        names = refused.columns
        refused = refused.join(there.select(names).collect(), on=names, how="anti", nulls_equal=True)
    if refused.height:
        without = refused[API_KEY].null_count() == refused.height
        lake.append(key, refused.drop(API_KEY) if without else refused, moves={_EXPORTS: (exports, (exports or 0) + 1)})
    if rows:
        store.forget_refused(table, rows[-1][0])
    return refused.height


def same_table(lake: Lake, table: str, version: int | None, files: str | None) -> bool:
    """Return whether a version of a table is the one that a build was made from, as far as it has noted its files."""
    return version is None or files is None or lake.files(table, version) in (files, None)


def facts_of(lake: Lake, view: FeatureViewSpec, build: Build, seq: int) -> pl.LazyFrame:
    """Return the facts behind what was read from a build, `seq` being the last pushed fact in it: `view.table_columns`.

    Those of the future are among them: cut at the moment of the read. Of the table's facts, those are left out that
    were too old for any moment of the build.

    Raises:
        ValueError: the view reads no table.
        LookupError: the table was made anew since, so that the same version is another one's.
    """
    if view.table is None:
        raise ValueError(f"feature view {view.name!r} reads no table: there are no facts behind it")
    if not same_table(lake, view.table, build.table_version, build.table_files):
        raise LookupError(
            f"table {view.table!r} was deleted and made anew, or restored and written on, since build {build.build} "
            f"of feature view {view.name!r}: the facts behind it are gone; materialize online/{view.name} again"
        )
    table = lake.scan(view.table, build.table_version)
    if view.known_at is not None:
        table = table.filter(pl.col(view.known_at) <= build.as_of)
        if view.look_back is not None:
            table = table.filter(pl.col(view.known_at) > build.as_of - view.look_back)
    return union_facts(table, pushed_facts(lake, view.name, seq), view)
