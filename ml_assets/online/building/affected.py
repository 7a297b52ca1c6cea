"""Which entities an update of a build computes anew: all others have the values and facts that they had."""

from datetime import datetime, timedelta
from functools import reduce
from operator import or_

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.union import SEQ, typed
from ml_assets.online.values.moments import change_edges
from ml_assets.online.values.record import Build

CHANGE = "__change__"
"""Column of rows that tell two versions of a table apart: 1 for a row of the later, -1 for one of the earlier."""

FADING = "__fading__"
"""Column of entities: whether nothing else happened than that facts of theirs have become too old to matter. The values
that the build before has say so already, unless no fact is left."""

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
    """Return the keys of the entities whose facts or values may differ from those of the build that is updated, and
    FADING.

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
    if view.known_at is not None:
        changed = changed.filter(pl.col(view.known_at) <= to.as_of)
    ages, fades = _ages(view, base, to), _fades(view, base, to)
    found = [(_differing(view, changed), False), (table.filter(ages), False), (table.filter(fades), True)]
    if pushed is not None:
        ours = typed(pushed, {name: types[name] for name in view.table_columns} | {SEQ: pl.Int64()})
        found += [(ours.filter((pl.col(SEQ) > base.pushed_seq) | ages), False), (ours.filter(fades), True)]
    parts = [rows.select(*view.entity, pl.lit(fading).alias(FADING)) for rows, fading in found]
    affected = pl.concat(parts).drop_nulls().group_by(view.entity).agg(pl.col(FADING).all())
    return affected.collect(engine="streaming")


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
    """Select the facts that the moment alone makes matter otherwise: they become known, or change values in the time
    that is added."""
    if view.known_at is None or base.valid_until is None or to.valid_until is None:
        return pl.lit(False)
    instant = timedelta(microseconds=1)
    # A moment at the end of a build is outside of it.
    selected = [
        _between(column, age, base.valid_until - instant, to.valid_until - instant)
        for column, age in change_edges(view)
    ]
    # Unlike `any_horizontal`, this lets files be passed over by the least and greatest moments in them.
    return reduce(or_, selected, _between(view.known_at, timedelta(0), base.as_of, to.as_of))


def _fades(view: FeatureViewSpec, base: Build, to: Build) -> pl.Expr:
    """Select the facts that the moment alone makes too old to matter."""
    if view.known_at is None or view.look_back is None:
        return pl.lit(False)
    return _between(view.known_at, view.look_back, base.as_of, to.as_of)


def _between(column: str, age: timedelta, after: datetime, until: datetime) -> pl.Expr:
    """Select rows of which a moment, or so much later, is after one and not after another."""
    moment = pl.col(column)
    return (moment > after - age) & (moment <= until - age)
