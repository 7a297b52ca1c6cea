"""Which stored outcomes can be known by now that were not when they were computed."""

from datetime import datetime

import polars as pl

from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.outcomes.stored import COMPLETE_UNTIL


def drops_to_settle(
    outcome: OutcomeSpec, stored: pl.LazyFrame | None, *, partition: str, until: datetime | None
) -> list[str]:
    """Return the drops, in order, of which a row's label was not due yet when it was computed, and is due now.

    Args:
        stored: the stored outcomes; None where there are none.
        partition: the column of drops.
        until: the moment up to which the facts are complete now; None: no facts.
    """
    if stored is None or until is None or COMPLETE_UNTIL not in stored.collect_schema():
        return []
    due, before = pl.col(outcome.known_at_column), pl.col(COMPLETE_UNTIL)
    waited = (due > before).fill_null(True) & (due <= until)
    return sorted(stored.filter(waited).select(pl.col(partition).unique()).collect(engine="streaming").to_series())
