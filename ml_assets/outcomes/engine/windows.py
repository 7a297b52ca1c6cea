"""Outcomes as windows of a feature view that end where the outcomes' do: what the feature engine computes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from ml_assets.durations import format_duration
from ml_assets.features.aggregates import ALL_ROWS, AggregateSpec
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.expressions import evaluate, parse
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.spec import OutcomeAggregate, OutcomeSpec

END = "__window_end__"
"""Column of the moment at which the last of a row's windows ends: the window (t, t + w] is the last w before t + w."""

HAPPENED_AT, KNOWN_AT = "__happened_at__", "__known_at__"

SETTLED_AT = "__settled_at__"
"""Column of the moment at which the first fact was known that settles the row's label."""

_PROBED = 1_000
"""Facts on which it is seen whether an expression reaches across rows."""


@dataclass(frozen=True)
class OutcomeWindow:
    """The window of one of several outcomes that are computed together.

    Attributes:
        outcome: what is summarised over it, declared with a window of its length.
        before: how long before END it ends.
        place: the outcome's place among the others, which the engine's columns bear.
    """

    outcome: OutcomeSpec
    before: timedelta = timedelta(0)
    place: int = 0

    @property
    def end(self) -> pl.Expr:
        """The moment at which it ends, of rows with END."""
        return pl.col(END) - self.before


def alike(outcomes: Sequence[OutcomeSpec]) -> list[list[OutcomeSpec]]:
    """Group outcomes of one table by the facts and the entity that they are about: one pass serves a group."""
    groups: dict[tuple, list[OutcomeSpec]] = {}
    for outcome in outcomes:
        entity = [*outcome.entity, *outcome.spine_entity]
        groups.setdefault((*entity, outcome.happened_at, outcome.known_at, outcome.where), []).append(outcome)
    return list(groups.values())


def facts_of(outcomes: Sequence[OutcomeSpec], table: pl.LazyFrame) -> pl.LazyFrame:
    """Select the facts that count, with their keys, moments and the values that are summarised, lazily.

    Args:
        outcomes: outcomes that are `alike`.

    Raises:
        OutcomeError: a column is missing or has the wrong type, or an expression fails or reaches across rows.
    """
    schema, of_all = table.collect_schema(), outcomes[0]
    for outcome in outcomes:
        _check_table(outcome, schema)
    known_at = pl.col(of_all.known_at or of_all.happened_at)
    read = dict.fromkeys(name for outcome in outcomes for name in outcome.table_columns)
    facts = table.select(list(read)).filter(pl.col(of_all.happened_at).is_not_null(), known_at.is_not_null())
    _refuse_across_rows(outcomes, facts)
    if of_all.where:
        facts = facts.filter(parse(of_all.name, of_all.where))
    values = {
        _value(base, place): _present(outcome, facts, declared)
        for place, outcome in enumerate(outcomes)
        for base, declared in outcome.summaries.items()
    }
    marks = [mark for place, outcome in enumerate(outcomes) for mark in _marks(outcome, place)]
    return facts.select(
        *of_all.entity, pl.col(of_all.happened_at).alias(HAPPENED_AT), known_at.alias(KNOWN_AT), **values
    ).with_columns(marks)


def window_view(windows: Sequence[OutcomeWindow]) -> FeatureViewSpec:
    """Return the view whose windows, of the same lengths and ending where they do, hold the same facts."""
    held = _held_by(windows)
    return _view(
        windows[0].outcome,
        {
            name: _aggregate(window, held.get(column, column), functions)
            for window in windows
            for name, (column, functions) in _wanted(window).items()
        },
    )


def digest_view(outcome: OutcomeSpec) -> FeatureViewSpec:
    """Return the view for a digest of what an outcome is made of: of its facts' moments too, and its declaration."""
    window = OutcomeWindow(outcome)
    aggregates = {name: _aggregate(window, *wanted) for name, wanted in _wanted(window).items()}
    aggregates[_KNOWN] = _aggregate(window, KNOWN_AT, ["count"])
    return _view(outcome, aggregates).model_copy(update={"table": outcome.meaning})


def rename_window(window: OutcomeWindow, features: pl.DataFrame, time: pl.Series) -> pl.DataFrame:
    """Name what the engine computed as the outcome's declaration does; row for row, with SETTLED_AT.

    Args:
        features: features of `window_view`.
        time: the rows' times, from which seconds are counted.
    """
    outcome, columns = window.outcome, []
    for name, (base, function) in outcome.aggregate_columns.items():
        if function == "time_to_first":
            first = features[f"{_moment(base, window.place)}_min_{outcome.window}"]
            columns += [((first - time) / timedelta(seconds=1)).alias(name), first.is_null().alias(f"{name}_censored")]
        else:
            columns.append(features[f"{_value(base, window.place)}_{function}_{outcome.window}"].alias(name))
    if outcome.early:
        columns.append(features[f"{_settled(window.place)}_min_{outcome.window}"].alias(SETTLED_AT))
    return pl.DataFrame(columns)


