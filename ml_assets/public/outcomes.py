"""What came of any rows, as far as the facts in a lake tell."""

from datetime import datetime

import polars as pl

from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.outcomes.compute import compute_outcomes
from ml_assets.public.rows import with_moments


def outcomes_of(
    lake: Lake, outcome: DeclaredOutcome, spine: DeclaredSpine, rows: pl.DataFrame, complete_until: datetime | None
) -> pl.DataFrame:
    """Compute the outcome of rows from the facts of the window after each row's time.

    Args:
        rows: the spine's time column, the entity as the spine names it and, of a spine with horizons, the moment that
            a row looks ahead to.
        complete_until: the moment up to which the facts are complete; None where there are none.

    Returns:
        The rows in their order and with all their columns, the outcome's aggregates, the outcome, and the moment at
        which it is known.

    Raises:
        ValueError: a column of the rows has the name of one that is computed.
        OutcomeError: a column is missing or has the wrong type.
        TableMissing: the outcome's table is not in the lake.
    """
    computed = [*outcome.columns, outcome.name, outcome.known_at_column]
    if taken := [name for name in computed if name in rows.columns]:
        raise ValueError(f"the rows hold {', '.join(taken)}, which are computed: drop or rename them first")
    for column in (spine.time, spine.target_at):
        rows = rows if column is None else with_moments(rows, column)
    return rows.hstack(compute_outcomes(outcome, rows, lake.scan(outcome.table), spine.times, complete_until))
