"""Whether outcomes are what their declaration says: a sample, recomputed one by one."""

from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.oracle import recompute_outcome
from ml_assets.outcomes.spec import OutcomeSpec

_ROUNDING = 1e-9


def differing_outcomes(
    outcome: OutcomeSpec,
    rows: pl.DataFrame,
    outcomes: pl.DataFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    complete_until: datetime | None,
) -> pl.DataFrame:
    """Recompute the outcomes of some rows of a spine from a look at every fact, and return those that differ.

    Args:
        rows: some rows of a spine.
        outcomes: what was computed of them, row for row.

    Returns:
        One row per value that differs: the keys and the time, `column`, `stored` and `recomputed` (text). Empty if all
        is well.
    """
    where = [*outcome.spine_entity, times.time]
    history = _of_entities(outcome, rows, facts)
    found = []
    for row, stored in zip(rows.iter_rows(named=True), outcomes.iter_rows(named=True), strict=True):
        plain = recompute_outcome(outcome, row, history, times, complete_until)
        found += [
            {
                **{name: str(row[name]) for name in where},
                "column": c,
                "stored": str(stored[c]),
                "recomputed": str(value),
            }
            for c, value in plain.items()
            if not _same(stored[c], value)
        ]
    return pl.DataFrame(found, schema=dict.fromkeys([*where, "column", "stored", "recomputed"], pl.String))


def _of_entities(outcome: OutcomeSpec, rows: pl.DataFrame, facts: pl.LazyFrame) -> pl.DataFrame:
    """Read the facts of the rows' entities."""
    facts = facts.select(outcome.table_columns)
    for key, named in zip(outcome.entity, outcome.spine_entity, strict=True):
        values = rows[named].cast(pl.String).drop_nulls().unique()
        facts = facts.filter(pl.col(key).cast(pl.String).is_in(values.to_list()))
    return facts.collect(engine="streaming")


def _same(stored: Any, plain: Any) -> bool:
    if isinstance(stored, float) and isinstance(plain, float | int):
        return abs(stored - plain) <= _ROUNDING * max(abs(stored), abs(plain))
    return bool(stored == plain) if stored is not None and plain is not None else stored is plain
