"""The rows that a feature's value was made from: those known by the prediction time, in its window."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from ml_assets.declarations.specs import DeclaredView
from ml_assets.durations import parse_duration
from ml_assets.features.audit.recompute import EntityHistory, recompute
from ml_assets.features.expressions import parse
from ml_assets.features.made_of import MadeOf, made_of
from ml_assets.lake import Lake
from ml_assets.sources.spec import DROP

SHOWN = 20
"""Rows that are shown of those that made a value."""

_MOST_RECOMPUTED = 200_000
_VALUE = "value"


@dataclass(frozen=True)
class Path:
    """Where a value comes from.

    Attributes:
        words: which rows, in words.
        table: that they lie in.
        columns: shown of them, the value that each gives among them.
        private: columns that are left out.
        rows: the newest of them.
        count: how many there are; `valued` of them give a value.
        recomputed: the value computed anew from these rows by plain means; None where it was not.
        agrees: whether that is the value shown; None where it was not computed.
        reads: of a derived feature the features that it is made of.
    """

    feature: str
    view: str
    made: MadeOf
    words: str
    table: str = ""
    columns: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    count: int = 0
    valued: int = 0
    recomputed: Any = None
    agrees: bool | None = None
    reads: tuple[str, ...] = ()

    @property
    def more(self) -> int:
        return self.count - len(self.rows)


def path_of(
    lake: Lake,
    view: DeclaredView,
    feature: str,
    row: pl.DataFrame,
    time: str,
    value: Any,
    private: Collection[str] = (),
) -> Path:
    """Find the rows that made a feature of one row of a spine.

    Args:
        row: of height 1, with the view's `spine_columns` and the time column.
        value: that is shown of the feature.
        private: columns of the view's table, or of the spine, that are not shown.
    """
    made = made_of(view, feature)
    if made.field == "derived":
        words = f"{made.expression}, of features of the same row"
        return Path(feature, view.name, made, words, reads=made.columns)
    if not made.of_table:
        return _of_the_row(view, feature, made, row, time, private)
    return _of_facts(lake, view, feature, made, row, row[time][0], value, private)


def _of_the_row(
    view: DeclaredView, feature: str, made: MadeOf, row: pl.DataFrame, time: str, private: Collection[str]
) -> Path:
    columns = made.columns or ((time,) if made.field == "calendar" else ())
    shown = tuple(name for name in columns if name not in private)
    hidden = tuple(name for name in columns if name in private)
    rows = tuple(row.select(shown).iter_rows(named=True)) if shown else ()
    words = f"{made.expression}, of the row to predict"
    return Path(feature, view.name, made, words, columns=shown, private=hidden, rows=rows, count=1, valued=1)


def _of_facts(
    lake: Lake,
    view: DeclaredView,
    feature: str,
    made: MadeOf,
    row: pl.DataFrame,
    moment: datetime,
    value: Any,
    private: Collection[str],
) -> Path:
    facts = view.facts(lake)
    if facts is None:
        raise ValueError(f"feature view {view.name} has no table")
    schema = facts.collect_schema()
    entity = [(key, row[named][0]) for key, named in zip(view.entity, view.spine_entity, strict=True)]
    own = facts.filter(*(_is(key, given, schema[key]) for key, given in entity))
    seen, within = _seen(view, feature, made, own, moment)
    expression = pl.lit(value=True) if made.expression == "*" else parse(view.name, made.expression)
    read = [name for name in dict.fromkeys([DROP, *view.table_columns]) if name in schema]
    shown = [name for name in read if name not in private and name in _kept(view, made)]
    reads_private = bool({*made.columns} & {*private})
    hides = reads_private and made.function != "count"
    valued = expression.is_not_null().alias("__valued__")
    newest = seen.sort(view.known_at, descending=True, nulls_last=True) if view.known_at else seen
    columns = [*shown, *([] if reads_private or made.expression == "*" else [expression.alias(_VALUE)])]
    counted, rows = pl.collect_all([
        seen.select(valued).select(pl.len().alias("count"), pl.col("__valued__").sum().alias("valued")),
        newest.head(SHOWN).select(columns),
    ])  # fmt: skip
    count, of_value = counted.row(0)
    again = _again(view, feature, own, row, moment, value) if count <= _MOST_RECOMPUTED else (None, None)
    who = " and ".join(f"{key} {given}" for key, given in entity if key not in private) or "any entity"
    return Path(
        feature,
        view.name,
        made,
        f"rows of {view.table} of {who}{within}",
        table=view.table or "",
        columns=tuple(rows.columns),
        private=tuple(sorted({*read} & {*private})),
        rows=tuple(rows.iter_rows(named=True)),
        count=count,
        valued=of_value,
        recomputed=None if hides else again[0],
        agrees=again[1],
    )


def _kept(view: DeclaredView, made: MadeOf) -> set[str]:
    """Return the columns of a fact that say something of a feature."""
    from ml_assets.features.expressions import columns_read

    known = [view.known_at] if view.known_at else []
    planned = view.planned.columns if made.field == "planned" and view.planned else []
    ranks = columns_read(view.name, view.order_by) if made.field in ("latest", "lags") else []
    return {DROP, *view.entity, *known, *made.columns, *planned, *ranks}


def _is(key: str, given: Any, dtype: pl.DataType) -> pl.Expr:
    if given is None:
        return pl.lit(value=False)
    return pl.col(key) == pl.lit(given, dtype=dtype)


def _seen(
    view: DeclaredView, feature: str, made: MadeOf, own: pl.LazyFrame, moment: datetime
) -> tuple[pl.LazyFrame, str]:
    """Return the rows that a feature sees, and which these are in words."""
    if view.known_at is None:
        return own, ""
    known, end = pl.col(view.known_at), moment - (timedelta(0) if made.field == "planned" else made.offset)
    by_then = own.filter(known <= end)
    if made.field == "aggregates" and made.window is not None:
        start = end - made.window
        return by_then.filter(known > start), f" with {view.known_at} in ({_at(start)}, {_at(end)}]"
    if made.field == "planned" and view.planned is not None:
        until, since = moment - made.offset, moment - made.offset - (made.window or timedelta(0))
        begins = pl.col(view.planned.valid_at) <= until
        ends = pl.col(view.planned.valid_until) > since if view.planned.valid_until else pl.lit(value=True)
        words = f" announced by {_at(end)}, of which of several about one thing the last counts"
        return by_then.filter(begins, ends.fill_null(value=True)), words
    ttl = view.lags[feature].ttl if made.field == "lags" else view.ttl
    since = f", at most {ttl} old" if ttl else ""
    kept = by_then.filter(known > end - parse_duration(ttl)) if ttl else by_then
    return kept.filter(known == known.max()), f", the last known by {_at(end)}{since}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _again(
    view: DeclaredView, feature: str, own: pl.LazyFrame, row: pl.DataFrame, moment: datetime, value: Any
) -> tuple[Any, bool | None]:
    """Compute the feature from the entity's rows by plain means, and say whether that is the value shown."""
    alone = _alone(view, feature)
    rows = own.select(view.table_columns)
    if view.known_at and alone.look_back is not None:
        rows = rows.filter(pl.col(view.known_at) > moment - alone.look_back)
    if rows.select(pl.len()).collect().item() > _MOST_RECOMPUTED:
        return None, None
    history = EntityHistory.of(rows.collect(), view.known_at)
    since_1970 = pl.Series([moment]).cast(pl.Datetime("us", "UTC")).to_physical()[0]
    again = recompute(alone, row, history, since_1970).values[feature]
    return again, same(again, value)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same but for the rounding of a sum; NaN is as missing as None."""
    left, right = (None if isinstance(v, float) and math.isnan(v) else v for v in (one, other))
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return left == right
    return math.isclose(float(left), float(right), rel_tol=1e-6, abs_tol=1e-9)


def _alone(view: DeclaredView, feature: str) -> DeclaredView:
    """Return a view of one feature of its table alone."""
    made = made_of(view, feature)
    none = {"latest": {}, "lags": {}, "aggregates": {}, "planned": None, "lookups": {}}
    own: dict[str, Any] = {**none, "request": {}, "calendar": {}, "derived": {}, "hidden": []}
    if made.field == "planned":
        own["planned"] = view.planned
    elif made.field == "aggregates":
        own["aggregates"] = {made.base: view.aggregates[made.base].model_copy(update={"functions": [made.function]})}
    else:
        own[made.field] = {feature: getattr(view, made.field)[feature]}
    return view.model_copy(update=own)
