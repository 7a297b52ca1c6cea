"""What came of any rows, as far as the facts in a lake tell."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.outcomes.engine.compute import compute_outcomes_together
from ml_assets.public.rows import with_moments


def outcomes_of(
    lake: Lake,
    outcomes: Sequence[DeclaredOutcome],
    spine: DeclaredSpine,
    rows: pl.DataFrame,
    complete_until: Mapping[str, datetime | None],
    *,
    prefixed: bool = False,
) -> pl.DataFrame:
    """Compute outcomes of rows from the facts of the windows after each row's time; those of one table together.

    Args:
        rows: the spine's time column, the entity as the spine names it and, of a spine with horizons, the moment that
            a row looks ahead to.
        complete_until: outcome -> the moment up to which its facts are complete; None where there are none.
        prefixed: whether an aggregate's column begins with the name of its outcome.

    Returns:
        The rows in their order and with all their columns, and of each outcome its aggregates, itself, and the moment
        at which it is known.

    Raises:
        ValueError: a column of the rows has the name of one that is computed.
        OutcomeError: a column is missing or has the wrong type.
        TableMissing: an outcome's table is not in the lake.
    """
    named = {outcome.name: _names(outcome, prefixed=prefixed) for outcome in outcomes}
    if taken := [name for names in named.values() for name in names.values() if name in rows.columns]:
        raise ValueError(f"the rows hold {', '.join(taken)}, which are computed: drop or rename them first")
    for column in (spine.time, spine.target_at):
        rows = rows if column is None else with_moments(rows, column)
    found: dict[str, pl.DataFrame] = {}
    for table, until in dict.fromkeys((outcome.table, complete_until[outcome.name]) for outcome in outcomes):
        own = [outcome for outcome in outcomes if (outcome.table, complete_until[outcome.name]) == (table, until)]
        found |= compute_outcomes_together(own, rows, lake.scan(table), spine.times, until)
    return rows.hstack([column for name, names in named.items() for column in found[name].rename(names)])


def _names(outcome: DeclaredOutcome, *, prefixed: bool) -> dict[str, str]:
    """Return each computed column -> how it is named beside those of other outcomes."""
    shown = {name: f"{outcome.name}_{name}" if prefixed else name for name in outcome.columns}
    return shown | {name: name for name in (outcome.name, outcome.known_at_column)}
