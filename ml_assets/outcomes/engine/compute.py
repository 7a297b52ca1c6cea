"""What came of the rows of a spine, as far as it can be known at a moment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.features.derived import finite, parse_derived
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.engine.parts import ROWS_IN_MEMORY, ComputedPart, compute_features_in_parts
from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import evaluate
from ml_assets.outcomes.engine.late import MOMENT_NUMBER, LateFacts
from ml_assets.outcomes.engine.times import OutcomeTimes, check_rows
from ml_assets.outcomes.engine.windows import (
    END,
    SETTLED_AT,
    OutcomeWindow,
    alike,
    declared_names,
    facts_of,
    rename_window,
    window_view,
)
from ml_assets.outcomes.errors import OutcomeError
from ml_assets.outcomes.spec import OutcomeSpec


@dataclass(frozen=True)
class OutcomePart:
    """An outcome of some rows of a spine.

    Attributes:
        name: name of the outcome.
        rows: rows of the spine, with all their columns.
        outcomes: the outcome's `columns`, the label under its name, `known_at_column`; row for row.
        too_late: facts that lie in a window and became known only after the row's label had settled; a fact counts once
            for each entity and moment.
    """

    name: str
    rows: pl.DataFrame
    outcomes: pl.DataFrame
    too_late: int


def compute_outcomes(
    outcome: OutcomeSpec, spine: pl.DataFrame, facts: pl.LazyFrame, times: OutcomeTimes, complete_until: datetime | None
) -> pl.DataFrame:
    """Compute what `compute_outcomes_in_parts` does, in the spine's order: the columns of `OutcomePart.outcomes`."""
    return compute_outcomes_together([outcome], spine, facts, times, complete_until)[outcome.name]


def compute_outcomes_together(
    outcomes: Sequence[OutcomeSpec],
    spine: pl.DataFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    complete_until: datetime | None,
) -> dict[str, pl.DataFrame]:
    """Compute several outcomes, by name, each as `compute_outcomes` does."""
    numbered = spine.with_row_index(_ROW).lazy()
    parts: dict[str, list[pl.DataFrame]] = {outcome.name: [] for outcome in outcomes}
    for part in compute_outcomes_in_parts(outcomes, numbered, facts, times, complete_until):
        parts[part.name].append(part.rows.select(_ROW).hstack(part.outcomes))
    return {name: pl.concat(computed).sort(_ROW).drop(_ROW) for name, computed in parts.items()}


_ROW = "__row__"


def compute_outcomes_in_parts(
    outcomes: Sequence[OutcomeSpec],
    spine: pl.LazyFrame,
    facts: pl.LazyFrame,
    times: OutcomeTimes,
    complete_until: datetime | None,
    *,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Iterator[OutcomePart]:
    """Compute outcomes of every row from the facts of its windows that were known when the labels settled.

    The label of a row is known at the end of its window plus `settles`; with `early` at the moment at which the first
    fact was known that settles it, if that is earlier. Where that moment lies after `complete_until`, or the row has no
    entity, the label is null; aggregates are null until the window has settled. `known_at_column` holds the moment
    at which the label is known, or will be at the latest.

    Outcomes of the same facts and entity share one pass over them, whatever their windows and labels.

    Args:
        outcomes: what to compute, of one table; each name once.
        spine: `spine_entity` of each and the times, Datetime("us", "UTC") without nulls; further columns are handed
            back.
        facts: the outcomes' table, in any order.
        times: the spine's columns of times.
        complete_until: the moment up to which the table holds every fact; None where it holds none.
        rows_in_memory: as the feature engine takes it.

    Yields:
        Parts that hold, of each outcome, every spine row once, in no order.

    Raises:
        OutcomeError: a column is missing or has the wrong type, or an expression fails or reaches across rows.
    """
    for group in alike(outcomes):
        with _as_outcome(group):
            check_rows(group[0], spine, times)
            counted = facts_of(group, facts)
            for windows, rows in times.windows(group, spine):
                late = [LateFacts.find(window, rows, facts_of([window.outcome], facts)) for window in windows]
                view = window_view(windows)
                for part in compute_features_in_parts(view, rows, counted, time=END, rows_in_memory=rows_in_memory):
                    for window, found in zip(windows, late, strict=True):
                        yield _finished(window, found.untouched(part), times, complete_until, 0)
                for found in late:
                    yield from _of_late(found, times, complete_until, rows_in_memory)


def _of_late(
    late: LateFacts, times: OutcomeTimes, complete_until: datetime | None, rows_in_memory: int
) -> Iterator[OutcomePart]:
    """Yield the outcome of the rows that a fact was too late for, from the facts that were not."""
    if not late.moments.height:
        return
    too_late, window = late.too_late, OutcomeWindow(late.outcome)
    by_moment = compute_features_in_parts(
        late.view(window_view([window])), late.touched, late.known_in_time, time=END, rows_in_memory=rows_in_memory
    )
    for part in by_moment:
        yield _finished(window, part, times, complete_until, too_late)
        too_late = 0


def _finished(
    window: OutcomeWindow, part: ComputedPart, times: OutcomeTimes, complete_until: datetime | None, too_late: int
) -> OutcomePart:
    """Add label and moment to what the engine has computed, and hide what is not known yet."""
    outcome, rows = window.outcome, part.rows
    aggregates = rename_window(window, part.features, rows[times.time])
    # A label that divides by zero, or is no finite number, is undefined.
    label = finite(evaluate(outcome.name, aggregates, {outcome.name: outcome.label}, parse_derived)).to_series()
    settled_at = rows.select((window.end + outcome.delay).alias("settled_at")).to_series()
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
    return OutcomePart(outcome.name, rows.drop(END, MOMENT_NUMBER, strict=False), outcomes, too_late)


@contextmanager
def _as_outcome(outcomes: Sequence[OutcomeSpec]) -> Iterator[None]:
    """Turn what the engine says of its view into what is said of the outcomes."""
    try:
        yield
    except FeatureError as error:
        message = str(error)
        views = {f"feature view {outcome.name!r}": f"outcome {outcome.name!r}" for outcome in outcomes}
        for internal, declared in {**declared_names(outcomes), **views}.items():
            message = message.replace(internal, declared)
        raise OutcomeError(message) from error
