"""What speaks against the tables of a model's views: doubts about their moments, and rows rewritten later."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import polars as pl

from ml_assets.declarations.specs import DeclaredView
from ml_assets.durations import parse_duration
from ml_assets.features.audit.timing import known_before_drop, timing_doubts
from ml_assets.features.audit.versions import ChangedValues, compare_facts, compare_rows, compare_versions
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.reach import first_and_last, reachable
from ml_assets.features.expressions import columns_read
from ml_assets.features.stored import stored_features, stored_view
from ml_assets.leaks.tables import Tables
from ml_assets.modelling.context import ModelContext
from ml_assets.sources.spec import DROP
from ml_assets.training.evaluation.leaks.alone import suspicious_features
from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.spec import LeakSpec

Compare = Callable[[pl.LazyFrame, pl.LazyFrame], list[ChangedValues]]
"""Compares an earlier version of a table with the newest."""

_LEFT = 0.25  # share of a feature's strength that facts from before the gap leave it


@dataclass(frozen=True)
class ViewSigns:
    """What was seen in the tables of views.

    Attributes:
        doubts: feature -> what speaks against it.
        unchecked: what could not be looked at, in words.
    """

    findings: list[Finding] = field(default_factory=list)
    doubts: dict[str, list[str]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)


def view_signs(context: ModelContext, tables: Tables, rows: pl.DataFrame, spec: LeakSpec) -> ViewSigns:
    """Look at the table of each view, and at that of the spine.

    Args:
        rows: some rows to predict, with the views' `spine_columns` and the time column.
    """
    signs, time = ViewSigns(), context.spine.time
    for view in context.views:
        if view.table is None:
            continue
        facts = tables.scan(view.table)
        for name, said in timing_doubts(view, facts, rows, time, spec.early).items():
            signs.doubts.setdefault(name, []).extend(said)
        signs.findings.extend(_early_rows(context, view, facts, spec))
    _look_at_versions(context, tables, rows, spec, signs)
    return signs


def _early_rows(context: ModelContext, view: DeclaredView, facts: pl.LazyFrame, spec: LeakSpec) -> Iterator[Finding]:
    if view.known_at is None:
        return
    column = DROP if DROP in facts.collect_schema() else context.spine.partition
    early = known_before_drop(facts, view.known_at, column, context.spine.drops)
    if early is not None and early.share >= spec.early:
        yield Finding(
            "before_drop",
            f"{view.table}",
            early.share,
            spec.early,
            f"{early.rows:,} of {early.of:,} rows are said to be known ({view.known_at}) before the drop that "
            f"delivered them began, such as {early.example}: they came late, or {view.known_at} is another "
            "moment or in another time zone",
            f"let known_at be when a row could first be read here, at the earliest its delivery, {TRUST}",
        )


def _look_at_versions(
    context: ModelContext, tables: Tables, rows: pl.DataFrame, spec: LeakSpec, signs: ViewSigns
) -> None:
    """Compare what past rows' features were by earlier versions of their tables with what they are now."""
    time, key = context.spine.time, context.spine.key
    compared: dict[str, list[tuple[DeclaredView, list[str], Compare]]] = {}
    for view in context.views:
        if view.table is not None:
            compare = partial(_compare_view, view, rows, time, context.spine.partition)
            compared.setdefault(view.table, []).append((view, view.table_columns, compare))
        if view.request:
            columns = [*key, time, *columns_read(view.name, view.request.values())]
            compared.setdefault(context.spine.table, []).append(
                (view, columns, partial(_compare_rows, view, key, time))
            )
    unseen: dict[str, list[str]] = {}
    for table, readers in compared.items():
        earlier, now = tables.earlier(table), tables.scan(table)
        seen = [_worst(columns, compare, earlier, now) for _, columns, compare in readers]
        if not any(seen):
            why = "no row lies in the time of an earlier version" if earlier else "there is no earlier version"
            unseen.setdefault(why, []).append(table)
        for (view, _, _), worst in zip(readers, seen, strict=True):
            signs.findings.extend(_rewritten(view, table, worst, spec))
    signs.unchecked.extend(
        f"whether rows of {', '.join(names)} are rewritten after they were used: {why}" for why, names in unseen.items()
    )


