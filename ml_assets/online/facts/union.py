"""The facts behind a view's values: those of the table, those that were pushed, each counted once."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.spec import FeatureViewSpec

PUSHED = "__pushed__"
"""Column that tells the pushed facts from those of the table."""

SEQ = "_seq"
"""Column of pushed facts with their number, where there is one."""

RETRACTS = "_retracts"
"""Column of pushed facts: whether the row takes such a fact back. It may lack, where none was."""

_TWIN, _STANDING, _BACK = "__twin__", "__standing__", "__back__"


def union_facts(table: pl.LazyFrame | None, pushed: pl.LazyFrame | None, view: FeatureViewSpec) -> pl.LazyFrame:
    """Join the facts that came either way, in no certain order, with `view.table_columns`.

    A fact that was pushed and later delivered in the table is one fact; identical rows that came the same way are
    that many facts. So identical rows count as often as in the channel that has most of them. A static table has one
    row for an entity: the table's wins over a pushed one, and identical pushed ones are one.

    A fact that was taken back is there no more, whichever way it came or comes, until it is pushed again.

    Args:
        table: rows of the view's table; None for none.
        pushed: rows that were pushed, in order, cast to the table's types; None for none. With RETRACTS, some of them
            take facts back.
    """
    table, pushed = without_retracted(table, pushed, view)
    columns = view.table_columns
    if pushed is None:
        if table is None:
            raise ValueError(f"feature view {view.name!r}: neither a table nor pushed facts were given")
        return table.select(columns)
    if table is None:
        rows = pushed.select(columns)
        return rows.unique() if view.known_at is None else rows
    schema = table.collect_schema()
    table = table.select(columns)
    pushed = typed(pushed, {name: schema[name] for name in columns})
    if view.known_at is None:
        # Null keys are no entity, and never equal.
        return pl.concat([table, pushed.unique().join(table, on=view.entity, how="anti")])
    twin = pl.int_range(pl.len()).over(columns).alias(_TWIN)
    delivered = table.join(pushed.unique(), on=columns, how="semi", nulls_equal=True).with_columns(twin)
    more = pushed.with_columns(twin).join(delivered, on=[*columns, _TWIN], how="anti", nulls_equal=True)
    return pl.concat([table, more.drop(_TWIN)])


def without_retracted(
    table: pl.LazyFrame | None, pushed: pl.LazyFrame | None, view: FeatureViewSpec
) -> tuple[pl.LazyFrame | None, pl.LazyFrame | None]:
    """Leave out of both channels what was taken back; arguments as `union_facts` takes them.

    Taking back a row cancels one that was pushed before and hides one of the table; pushing it again cancels that. So
    either is a walk that never goes below zero.
    """
    if pushed is None or RETRACTS not in pushed.collect_schema():
        return table, pushed
    columns = view.table_columns
    step = pl.when(pl.col(RETRACTS).fill_null(False)).then(-1).otherwise(1).cast(pl.Int64).cum_sum()
    counted = pushed.group_by(columns, maintain_order=True).agg(
        (step.last() - pl.min_horizontal(0, step.min())).alias(_STANDING),
        (pl.max_horizontal(0, step.max()) - step.last()).alias(_BACK),
    )
    standing = (
        counted.with_columns(pl.int_ranges(0, pl.col(_STANDING)).alias(_STANDING))
        .explode(_STANDING)
        .drop_nulls(_STANDING)
        .select(columns)
    )
    if table is None:
        return None, standing
    types = table.collect_schema()
    back = counted.filter(pl.col(_BACK) > 0).select(*(pl.col(name).cast(types[name]) for name in columns), _BACK)
    twin = pl.int_range(pl.len()).over(columns).alias(_TWIN)
    hidden = table.with_columns(twin).join(back, on=columns, how="left", nulls_equal=True)
    return hidden.filter(pl.col(_TWIN) >= pl.col(_BACK).fill_null(0)).drop(_TWIN, _BACK), standing


def typed(pushed: pl.LazyFrame, types: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Cast pushed rows to the types of the view's table; a column that the view did not read when they were pushed is
    null. RETRACTS stays where it is."""
    there = pushed.collect_schema()
    return pushed.select(
        *((pl.col(name) if name in there else pl.lit(None)).cast(dtype).alias(name) for name, dtype in types.items()),
        *([RETRACTS] if RETRACTS in there else []),
    )


def reachable_facts(
    view: FeatureViewSpec, table: pl.LazyFrame, pushed: pl.LazyFrame | None, as_of: int
) -> pl.LazyFrame:
    """Gather what a view's values from `as_of` (microseconds) on depend on: `view.table_columns`, PUSHED, and RETRACTS
    if the pushed facts have it; those in their order.

    Of the table the facts known by then, of the pushed ones those of the future too; of both those within the
    look-back. Where `latest` looks back for ever, an entity's last rows stand for all that came before; of planned
    facts all are there.
    """
    columns = view.table_columns
    schema = table.collect_schema()
    now = pl.lit(as_of).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)
    parts = [table.select(columns).with_columns(pl.lit(False).alias(PUSHED))]
    if view.known_at is not None:
        parts[0] = parts[0].filter(pl.col(view.known_at) <= now)
    if pushed is not None:
        ours = typed(pushed, {name: schema[name] for name in columns})
        parts.append(ours.with_columns(pl.lit(True).alias(PUSHED)))
    facts = pl.concat(parts, how="diagonal")
    if view.entity:
        facts = facts.filter(pl.all_horizontal(pl.col(view.entity).is_not_null()))
    if view.known_at is None:
        return facts
    known_at = pl.col(view.known_at)
    facts = facts.filter(known_at.is_not_null())
    if view.planned is not None:
        return facts
    if view.look_back is not None:
        return facts.filter(known_at > now - view.look_back)
    return _last_or_within(view, known_at, facts, now)


def _last_or_within(view: FeatureViewSpec, known_at: pl.Expr, facts: pl.LazyFrame, now: pl.Expr) -> pl.LazyFrame:
    oldest = now - view.longest_span
    # What was taken back must not stand for the row before it.
    there = union_facts(*split_facts(facts.collect()), view) if RETRACTS in facts.collect_schema() else facts
    last = there.filter(known_at <= now - (view.last_row_before or timedelta(0)))
    if not view.entity:
        newest = last.select(known_at.max().alias("__last__"))
        joined = facts.join(newest, how="cross")
    else:
        newest = last.group_by(view.entity).agg(known_at.max().alias("__last__"))
        joined = facts.join(newest, on=view.entity, how="left", maintain_order="left")
    kept = (known_at > oldest) | (known_at >= pl.col("__last__"))
    return joined.filter(kept).drop("__last__")


def split_facts(facts: pl.DataFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Split facts with the column PUSHED into those of the table and those that were pushed."""
    lazy = facts.lazy()
    return lazy.filter(~pl.col(PUSHED)).drop(PUSHED, RETRACTS, strict=False), lazy.filter(PUSHED).drop(PUSHED)
