"""Which stored outcomes could say more by now: labels that have settled since, and facts that were corrected."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.features.digests.inputs import INPUTS, changed_inputs
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.stored import DECLARATION
from ml_assets.outcomes.digests import digest_outcome
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.outcomes.stored import COMPLETE_UNTIL, outcome_declaration

_DROP = "__drop__"


def due_drops(
    outcome: OutcomeSpec,
    stored: pl.LazyFrame,
    spine: pl.LazyFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    *,
    partition: str,
    complete_until: datetime | None,
) -> dict[str, str]:
    """Return the stored drops that are due to be computed again, with what makes them due.

    A drop is due if the moment has passed at which a label that it stores as unknown is known, or, of labels known
    early, at which the aggregates beside one are known; if another declaration stored it; and if the facts of its
    windows are others than those that its known labels were computed from: corrected, removed, or added, be it too late
    to be used. Of an outcome that is known early every new fact of the windows of a drop that waits is one. A drop that
    has just been computed is not due.

    Args:
        stored: the stored outcomes.
        spine: rows of the spine of at least the stored drops, with partition, entity and times.
        facts: the outcome's table.
        partition: the spine's column of drops.
        complete_until: the moment up to which the table holds every fact now.

    Returns:
        Drop -> a text that is another one whenever the drop is due for another reason, or of newer facts.
    """
    drops = _drops(outcome, stored, times, partition, complete_until)
    own = {drop: row for drop, row in drops.items() if row["own"]}
    due = {drop: "declared otherwise" for drop in drops if drop not in own}
    now = "never" if complete_until is None else complete_until.isoformat()
    due |= {drop: f"settled by {now}" for drop, row in own.items() if row["settled"]}
    for until, drops_alike in _compared(outcome, own, complete_until).items():
        stored_inputs = {drop: own[drop][INPUTS] for drop in drops_alike if drop not in due}
        due |= _changed(outcome, stored_inputs, spine, facts, times, partition, until)
    return dict(sorted(due.items()))


def _compared(
    outcome: OutcomeSpec, drops: Mapping[str, dict[str, Any]], now: datetime | None
) -> dict[datetime | None, list[str]]:
    """Group the drops with labels by the moment up to which their facts are compared.

    Those of a drop that has settled do not grow any more, so that they are compared as they are now: one pass for all.
    While it settles, only what it was computed from is. Without a known label there is nothing to compare.
    """
    groups: dict[datetime | None, list[str]] = {}
    for drop, row in drops.items():
        if outcome.early or not row["waits"]:
            groups.setdefault(now, []).append(drop)
        elif row["some"]:
            groups.setdefault(row["until"], []).append(drop)
    return groups


def _drops(
    outcome: OutcomeSpec, stored: pl.LazyFrame, times: OutcomeTimes, partition: str, complete_until: datetime | None
) -> Mapping[str, dict[str, Any]]:
    """Summarise each stored drop: whether this declaration stored it, up to when, and which labels wait."""
    there = stored.collect_schema().names()
    if not {DECLARATION, COMPLETE_UNTIL, INPUTS, outcome.known_at_column} <= {*there}:
        names = stored.select(pl.col(partition).unique()).collect().to_series()
        return {name: {"own": False} for name in names}
    known_at, until = pl.col(outcome.known_at_column), pl.col(COMPLETE_UNTIL)
    waits = (known_at > until).fill_null(True)
    # Aggregates wait for the end of the window, whenever the label is known.
    settled_at = times.end(outcome) + outcome.delay if outcome.early else known_at
    now = pl.lit(complete_until, MOMENT)
    summary = stored.group_by(pl.col(partition).alias(_DROP)).agg(
        own=(pl.col(DECLARATION) == outcome_declaration(outcome)).all(),
        until=until.min(),
        settled=((waits & (known_at <= now)) | ((settled_at > until).fill_null(True) & (settled_at <= now))).any(),
        waits=waits.any(),
        some=(~waits).any(),
        inputs=pl.col(INPUTS).first(),
    )
    rows = summary.rename({"inputs": INPUTS}).collect(engine="streaming").rows_by_key(_DROP, named=True, unique=True)
    return {str(drop): row for drop, row in rows.items()}


def _changed(
    outcome: OutcomeSpec,
    stored: Mapping[str, str | None],
    spine: pl.LazyFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    partition: str,
    until: datetime | None,
) -> dict[str, str]:
    """Return the drops whose inputs, as known by a moment, are no longer those that they were computed from."""
    if not stored:
        return {}
    rows = spine.filter(pl.col(partition).is_in(list(stored)))
    current = digest_outcome(outcome, rows, facts, times, partition=partition, until=until)
    return {drop: f"other facts: {current[drop]}" for drop in changed_inputs(stored, current)}
