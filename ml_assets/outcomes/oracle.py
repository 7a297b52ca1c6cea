"""The plain way to an outcome: one row at a time, from a look at every fact."""

from datetime import UTC, datetime, timedelta
from math import fsum, isfinite
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.features.derived import parse_derived
from ml_assets.features.expressions import parse
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.spec import OutcomeAggregate, OutcomeSpec

_DAY = timedelta(days=1)


def recompute_outcome(
    outcome: OutcomeSpec, row: dict[str, Any], facts: pl.DataFrame, times: OutcomeTimes, complete_until: datetime | None
) -> dict[str, Any]:
    """Compute the outcome of one row of a spine by the definition of its fields.

    Args:
        row: column of the spine -> value.
        facts: the outcome's table; all of it, or at least the rows of the row's entity.
        times, complete_until: as `compute_outcomes_in_parts` takes them.

    Returns:
        The outcome's columns, its label and the moment at which it is known -> value.
    """
    end = row[times.time] + outcome.length if times.target_at is None else row[times.target_at]
    settled_at = end + outcome.delay
    inside = _inside(outcome, row, facts, _begin(outcome, row, times), end)
    known = pl.col(outcome.known_at or outcome.happened_at)
    used = inside.filter(known <= settled_at)
    summary, label = _summarise(outcome, used, row[times.time])
    known_at = settled_at
    if outcome.early:
        known_at = min([settled_at, *_settled_at(outcome, used)])
    if complete_until is None or settled_at > complete_until or _without_entity(outcome, row):
        summary = dict.fromkeys(summary)
    if complete_until is None or known_at > complete_until or _without_entity(outcome, row):
        label = None
    return summary | {outcome.name: label, outcome.known_at_column: known_at}


def _without_entity(outcome: OutcomeSpec, row: dict[str, Any]) -> bool:
    return any(row[name] is None for name in outcome.spine_entity)


def _begin(outcome: OutcomeSpec, row: dict[str, Any], times: OutcomeTimes) -> datetime:
    """Return the moment after which the row's window begins: where it looks ahead, as the clock of its zone counts."""
    time = row[times.time]
    if times.target_at is None:
        return time
    target_at, zone = row[times.target_at], ZoneInfo(times.time_zone)
    if outcome.length % _DAY:
        return max(time, target_at - outcome.length)
    shown, shown_then = time.astimezone(zone), target_at.astimezone(zone)
    days = round((shown_then.replace(tzinfo=None) - shown.replace(tzinfo=None)) / _DAY) * _DAY
    if _on_the_clock(shown + days) == target_at:
        return time if days == outcome.length else _on_the_clock(shown + days - outcome.length)
    return max(time, _on_the_clock(shown_then - outcome.length))


def _on_the_clock(shown: datetime) -> datetime:
    """Return the last moment at which a clock shows the time or, where it is skipped, the first that it shows after."""
    while shown.astimezone(UTC).astimezone(shown.tzinfo).replace(tzinfo=None) != shown.replace(tzinfo=None):
        shown = shown.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return shown.replace(fold=1).astimezone(UTC)


def _inside(
    outcome: OutcomeSpec, row: dict[str, Any], facts: pl.DataFrame, begin: datetime, end: datetime
) -> pl.DataFrame:
    happened = pl.col(outcome.happened_at)
    same = [
        pl.col(key).cast(pl.String) == str(row[named])
        for key, named in zip(outcome.entity, outcome.spine_entity, strict=True)
    ]
    where = [parse(outcome.name, outcome.where)] if outcome.where else []
    return facts.filter(happened > begin, happened <= end, *same, *where)


def _summarise(outcome: OutcomeSpec, used: pl.DataFrame, time: datetime) -> tuple[dict[str, Any], Any]:
    """Return the aggregates of some facts, and the label that follows from them."""
    values = {}
    for name, (base, function) in outcome.aggregate_columns.items():
        facts = _observed(outcome, outcome.summaries[base], used)
        values[name] = _summary(function, facts, time)
        if function == "time_to_first":
            values[f"{name}_censored"] = facts.is_empty()
    frame = pl.DataFrame([values], schema_overrides=_types(outcome, values, used))
    label = frame.select(parse_derived(outcome.name, outcome.label)).item()
    return values, None if isinstance(label, float) and not isfinite(label) else label


def _types(outcome: OutcomeSpec, values: dict[str, Any], used: pl.DataFrame) -> dict[str, pl.DataType]:
    """Return the types of aggregates that have no value, of which a comparison must still be null."""
    of = {name: outcome.summaries[base] for name, (base, _) in outcome.aggregate_columns.items()}
    return {
        name: _observed(outcome, of[name], used).schema["value"]
        for name, value in values.items()
        if value is None and name in of and outcome.aggregate_columns[name][1] in ("min", "max", "first", "last")
    }


def _observed(
    outcome: OutcomeSpec, declared: OutcomeAggregate, used: pl.DataFrame, moment: str | None = None
) -> pl.DataFrame:
    """Return moment and value of the facts that have a value, by moment, then value."""
    value = pl.lit(True) if declared.of == "*" else parse(outcome.name, declared.of)
    facts = used.select(pl.col(moment or outcome.happened_at).alias("at"), value.alias("value"))
    if facts.schema["value"].is_float() or facts.schema["value"].is_decimal():
        facts = facts.with_columns(pl.col("value").cast(pl.Float64).fill_nan(None))
    return facts.drop_nulls("value").sort("at", "value")


def _summary(function: str, facts: pl.DataFrame, time: datetime) -> Any:
    values = facts["value"]
    if function == "count":
        return len(values)
    if values.is_empty():
        return None
    if function == "time_to_first":
        return (facts["at"][0] - time) / timedelta(seconds=1)
    if function in ("first", "last"):
        return values[0 if function == "first" else -1]
    if function in ("sum", "mean") and values.dtype.is_float():
        total = fsum(values)
        return total if function == "sum" else total / len(values)
    result = getattr(values, function)()
    return int(result) if isinstance(result, bool) else result


def _settled_at(outcome: OutcomeSpec, used: pl.DataFrame) -> list[datetime]:
    """Return the moments at which facts became known that settle the label for good."""
    settled = outcome.settled_by
    if settled is None:
        return []
    facts = _observed(outcome, outcome.summaries[settled.base], used, outcome.known_at)
    return [at for at, value in facts.iter_rows() if settled.settles(value)]
