"""What an outcome says of its table of facts and of the rows that it is of."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import polars as pl

from ml_assets.declarations.coherence.rules import message_of, missing_columns, no_moment
from ml_assets.declarations.coherence.tables import Columns, DeclaredTables
from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSpine
from ml_assets.durations import parse_duration
from ml_assets.features.expressions import columns_read
from ml_assets.outcomes.engine.compute import compute_outcomes
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.sources.drops.grains import WHOLE

_MOMENT = pl.Datetime("us", "UTC")


def outcome_problems(tables: DeclaredTables, outcome: DeclaredOutcome) -> Iterator[str]:
    """Yield where an outcome contradicts its table and its spine."""
    spine = tables.named(DeclaredSpine, outcome.spine)
    of_spine = tables.columns(spine.table)
    yield from missing_columns(
        of_spine,
        f"{spine.table} of spine {spine.name}",
        "spine_keys" if outcome.spine_keys else "entity",
        outcome.spine_entity,
    )
    if shared := sorted({outcome.name, *outcome.columns} & {*outcome.row(spine)}):
        yield f"name: {shared[0]!r} is also a column of the spine {spine.name} that outcomes are stored by: rename it"
    if unknown := tables.unknown_table(outcome.table):
        yield f"table: {unknown}"
    yield from _follows_problems(tables, outcome)
    columns = tables.columns(outcome.table)
    missing = partial(missing_columns, columns, outcome.table)
    wrong = [*missing("entity", outcome.entity)]
    for field in ("happened_at", "known_at"):
        if (name := getattr(outcome, field)) is not None:
            wrong += [*missing(field, [name]), *no_moment(columns, field, name)]
    for field, text in outcome.expressions.items():
        wrong += missing(field, columns_read(outcome.name, [text]))
    yield from _longer_than_horizon(outcome, spine)
    yield from wrong
    if not wrong and columns is not None:
        yield from message_of(_blamed(outcome), lambda: label_type_of(outcome, columns))


def _follows_problems(tables: DeclaredTables, outcome: DeclaredOutcome) -> Iterator[str]:
    if not outcome.follows:
        return
    if unknown := tables.unknown_table(outcome.follows):
        yield f"follows: {unknown}"
        return
    source = tables.source_of(outcome.follows)
    if source is None or source.drops.grain == WHOLE:
        yield (
            f"follows: {outcome.follows} is no validated table of a source that is cut into drops, so that nothing "
            "says up to when it is complete: name one that is, or leave follows out"
        )


def _longer_than_horizon(outcome: DeclaredOutcome, spine: DeclaredSpine) -> Iterator[str]:
    shortest = min(spine.horizons, key=parse_duration, default=None)
    if shortest is not None and outcome.length > parse_duration(shortest):
        yield (
            f"window: outcome {outcome.name} has {outcome.window}, longer than the horizon {shortest} of spine "
            f"{spine.name}: it would begin before the row's time; declare {shortest} at most, or leave that horizon out"
        )


def label_type(tables: DeclaredTables, outcome: DeclaredOutcome) -> pl.DataType | None:
    """Return the type of an outcome's label; None where the types of its facts are not declared, or it is wrong."""
    columns = tables.columns(outcome.table)
    if columns is None or any(columns.get(name) is None for name in outcome.table_columns):
        return None
    try:
        return label_type_of(outcome, columns)
    except OutcomeError:
        return None  # a problem of the outcome's declaration


def label_type_of(outcome: DeclaredOutcome, columns: Columns) -> pl.DataType | None:
    """Compute the outcome of a row without facts, for the type of its label; None where a type is not known.

    Args:
        columns: those of the outcome's table, with their types.

    Raises:
        OutcomeError: an expression cannot be evaluated on columns of these types.
    """
    types = {name: columns[name] for name in outcome.table_columns}
    if any(dtype is None for dtype in types.values()):
        return None
    facts = pl.LazyFrame(schema={name: dtype for name, dtype in types.items() if dtype is not None})
    # Any row: what its entity is called does not matter, only of which type it is.
    keys = {named: pl.Series([None], dtype=types[key]) for key, named in _keys(outcome)}
    row = pl.DataFrame({**keys, "__time__": pl.Series([datetime(2000, 1, 1, tzinfo=UTC)], dtype=_MOMENT)})
    return compute_outcomes(outcome, row, facts, OutcomeTimes("__time__"), None).schema[outcome.name]


def _keys(outcome: DeclaredOutcome) -> list[tuple[str, str]]:
    return list(zip(outcome.entity, outcome.spine_entity, strict=True))


def _blamed(outcome: DeclaredOutcome) -> str:
    return "aggregate" if outcome.aggregate is not None else "aggregates"
