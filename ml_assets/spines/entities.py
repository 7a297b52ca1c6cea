"""The rows of a table of entities, each with the time in which it counts."""

from collections.abc import Iterable

import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import columns_read, evaluate
from ml_assets.spines.spec import EntitiesSpec

SINCE, BEFORE = "__since__", "__before__"
"""Columns of a version: it is the last one known from `SINCE` to before `BEFORE`; null: without end."""
_PROBED = 1_000


def columns_needed(spine: str, entities: EntitiesSpec) -> dict[str, list[str]]:
    """Return the columns of the table that a made spine reads, by the field that names them."""
    where = [] if entities.where is None else columns_read(spine, [entities.where])
    moments = {field: [column] for field, column in entities.moments.items()}
    return {"key": entities.key, **moments, "where": where, "columns": entities.columns}


def entity_versions(spine: str, entities: EntitiesSpec, table: pl.LazyFrame) -> pl.LazyFrame:
    """Return the table's rows with an entity, and from when to when each is the last known one, in SINCE and BEFORE.

    Of rows of one entity that are known at one moment, that with the largest values in the columns read wins.

    Args:
        spine: name of the made spine, for messages.
        table: the table of entities, in any order.

    Raises:
        ValueError: a column is missing or holds no moments, or `where` is no condition over one row.
    """
    _check_table(spine, entities, table)
    wanted = list(dict.fromkeys(name for names in columns_needed(spine, entities).values() for name in names))
    rows = table.select(wanted).drop_nulls(entities.key)
    if entities.known_at is None:
        return rows.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(name) for name in (SINCE, BEFORE))
    rows = rows.drop_nulls(entities.known_at)
    rest = [name for name in wanted if name not in {*entities.key, entities.known_at}]
    rows = rows.sort(*entities.key, entities.known_at, *rest, nulls_last=False)
    known_at, same = pl.col(entities.known_at), _same_as_next(entities.key)
    return rows.with_columns(known_at.alias(SINCE), pl.when(same).then(known_at.shift(-1)).alias(BEFORE))


def active_at(spine: str, entities: EntitiesSpec, moment: pl.Expr) -> pl.Expr:
    """Return the condition that a version is the last known one, its entity active, and `where` true at a moment."""
    conditions = [
        (pl.col(SINCE) <= moment).fill_null(True),
        (moment < pl.col(BEFORE)).fill_null(True),
        *_active(entities, moment),
    ]
    if entities.where is not None:
        conditions.append(_condition(spine, entities.where).fill_null(False))
    return pl.all_horizontal(conditions)


def refuse_overlaps(spine: str, entities: EntitiesSpec, versions: pl.LazyFrame) -> None:
    """Raise ValueError if two rows of one entity, of a table without `known_at`, are active at the same time."""
    if entities.known_at is not None:
        return
    rows = versions if entities.where is None else versions.filter(_condition(spine, entities.where))
    begin = pl.lit(None, pl.Datetime("us", "UTC")) if entities.from_ is None else pl.col(entities.from_)
    end = pl.lit(None, pl.Datetime("us", "UTC")) if entities.until is None else pl.col(entities.until)
    spells = rows.select(*entities.key, begin.alias(SINCE), end.alias(BEFORE))
    if entities.from_ is not None:
        spells = spells.filter(pl.col(SINCE).is_not_null(), (pl.col(SINCE) < pl.col(BEFORE)).fill_null(True))
    overlap = _same_as_next(entities.key) & (
        pl.col(SINCE).shift(-1).is_null() | pl.col(BEFORE).is_null() | (pl.col(SINCE).shift(-1) < pl.col(BEFORE))
    )
    twice = spells.sort(*entities.key, SINCE).filter(overlap).select(entities.key).collect(engine="streaming")
    if twice.height:
        first = ", ".join(f"{name} {value}" for name, value in twice.row(0, named=True).items())
        raise ValueError(
            f"spine {spine}: {twice.height} rows of {entities.table} are of an entity that another row is of at the "
            f"same time, such as {first}: declare `entities.known_at` if they are versions of it, or all columns of "
            "its key"
        )


def _check_table(spine: str, entities: EntitiesSpec, table: pl.LazyFrame) -> None:
    """Raise ValueError if the table lacks what the spine reads of it, or `where` is no condition over one row."""
    schema = table.collect_schema()
    for field, names in columns_needed(spine, entities).items():
        missing = [name for name in names if name not in schema]
        if missing:
            there = ", ".join(schema)
            raise ValueError(
                f"spine {spine}: entities.{field}: {entities.table} has no column {missing[0]!r}; it has {there}"
            )
    for field, name in entities.moments.items():
        if getattr(schema[name], "time_zone", None) is None:
            raise ValueError(
                f"spine {spine}: entities.{field}: column {name!r} of {entities.table} is {schema[name]}, it must be a "
                'moment: pl.Datetime("us", "UTC")'
            )
    if entities.where is not None:
        _check_where(spine, entities, table)


def _check_where(spine: str, entities: EntitiesSpec, table: pl.LazyFrame) -> None:
    where = str(entities.where)
    try:
        met = evaluate(spine, table.head(_PROBED).collect(), {"where": where})
    except FeatureError as error:
        raise ValueError(str(error).replace("feature view", "spine", 1)) from error
    if met["where"].dtype not in (pl.Boolean, pl.Null):
        raise ValueError(
            f"spine {spine}: entities.where: `{where}` gives {met['where'].dtype}, it must be true or false"
        )


def _condition(spine: str, where: str) -> pl.Expr:
    from ml_assets.features.expressions import parse

    return parse(spine, where)


def _active(entities: EntitiesSpec, moment: pl.Expr) -> Iterable[pl.Expr]:
    if entities.from_ is not None:
        yield (pl.col(entities.from_) <= moment).fill_null(False)
    if entities.until is not None:
        yield (moment < pl.col(entities.until)).fill_null(True)


def _same_as_next(key: list[str]) -> pl.Expr:
    """Return whether the next row is of the same entity; false for the last row."""
    return pl.all_horizontal((pl.col(name) == pl.col(name).shift(-1)).fill_null(False) for name in key)
