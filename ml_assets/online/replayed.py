"""Facts that a table holds already, pushed as they would have come: for requests about a time that is past."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.push import push_facts
from ml_assets.online.stores.protocol import NoBuild, OnlineStore
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.record import microseconds

_AT_ONCE = 5_000
"""Facts of one transaction: others wait for its end."""


def push_what_followed(
    store: OnlineStore, table: str, views: Sequence[FeatureViewSpec], rows: pl.LazyFrame, until: datetime
) -> dict[str, int]:
    """Push to each view of a table the facts that became known after its build, up to `until`, and say that these are
    all.

    Each counts from the moment on that it was known, so that requests of any moment in between are answered as they
    would have been. A static table has no such facts.

    Args:
        rows: the table, judged by its contract before.

    Returns:
        Facts pushed by view.

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
    build = store.build(view.name)
    if build is None:
        raise NoBuild(view.name)
    if view.known_at is None:
        return 0
    known = pl.col(view.known_at)
    new = rows.filter(known > build.as_of, known <= until, pl.all_horizontal(pl.col(view.entity).is_not_null()))
    facts = new.select(view.table_columns).sort(view.known_at, maintain_order=True).collect()
    for part in facts.iter_slices(_AT_ONCE):
        push_facts(store, view, part, arrived_at=microseconds(until))
    return facts.height