def _worst(
    columns: Sequence[str], compare: Compare, earlier: Sequence[tuple[int, pl.LazyFrame]], now: pl.LazyFrame
) -> dict[str, tuple[int, ChangedValues]]:
    """Return for each feature the earlier version from which it differs most."""
    worst: dict[str, tuple[int, ChangedValues]] = {}
    for version, then in earlier:
        if {*columns} <= {*then.collect_schema().names()}:
            for one in compare(then, now):
                if one.feature not in worst or one.share > worst[one.feature][1].share:
                    worst[one.feature] = (version, one)
    return worst


def _compare_view(
    view: DeclaredView, rows: pl.DataFrame, time: str, drop: str, then: pl.LazyFrame, now: pl.LazyFrame
) -> list[ChangedValues]:
    """Compare features of past rows, unless drops were delivered in another order, and the table's own rows."""
    in_order = _is_beginning(then, now, DROP if DROP in now.collect_schema() else drop)
    return [*(compare_versions(view, then, now, rows, time) if in_order else []), *compare_facts(view, then, now)]


def _is_beginning(then: pl.LazyFrame, now: pl.LazyFrame, column: str) -> bool:
    """Return whether the drops of an earlier version are the first ones of those there are now."""
    if column not in now.collect_schema() or column not in then.collect_schema():
        return True
    before, after = (
        side.select(pl.col(column).unique().sort()).collect(engine="streaming").to_series().to_list()
        for side in (then, now)
    )
    return before == after[: len(before)]


def _compare_rows(
    view: DeclaredView, key: Sequence[str], time: str, then: pl.LazyFrame, now: pl.LazyFrame
) -> list[ChangedValues]:
    return compare_rows(view, then, now, key, time)


def _rewritten(
    view: DeclaredView, table: str, worst: Mapping[str, tuple[int, ChangedValues]], spec: LeakSpec
) -> Iterator[Finding]:
    """Name the features of a view of which values are others now than they were."""
    changed = {name: entry for name, entry in worst.items() if entry[1].share >= spec.rewritten}
    left = [name for name in changed if name not in spec.trusted]
    if not left:
        return
    version, most = max((changed[name] for name in left), key=lambda entry: entry[1].share)
    yield Finding(
        "rewritten",
        ", ".join(left),
        most.share,
        spec.rewritten,
        f"{most.changed:,} of {most.rows:,} values of {most.feature} (view {view.name}) are others in {table} now than "
        f"in its version {version}, {most.example}: rows came late or were rewritten, and training sees what no "
        "prediction saw",
        "keep every state of a row with the moment from which it held, and let that be known_at; in SQL, aggregate "
        f"over earlier rows alone, {TRUST}",
    )


def lag_doubts(
    context: ModelContext,
    tables: Tables,
    parts: Mapping[str, pl.DataFrame],
    strong: Mapping[str, float],
    lag: str,
) -> dict[str, list[str]]:
    """Say which strong features owe their strength to facts of the last moments before the prediction.

    Each is computed once more as of a moment earlier by the duration `lag`, and measured again.

    Args:
        parts: rows of ``train`` and ``holdout`` with keys, time and label.
        strong: feature -> its strength alone, of those to look at.
    """
    found: dict[str, list[str]] = {}
    for view in context.views:
        names = [name for name in stored_features(view) if name in strong]
        if view.table is None or view.known_at is None or not names:
            continue
        facts, label, time = tables.scan(view.table), context.spec.label.column, context.spine.time
        length = parse_duration(lag)
        earlier = {
            part: _earlier(view, rows, facts, time, length).select(names).with_columns(rows[label])
            for part, rows in parts.items()
        }
        again = suspicious_features(
            earlier["train"],
            earlier["holdout"],
            features=names,
            label=label,
            limit=1.0,
            seed=context.spec.seed,
            task=context.spec.task,
        )
        for name, left in again.select(pl.nth(0), pl.nth(1)).iter_rows():
            if left - 0.5 < _LEFT * (strong[name] - 0.5):
                found[name] = [f"as of {lag} earlier its strength is {left:.3f}: it lives on the newest facts"]
    return found


def _earlier(view: DeclaredView, rows: pl.DataFrame, facts: pl.LazyFrame, time: str, lag: timedelta) -> pl.DataFrame:
    kept = stored_view(view)
    moved = rows.select(*dict.fromkeys([*view.spine_entity, time])).with_columns(pl.col(time) - lag)
    return compute_features(kept, moved, reachable(kept, facts, *first_and_last(moved[time])), time=time)
