"""An outcome as the window of a feature view that ends where the outcome's does: what the engine computes."""

from datetime import timedelta

import polars as pl

from ml_assets.features.aggregates import ALL_ROWS, AggregateSpec
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.expressions import evaluate, parse
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.spec import OutcomeAggregate, OutcomeSpec

END = "__window_end__"
"""Column of the moment at which a row's window ends: the window (t, t + w] is the last w before t + w."""

HAPPENED_AT, KNOWN_AT = "__happened_at__", "__known_at__"

SETTLED_AT = "__settled_at__"
"""Column of the moment at which the first fact was known that settles the row's label."""

_PROBED = 1_000
"""Facts on which it is seen whether an expression reaches across rows."""


def facts_of(outcome: OutcomeSpec, table: pl.LazyFrame) -> pl.LazyFrame:
    """Select the facts that count, with their keys, moments and the values that are summarised, lazily.

    Raises:
        OutcomeError: a column is missing or has the wrong type, or an expression fails or reaches across rows.
    """
    _check_table(outcome, table.collect_schema())
    known_at = pl.col(outcome.known_at or outcome.happened_at)
    facts = table.select(outcome.table_columns).filter(
        pl.col(outcome.happened_at).is_not_null(), known_at.is_not_null()
    )
    _refuse_across_rows(outcome, facts)
    if outcome.where:
        facts = facts.filter(parse(outcome.name, outcome.where))
    values = {_value(base): _present(outcome, facts, declared) for base, declared in outcome.summaries.items()}
    return facts.select(
        *outcome.entity, pl.col(outcome.happened_at).alias(HAPPENED_AT), known_at.alias(KNOWN_AT), **values
    ).with_columns(_marks(outcome))


def window_view(outcome: OutcomeSpec, *, digest: bool = False) -> FeatureViewSpec:
    """Return the view whose window of the same length, ending at END, holds the same facts.

    Args:
        digest: for a digest of what the outcome is made of: of the facts' moments too, and of its declaration.
    """
    aggregates = {base: _aggregate(outcome, *wanted) for base, wanted in _wanted(outcome).items()}
    if digest:
        aggregates[_KNOWN] = _aggregate(outcome, KNOWN_AT, ["count"])
    return FeatureViewSpec(
        name=outcome.name,
        description=outcome.description,
        entity=outcome.entity,
        spine_keys=outcome.spine_keys,
        table=outcome.meaning if digest else outcome.table,
        known_at=HAPPENED_AT,
        aggregates=aggregates,
    )


def rename_window(outcome: OutcomeSpec, window: pl.DataFrame, time: pl.Series) -> pl.DataFrame:
    """Name what the engine computed as the outcome's declaration does; row for row, with SETTLED_AT.

    Args:
        window: features of `window_view`.
        time: the rows' times, from which seconds are counted.
    """
    columns = []
    for name, (base, function) in outcome.aggregate_columns.items():
        if function == "time_to_first":
            first = window[f"{_moment(base)}_min_{outcome.window}"]
            columns += [((first - time) / timedelta(seconds=1)).alias(name), first.is_null().alias(f"{name}_censored")]
        else:
            columns.append(window[f"{_value(base)}_{function}_{outcome.window}"].alias(name))
    if outcome.early:
        columns.append(window[f"{SETTLED_AT}_min_{outcome.window}"].alias(SETTLED_AT))
    return pl.DataFrame(columns)


def declared_names(outcome: OutcomeSpec) -> dict[str, str]:
    """Return how the engine names the outcome's aggregates in messages -> how the declaration does."""
    names = {}
    for base, declared in outcome.summaries.items():
        name = _value(base)
        names[f"aggregate {name!r}: `{name}`"] = f"{f'aggregates.{base}' if base else 'aggregate'}.of: `{declared.of}`"
    return names


_KNOWN = "__known__"


def _value(base: str) -> str:
    return f"__value_{base}__"


def _moment(base: str) -> str:
    """Column of the moment of facts that have a value."""
    return f"__moment_{base}__"


def _wanted(outcome: OutcomeSpec) -> dict[str, tuple[str, list[str]]]:
    """Return the engine's aggregates: name -> column of the facts and functions."""
    wanted = {}
    for base, declared in outcome.summaries.items():
        if of_values := [function for function in declared.functions if function != "time_to_first"]:
            wanted[_value(base)] = (_value(base), of_values)
        if "time_to_first" in declared.functions:
            wanted[_moment(base)] = (_moment(base), ["min"])
    return wanted | ({SETTLED_AT: (SETTLED_AT, ["min"])} if outcome.early else {})


def _aggregate(outcome: OutcomeSpec, column: str, functions: list[str]) -> AggregateSpec:
    # Not validated: the engine knows functions that views do not declare.
    return AggregateSpec.model_construct(of=column, functions=functions, windows=[outcome.window])


def _present(outcome: OutcomeSpec, facts: pl.LazyFrame, declared: OutcomeAggregate) -> pl.Expr:
    """Return the value of each fact; null where it counts as missing."""
    if declared.of == ALL_ROWS:
        return pl.lit(True)
    value = parse(outcome.name, declared.of)
    dtype = facts.select(value.alias("value")).collect_schema()["value"]
    return value.fill_nan(None) if dtype.is_float() else value


def _marks(outcome: OutcomeSpec) -> list[pl.Expr]:
    """Return the columns of moments that are summarised: of facts with a value, and of those that settle the label."""
    marks = [
        pl.when(pl.col(_value(base)).is_not_null()).then(HAPPENED_AT).alias(_moment(base))
        for base, declared in outcome.summaries.items()
        if "time_to_first" in declared.functions
    ]
    settled = outcome.settled_by
    if settled is None:
        return marks
    value = pl.col(_value(settled.base))
    if settled.beyond is None:
        settles = value.is_not_null()
    else:
        side, limit = (-value, -settled.threshold) if settled.falling else (value, settled.threshold)
        settles = side > limit if settled.beyond == ">" else side >= limit
    return [*marks, pl.when(settles).then(KNOWN_AT).alias(SETTLED_AT)]


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


def _refuse_across_rows(outcome: OutcomeSpec, facts: pl.LazyFrame) -> None:
    if outcome.expressions:
        evaluate(outcome.name, facts.head(_PROBED).collect(), outcome.expressions)
