"""Whether features at past moments are what they were: computed from a table as it was then, and as it is now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.audit.timing import moment_in_utc
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.engine.reach import first_and_last, reachable
from ml_assets.features.expressions import columns_read, evaluate
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features, stored_view

_ROWS = 500
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ChangedValues:
    """How many values of a feature are others now than then.

    Attributes:
        rows: values compared.
        changed: how many differ.
        example: one of them in words.
    """

    feature: str
    rows: int
    changed: int
    example: str

    @property
    def share(self) -> float:
        """Share of the values that differ."""
        return self.changed / self.rows


def compare_versions(
    view: FeatureViewSpec, then: pl.LazyFrame, now: pl.LazyFrame, spine: pl.DataFrame, time: str
) -> list[ChangedValues]:
    """Compute features of past rows from an earlier and the newest version of the table.

    A row counts if its time is no later than the newest moment known in the earlier version, or, of a table without
    ``known_at``, if the earlier version has its entity: what is known at t must not depend on what came after. Of
    these rows the 500 latest are compared.

    Args:
        then: the earlier version; it has the columns that the view reads.
        spine: rows to predict with the view's keys.
        time: the spine's time column.

    Returns:
        One entry for each feature of the table that was compared; empty if no row counts.
    """
    rows = _rows_of_then(view, then, spine.select(*view.spine_entity, time).unique(), time)
    if rows.is_empty():
        return []
    kept = stored_view(view)
    before, after = (compute_features(kept, rows, _reached(kept, side, rows, time), time=time) for side in (then, now))
    return [_changed(name, before[name], after[name], rows[time]) for name in stored_features(view)]


def compare_facts(view: FeatureViewSpec, then: pl.LazyFrame, now: pl.LazyFrame) -> list[ChangedValues]:
    """Evaluate what a view reads of its table's rows as they were in an earlier version, and as they are now.

    Of the rows that both versions have, told by entity and ``known_at``, up to 500 are compared, the newest: a fact
    that was known at a moment does not change after it.

    Returns:
        One entry for each feature that is computed from an expression that was compared.
    """
    expressions = _of_table_rows(view)
    if view.known_at is None or not expressions:
        return []
    key = [*view.entity, view.known_at]
    before, after = _rows_of_both(view.table_columns, then, now, key, view.known_at)
    if before.is_empty():
        return []
    old, new = (evaluate(view.name, side, {text: text for text in expressions.values()}) for side in (before, after))
    compared = {text: _changed(text, old[text], new[text], before[view.known_at]) for text in old.columns}
    return [replace(compared[text], feature=feature) for feature, text in expressions.items()]


def _of_table_rows(view: FeatureViewSpec) -> dict[str, str]:
    """Return the expression over a table's row that each feature is computed from; none for counted rows."""
    lags = {name: spec.of for name, spec in view.lags.items()}
    bases = {feature: view.aggregates[base].of for feature, (base, _, _) in view.aggregate_features.items()}
    return {name: text for name, text in {**view.latest, **lags, **bases}.items() if text != ALL_ROWS}


def _rows_of_both(
    columns: Sequence[str], then: pl.LazyFrame, now: pl.LazyFrame, key: Sequence[str], time: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the newest rows that both versions have once, as they were and as they are, in one order."""
    keys = [pl.col(name) for name in key]
    old, new = (side.select(columns).unique(key, keep="none") for side in (then, now))
    before = (
        old.join(new.select(keys), on=list(key), how="semi").sort(time, *key).tail(_ROWS).collect(engine="streaming")
    )
    wanted = new.join(before.lazy().select(keys), on=list(key), how="semi").collect(engine="streaming")
    return before, before.select(keys).join(wanted, on=list(key), how="left", maintain_order="left")


def compare_rows(
    view: FeatureViewSpec, then: pl.LazyFrame, now: pl.LazyFrame, key: Sequence[str], time: str
) -> list[ChangedValues]:
    """Evaluate request features on rows of the spine as they were in an earlier version, and as they are now.

    Of the rows that both versions have, the 500 latest of the earlier one are compared.

    Args:
        then: the earlier version of the spine's table; it has the columns that the view reads.
        now: the newest one.
        key: columns that identify a row.
        time: the spine's time column.
    """
    if not view.request:
        return []
    columns = [*dict.fromkeys([*key, time, *columns_read(view.name, view.request.values())])]
    before, after = _rows_of_both(columns, then, now, key, time)
    if before.is_empty():
        return []
    old, new = (evaluate(view.name, side, view.request) for side in (before, after))
    return [_changed(name, old[name], new[name], before[time]) for name in view.request]


def _rows_of_then(view: FeatureViewSpec, then: pl.LazyFrame, spine: pl.DataFrame, time: str) -> pl.DataFrame:
    schema = then.collect_schema()
    if view.known_at is None:
        keys = compare_keys(view, spine.schema, schema)
        there = then.select(keys.of_table).unique().collect(engine="streaming")
        rows = spine.with_columns(keys.of_spine).join(there, on=keys.names, how="semi").drop(keys.names)
    else:
        newest = then.select(moment_in_utc(view.known_at, schema).max()).collect(engine="streaming").item()
        if not isinstance(newest, datetime):
            return spine.head(0)
        rows = spine.filter(moment_in_utc(time, spine.schema) <= newest)
    return rows.sort(time, *view.spine_entity).tail(_ROWS)


def _reached(view: FeatureViewSpec, facts: pl.LazyFrame, rows: pl.DataFrame, time: str) -> pl.LazyFrame:
    return reachable(view, facts, *first_and_last(rows[time]))


def _changed(name: str, before: pl.Series, after: pl.Series, times: pl.Series) -> ChangedValues:
    same = (
        before.eq_missing(after)
        if before.dtype == after.dtype
        else before.cast(pl.String).eq_missing(after.cast(pl.String))
    )
    if before.dtype.is_float() and after.dtype.is_float():
        same |= ((before - after).abs() <= after.abs() * _TOLERANCE).fill_null(False)
    other = ~same
    example = ""
    if other.any():
        at = int(other.arg_max() or 0)
        example = f"at {times[at]:%Y-%m-%d %H:%M} it was {before[at]} and is {after[at]} now"
    return ChangedValues(name, len(before), int(other.sum()), example)