def declared_names(outcomes: Sequence[OutcomeSpec]) -> dict[str, str]:
    """Return how the engine names the aggregates of outcomes in messages -> how their declarations do."""
    view = outcomes[0].name
    held = _held_by([OutcomeWindow(outcome, place=place) for place, outcome in enumerate(outcomes)])
    names = {}
    for place, outcome in enumerate(outcomes):
        for base, declared in outcome.summaries.items():
            field, column = f"aggregates.{base}" if base else "aggregate", _value(base, place)
            internal = f"feature view {view!r}, aggregate {column!r}: `{held[column]}`"
            names[internal] = f"outcome {outcome.name!r}, {field}.of: `{declared.of}`"
    return names


_KNOWN = "__known__"


def _value(base: str, place: int) -> str:
    return f"__value_{base}__{place or ''}"


def _moment(base: str, place: int) -> str:
    """Column of the moment of facts that have a value."""
    return f"__moment_{base}__{place or ''}"


def _settled(place: int) -> str:
    return f"{SETTLED_AT}{place or ''}"


def _held_by(windows: Sequence[OutcomeWindow]) -> Mapping[str, str]:
    """Return each column of values or their moments -> the first that holds the same: it is summarised once."""
    first: dict[tuple, str] = {}
    return {
        column: first.setdefault((kind, declared.of), column)
        for window in windows
        for base, declared in window.outcome.summaries.items()
        for kind, column in enumerate((_value(base, window.place), _moment(base, window.place)))
    }


def _wanted(window: OutcomeWindow) -> dict[str, tuple[str, list[str]]]:
    """Return the engine's aggregates: name -> column of the facts and functions."""
    wanted, outcome = {}, window.outcome
    for base, declared in outcome.summaries.items():
        value, moment = _value(base, window.place), _moment(base, window.place)
        if of_values := [function for function in declared.functions if function != "time_to_first"]:
            wanted[value] = (value, of_values)
        if "time_to_first" in declared.functions:
            wanted[moment] = (moment, ["min"])
    settled = _settled(window.place)
    return wanted | ({settled: (settled, ["min"])} if outcome.early else {})


def _aggregate(window: OutcomeWindow, column: str, functions: list[str]) -> AggregateSpec:
    # Not validated: the engine knows functions that views do not declare.
    offset = format_duration(window.before) if window.before else None
    return AggregateSpec.model_construct(of=column, functions=functions, windows=[window.outcome.window], offset=offset)


def _view(outcome: OutcomeSpec, aggregates: dict[str, AggregateSpec]) -> FeatureViewSpec:
    return FeatureViewSpec(
        name=outcome.name,
        description=outcome.description,
        entity=outcome.entity,
        spine_keys=outcome.spine_keys,
        table=outcome.table,
        known_at=HAPPENED_AT,
        aggregates=aggregates,
    )


def _present(outcome: OutcomeSpec, facts: pl.LazyFrame, declared: OutcomeAggregate) -> pl.Expr:
    """Return the value of each fact; null where it counts as missing."""
    if declared.of == ALL_ROWS:
        return pl.lit(True)
    value = parse(outcome.name, declared.of)
    dtype = facts.select(value.alias("value")).collect_schema()["value"]
    return value.fill_nan(None) if dtype.is_float() else value


def _marks(outcome: OutcomeSpec, place: int) -> list[pl.Expr]:
    """Return the columns of moments that are summarised: of facts with a value, and of those that settle the label."""
    marks = [
        pl.when(pl.col(_value(base, place)).is_not_null()).then(HAPPENED_AT).alias(_moment(base, place))
        for base, declared in outcome.summaries.items()
        if "time_to_first" in declared.functions
    ]
    settled = outcome.settled_by
    if settled is None:
        return marks
    value = pl.col(_value(settled.base, place))
    if settled.beyond is None:
        settles = value.is_not_null()
    else:
        side, limit = (-value, -settled.threshold) if settled.falling else (value, settled.threshold)
        settles = side > limit if settled.beyond == ">" else side >= limit
    return [*marks, pl.when(settles).then(KNOWN_AT).alias(_settled(place))]


def _check_table(outcome: OutcomeSpec, schema: pl.Schema) -> None:
    where = f"outcome {outcome.name!r}: table {outcome.table!r}"
    if missing := [name for name in outcome.table_columns if name not in schema]:
        raise OutcomeError(
            f"{where} has no column {', '.join(map(repr, missing))} (it has {', '.join(schema)}); add it to the table "
            "or correct the outcome"
        )
    for name in filter(None, (outcome.happened_at, outcome.known_at)):
        if schema[name] != MOMENT:
            raise OutcomeError(f"{where} column {name!r} is {schema[name]}, not {MOMENT}: cast it")


def _refuse_across_rows(outcomes: Sequence[OutcomeSpec], facts: pl.LazyFrame) -> None:
    if not any(outcome.expressions for outcome in outcomes):
        return
    probed = facts.head(_PROBED).collect()
    for outcome in outcomes:
        evaluate(outcome.name, probed, outcome.expressions)
