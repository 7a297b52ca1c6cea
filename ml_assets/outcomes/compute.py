"""What came of the rows of a spine, as far as it can be known at a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.features.derived import finite, parse_derived
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.engine.parts import ROWS_IN_MEMORY, ComputedPart, compute_features_in_parts
from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import evaluate
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.late import MOMENT_NUMBER, LateFacts
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.outcomes.times import OutcomeTimes, check_rows
from ml_assets.outcomes.windows import END, SETTLED_AT, declared_names, facts_of, rename_window, window_view


@dataclass(frozen=True)
class OutcomePart:
    """Outcomes of some rows of a spine.

    Attributes:
        rows: rows of the spine, with all their columns.
        outcomes: the outcome's `columns`, the label under its name, `known_at_column`; row for row.
        too_late: facts that lie in a window and became known only after the row's label had settled; a fact counts once
            for each entity and moment.
    """

    rows: pl.DataFrame
    outcomes: pl.DataFrame
    too_late: int


def compute_outcomes(
    outcome: OutcomeSpec, spine: pl.DataFrame, facts: pl.LazyFrame, times: OutcomeTimes, complete_until: datetime | None
) -> pl.DataFrame:
    """Compute what `compute_outcomes_in_parts` does, in the spine's order: the columns of `OutcomePart.outcomes`."""
    numbered = spine.with_row_index(_ROW).lazy()
    parts = list(compute_outcomes_in_parts(outcome, numbered, facts, times, complete_until))
    computed = pl.concat(part.rows.select(_ROW).hstack(part.outcomes) for part in parts)
    return computed.sort(_ROW).drop(_ROW)


_ROW = "__row__"


def compute_outcomes_in_parts(
    outcome: OutcomeSpec,
    spine: pl.LazyFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    complete_until: datetime | None,
    *,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Iterator[OutcomePart]:
    """Compute the outcome of every row from the facts of its window that were known when its label settled.

    The label of a row is known at the end of its window plus `settles`; with `early` at the moment at which the first
    fact was known that settles it, if that is earlier. Where that moment lies after `complete_until`, or the row has no
    entity, the label is null; aggregates are null until the window has settled. `known_at_column` holds the moment
    at which the label is known, or will be at the latest.

    Args:
        outcome: what to compute.
        spine: `outcome.spine_entity` and the times, Datetime("us", "UTC") without nulls; further columns are handed
            back.
        facts: the outcome's table, in any order.
        times: the spine's columns of times.
        complete_until: the moment up to which the table holds every fact; None where it holds none.
        rows_in_memory: as the feature engine takes it.

    Yields:
        Parts that hold every spine row once, in no order.

    Raises:
        OutcomeError: a column is missing or has the wrong type, or an expression fails or reaches across rows.
    """
    with _as_outcome(outcome):
        check_rows(outcome, spine, times)
        counted = facts_of(outcome, facts)
        for own, rows in times.windows(outcome, spine):
            for part, too_late in _windows(own, rows, counted, rows_in_memory):
                yield _finished(own, part, times, complete_until, too_late)


def _windows(
    outcome: OutcomeSpec, rows: pl.LazyFrame, facts: pl.LazyFrame, rows_in_memory: int
) -> Iterator[tuple[ComputedPart, int]]:
    """Yield what the engine makes of windows of one length, each part with the facts that were too late for it."""
    late, view = LateFacts.find(outcome, rows, facts), window_view(outcome)
    for part in compute_features_in_parts(view, late.untouched, facts, time=END, rows_in_memory=rows_in_memory):
        yield part, 0
    if late.moments.height:
        too_late = late.too_late
        by_moment = compute_features_in_parts(
            late.view(view), late.touched, late.known_in_time, time=END, rows_in_memory=rows_in_memory
        )
        for part in by_moment:
            yield part, too_late
            too_late = 0


def _finished(
    outcome: OutcomeSpec, part: ComputedPart, times: OutcomeTimes, complete_until: datetime | None, too_late: int
) -> OutcomePart:
    """Add label and moment to what the engine has computed, and hide what is not known yet."""
    rows = part.rows
    aggregates = rename_window(outcome, part.features, rows[times.time])
    # A label that divides by zero, or is no finite number, is undefined.
    label = finite(evaluate(outcome.name, aggregates, {outcome.name: outcome.label}, parse_derived)).to_series()
    settled_at = (rows[END] + outcome.delay).alias("settled_at")
    known_at = settled_at
    if outcome.early:
        known_at = pl.select(pl.min_horizontal(aggregates[SETTLED_AT], settled_at)).to_series()
    until = pl.lit(complete_until, MOMENT)
    has_entity = pl.all_horizontal(pl.lit(True), *(rows[name].is_not_null() for name in outcome.spine_entity))
    outcomes = aggregates.lazy().select(
        pl.when((pl.lit(settled_at) <= until) & has_entity).then(pl.col(name)).alias(name) for name in outcome.columns
    )
    outcomes = outcomes.with_columns(
        pl.when((pl.lit(known_at) <= until) & has_entity).then(pl.lit(label)).alias(outcome.name),
        pl.lit(known_at).alias(outcome.known_at_column),
    ).collect()
    return OutcomePart(rows.drop(END, MOMENT_NUMBER, strict=False), outcomes, too_late)


@contextmanager
def _as_outcome(outcome: OutcomeSpec) -> Iterator[None]:
    """Turn what the engine says of its view into what is said of the outcome."""
    try:
        yield
    except FeatureError as error:
        message = str(error).replace(f"feature view {outcome.name!r}", f"outcome {outcome.name!r}")
        for internal, declared in declared_names(outcome).items():
            message = message.replace(internal, declared)
        raise OutcomeError(message) from error
