"""Facts that a table holds already, pushed as they would have come: for requests about a time that is past."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.changes import pushed_rows
from ml_assets.online.completeness import note_reported
from ml_assets.online.facts.rows import check_rows
from ml_assets.online.facts.union import RETRACTS
from ml_assets.online.push import PushedView
from ml_assets.online.stores.protocol import OnlineStore, StoreSnapshot
from ml_assets.online.stores.records import Change, CurrentBuild
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.keys import ENTITY, with_entity
from ml_assets.online.values.record import microseconds

_AT_ONCE = 5_000
"""Facts of one transaction: others wait for its end."""

_ENTITIES = 2_000
"""Entities whose facts are looked at in one go."""

_TWIN, _THERE = "__twin__", "__there__"


def push_what_followed(
    store: OnlineStore, table: str, views: Sequence[FeatureViewSpec], rows: pl.LazyFrame, until: datetime
) -> dict[str, int]:
    """Push to each view of a table the facts that became known after its build, up to `until`, and say that these are
    all.

    Each counts from the moment on that it was known, so that requests of any moment in between are answered as they
    would have been. A static table has no such facts. What was pushed before is not pushed again, whoever did it and
    however far an earlier run came; nor is what was taken back.

    Args:
        rows: the table, judged by its contract before.

    Returns:
        Facts pushed by view, those that were there not among them.

    Raises:
        NoBuild: a view has no build yet, or one of another declaration.
        FeatureError: as the engine does.
    """
    pushed = {view.name: _push(store, view, rows, until) for view in views}
    if any(view.known_at is not None for view in views):
        end = microseconds(until)
        PushedTable(table, views, None, timedelta()).push(store, [], arrived_at=end, complete_until=end)
    return pushed


def _push(store: OnlineStore, view: FeatureViewSpec, rows: pl.LazyFrame, until: datetime) -> int:
    pushed = PushedView(view)
    with store.reading() as reading:
        built = pushed.built(reading)
    if view.known_at is None:
        return 0
    facts = _facts_after(pushed.view, rows, built, until)
    # Counted before they are divided, so that each transaction knows how many of a row came before its own.
    twin = pl.int_range(pl.len()).over(pushed.view.table_columns).alias(_TWIN)
    numbered = check_rows(pushed.view, facts, pushed.schema(built.schema)).with_columns(twin)
    return sum(_push_some(store, pushed, part, microseconds(until)) for part in numbered.iter_slices(_AT_ONCE))


def _facts_after(view: FeatureViewSpec, rows: pl.LazyFrame, built: CurrentBuild, until: datetime) -> pl.DataFrame:
    """Return the facts that became known since the build, by entity, so that few transactions look at the same."""
    known = pl.col(view.known_at or "")
    keys = pl.all_horizontal(pl.col(view.entity).is_not_null()) if view.entity else pl.lit(True)
    new = rows.filter(known > built.build.as_of, known <= until, keys)
    return new.select(view.table_columns).sort(*view.entity, known, maintain_order=True).collect()


def _push_some(store: OnlineStore, pushed: PushedView, facts: pl.DataFrame, at: int) -> int:
    """Push of some facts those that are not there, looked at in the same transaction: another run may be at it."""
    counts: list[int] = []

    def decide(reading: StoreSnapshot) -> Change:
        built = pushed.built(reading)
        new = _without_pushed(pushed.view, facts, reading, built)
        counts[:] = [new.height]
        if new.is_empty():
            return Change()
        changes, declarations = (
            [pushed.change_checked(reading, built, new, 0, at)],
            {pushed.view.name: pushed.declaration},
        )
        table = pushed.view.table or ""
        reports = note_reported(reading, table, declarations, changes, builds=[built.build], arrived_at=at)
        return Change(changes, reports.notes)

    store.change(decide, at)
    return sum(counts)


def _without_pushed(
    view: FeatureViewSpec, facts: pl.DataFrame, reading: StoreSnapshot, built: CurrentBuild
) -> pl.DataFrame:
    """Leave out of facts, with _TWIN, those that were pushed, of identical rows as many as were, and those that the
    build has by now; gives `view.table_columns`."""
    columns = view.table_columns
    facts = facts.filter(pl.col(view.known_at or "") > built.build.as_of)
    named = with_entity(view, facts)
    entities = named[ENTITY].unique(maintain_order=True).to_list()
    there = [
        _count(pushed_rows(view, reading, built, entities[start : start + _ENTITIES]), columns)
        for start in range(0, len(entities), _ENTITIES)
    ]
    if not there:
        return facts.select(columns)
    counted = facts.join(pl.concat(there), on=columns, how="left", nulls_equal=True, maintain_order="left")
    return counted.filter(pl.col(_TWIN) >= pl.col(_THERE).fill_null(0)).select(columns)


def _count(pushed: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Count how many of each row are accounted for: the most that ever stood, and those of the table that were taken
    back."""
    step = pl.when(pl.col(RETRACTS).fill_null(False)).then(-1).otherwise(1).cast(pl.Int64).cum_sum()
    walked = pl.max_horizontal(0, step.max()) - pl.min_horizontal(0, step.min())
    return pushed.group_by(columns, maintain_order=True).agg(walked.alias(_THERE))
