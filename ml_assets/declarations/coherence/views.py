"""What a feature view says of its table and of the rows that it is computed for."""

from collections.abc import Iterator
from functools import partial

import polars as pl

from ml_assets.declarations.coherence.rules import message_of, missing_columns, no_moment
from ml_assets.declarations.coherence.tables import Columns, DeclaredTables
from ml_assets.declarations.contract_names import contract_fault
from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.durations import parse_duration
from ml_assets.features.expressions import columns_read
from ml_assets.features.row.holidays import country_problem
from ml_assets.features.stored import refuse_moments_of_rows


def view_problems(tables: DeclaredTables, view: DeclaredView) -> Iterator[str]:
    """Yield where a feature view contradicts its table and its spine."""
    wrong = list(_no_sql(view))
    yield from wrong
    spine = tables.named(DeclaredSpine, view.spine)
    of_spine = partial(missing_columns, tables.columns(spine.table), f"{spine.table} of spine {spine.name}")
    yield from of_spine("spine_keys" if view.spine_keys else "entity", view.spine_entity)
    if not wrong:
        for feature, text in view.request.items():
            yield from of_spine(f"request.{feature}", columns_read(view.name, [text]))
    yield from _calendar_problems(tables.columns(spine.table), spine, view)
    yield from _planned_moments(tables.columns(spine.table), spine, view)
    yield from _online_problems(view)
    if view.table is None:
        return
    if unknown := tables.unknown_table(view.table):
        yield f"table: {unknown}"
    columns = tables.columns(view.table)
    missing = partial(missing_columns, columns, view.table)
    yield from missing("entity", view.entity)
    if view.known_at is not None:
        yield from missing("known_at", [view.known_at])
        yield from no_moment(columns, "known_at", view.known_at)
    if view.planned is not None:
        yield from missing("planned", view.planned.columns)
        for field in ("valid_at", "valid_until"):
            if name := getattr(view.planned, field):
                yield from no_moment(columns, f"planned.{field}", name)
    if not wrong:
        for field, text in _table_expressions(view):
            yield from missing(field, columns_read(view.name, [text]))


def expressions(view: DeclaredView) -> Iterator[tuple[str, str]]:
    """Yield every SQL expression of a view over table or spine, with the field that holds it."""
    yield from _table_expressions(view)
    yield from ((f"request.{feature}", text) for feature, text in view.request.items())
    yield from ((f"calendar.{base}.at", f'"{spec.at}"') for base, spec in view.calendar.items() if spec.at)


def _table_expressions(view: DeclaredView) -> Iterator[tuple[str, str]]:
    for field in ("latest", "lookups"):
        yield from ((f"{field}.{feature}", text) for feature, text in getattr(view, field).items())
    yield from ((f"aggregates.{base}.of", spec.of) for base, spec in view.aggregates.items() if spec.of != "*")
    yield from ((f"lags.{feature}.of", spec.of) for feature, spec in view.lags.items())
    plan = view.planned
    if plan is not None:
        yield from ((f"planned.aggregates.{n}.of", spec.of) for n, spec in plan.aggregates.items() if spec.of != "*")
        yield from ((f"planned.holding.{name}.of", spec.of) for name, spec in plan.holding.items())
        yield from (("planned.withdrawn", text) for text in (plan.withdrawn,) if text)
    yield from (("order_by", text) for text in view.order_by)


def _calendar_problems(columns: Columns | None, spine: DeclaredSpine, view: DeclaredView) -> Iterator[str]:
    for base, spec in view.calendar.items():
        if problem := country_problem(spec):
            yield f"calendar.{base}.{problem}"
        if spec.at is None:
            continue
        field, name = f"calendar.{base}.at", spec.at
        yield from missing_columns(columns, f"{spine.table} of spine {spine.name}", field, [name])
        dtype = (columns or {}).get(name)
        moment = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        if dtype is not None and not moment and (dtype != pl.Date or "hour" in spec.parts):
            wanted = "a moment with its zone" if "hour" in spec.parts else "a moment with its zone or a date"
            yield f"{field}: column {name!r} of {spine.table} is {dtype}, not {wanted}"


def _planned_moments(columns: Columns | None, spine: DeclaredSpine, view: DeclaredView) -> Iterator[str]:
    for moment in view.planned.moments if view.planned else ():
        yield from missing_columns(columns, f"{spine.table} of spine {spine.name}", "planned", [moment])
        yield from no_moment(columns, "planned", moment)


def _online_problems(view: DeclaredView) -> Iterator[str]:
    if view.online is None:
        return
    if view.planned is not None and view.planned.moments:
        yield from message_of("online", lambda: refuse_moments_of_rows(view))
        return
    if view.online.contract and (fault := contract_fault(view.online.contract)):
        yield f"online.contract: {fault}"
    if view.table is None:
        yield "online: the view has features of the row only: there is nothing to keep ready for requests"
    elif view.known_at is not None and view.online.freshness.fail_after > parse_duration(view.online.max_age):
        yield (
            f"online.freshness.fail: a build is made anew when it is {view.online.freshness.fail} old, but its values "
            f"expire after {view.online.max_age}: fail earlier, or let max_age be longer"
        )


def _no_sql(view: DeclaredView) -> Iterator[str]:
    for field, text in expressions(view):
        yield from message_of(field, lambda text=text: columns_read(view.name, [text]))
