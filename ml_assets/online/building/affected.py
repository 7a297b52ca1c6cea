"""Which entities an update of a build computes anew: all others have the values and facts that they had."""

from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.union import SEQ, typed
from ml_assets.online.values.moments import change_edges
from ml_assets.online.values.record import Build

CHANGE = "__change__"
"""Column of rows that tell two versions of a table apart: 1 for a row of the later, -1 for one of the earlier."""

MOST_CHANGED = 4_000_000
"""Rows that are held against each other: beyond that a build computes all entities."""

_HOW_OFTEN = "__how_often__"
_SIGN = "__sign__"


def affected_entities(
    view: FeatureViewSpec,
    base: Build,
    to: Build,
    table: pl.LazyFrame,
    pushed: pl.LazyFrame | None,
    changed: pl.LazyFrame,
) -> pl.DataFrame:
    """Return the keys of the entities whose facts or values may differ from those of the build that is updated.

    They have facts that are there no more, or were not; or that have become known, or too old to matter; or whose
    values change at a moment that the update covers and the build does not.

    Args:
        view: of stored features only.
        base: the build that is updated.
        to: the update, of a later moment.
        pushed: all facts that were pushed, with SEQ, in order; None for none.
        changed: rows of the table with CHANGE.
    """
    types = table.collect_schema()
    aged = _ages(view, base, to)
    if view.known_at is not None:
        changed = changed.filter(pl.col(view.known_at) <= to.as_of)
    parts = [_differing(view, changed).select(view.entity), table.filter(aged).select(view.entity)]
    if pushed is not None:
        ours = typed(pushed, {name: types[name] for name in view.table_columns} | {SEQ: pl.Int64()})
        parts.append(ours.filter((pl.col(SEQ) > base.pushed_seq) | aged).select(view.entity))
    return pl.concat(parts).drop_nulls().unique().collect(engine="streaming")


def _differing(view: FeatureViewSpec, changed: pl.LazyFrame) -> pl.LazyFrame:
    """Leave out rows that both versions have, as often."""
    floats = [
        name for name, dtype in changed.collect_schema().items() if name in view.table_columns and dtype.is_float()
    ]
    # Zeros of either sign are one key to a group, and two values.
    signs = [(1 / pl.col(name) < 0).alias(f"{_SIGN}{name}") for name in floats]
    counted = changed.group_by(*view.table_columns, *signs).agg(pl.col(CHANGE).sum().alias(_HOW_OFTEN))
    return counted.filter(pl.col(_HOW_OFTEN) != 0)


def _ages(view: FeatureViewSpec, base: Build, to: Build) -> pl.Expr:
    """Select the facts that the moment alone makes matter otherwise."""
    if view.known_at is None or base.valid_until is None or to.valid_until is None:
        return pl.lit(False)
    selected = [_between(view.known_at, timedelta(0), base.as_of, to.as_of)]
    if view.look_back is not None:
        selected.append(_between(view.known_at, view.look_back, base.as_of, to.as_of))
    instant = timedelta(microseconds=1)
    # A moment at the end of a build is outside of it.
    selected += [
        _between(column, age, base.valid_until - instant, to.valid_until - instant)
        for column, age in change_edges(view)
    ]
    return pl.any_horizontal(selected)


def _between(column: str, age: timedelta, after: datetime, until: datetime) -> pl.Expr:
    """Select rows of which a moment, or so much later, is after one and not after another."""
    moment = pl.col(column)
    return (moment > after - age) & (moment <= until - age)
