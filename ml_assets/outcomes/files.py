"""Outcomes of a spine's rows, computed part by part and written to files, with a sample to audit and counts."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from ml_assets.features.digests.inputs import INPUTS
from ml_assets.outcomes.digests import digest_outcome
from ml_assets.outcomes.engine.compute import OutcomePart, compute_outcomes_in_parts
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.outcomes.stored import stored_outcomes

AUDITED_ROWS = 50
"""Rows that are recomputed one by one at each materialization."""


@dataclass
class LabelCounts:
    """How many rows have a label, and why others have none.

    Attributes:
        known: rows with a label.
        pending: rows whose label is not known yet.
        undefined: rows that will have none, as the label of their aggregates is null.
        without_entity: rows that lack a key.
        facts_too_late: facts in a window that became known after its label had settled, once per entity and window.
    """

    known: int = 0
    pending: int = 0
    undefined: int = 0
    without_entity: int = 0
    facts_too_late: int = 0
    total: float = field(default=0.0, repr=False)

    @property
    def mean(self) -> float | None:
        """Mean of the labels known; of a yes or no the share of yes; None for text, and where none is known."""
        return self.total / self.known if self.known and self.total == self.total else None

    def add(self, outcome: OutcomeSpec, part: OutcomePart, complete_until: datetime | None) -> None:
        """Count the rows of a part."""
        label, due = part.outcomes[outcome.name], part.outcomes[outcome.known_at_column]
        lacks = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_null() for name in outcome.spine_entity))
        nobody = part.rows.with_columns(lacks.alias("nobody"))["nobody"]
        waits = due > complete_until if complete_until is not None else pl.repeat(True, label.len(), eager=True)
        without = label.is_null() & ~nobody
        self.known += label.len() - label.null_count()
        self.pending += int((without & waits).sum())
        self.undefined += int((without & ~waits).sum())
        self.without_entity += int(nobody.sum())
        self.facts_too_late += part.too_late
        number = label.dtype == pl.Boolean or label.dtype.is_numeric()
        self.total += float(label.cast(pl.Float64).sum()) if number else float("nan")


@dataclass(frozen=True)
class ComputedOutcomes:
    """What was computed of a spine's rows.

    Attributes:
        stored: the rows to store, lazily from files.
        rows: some rows of the spine, drawn at random, with all columns read.
        outcomes: the outcomes of these rows.
        counts: of all rows.
        complete_until: the moment up to which the facts were complete.
    """

    stored: pl.LazyFrame
    rows: pl.DataFrame
    outcomes: pl.DataFrame
    counts: LabelCounts
    complete_until: datetime | None


def compute_to_files(
    outcome: OutcomeSpec,
    rows: pl.LazyFrame,
    facts: pl.LazyFrame,
    folder: Path,
    *,
    by: list[str],
    times: OutcomeTimes,
    complete_until: datetime | None,
) -> ComputedOutcomes:
    """Compute the outcomes of a spine's rows.

    Args:
        rows: of the spine, with the columns `by`.
        facts: the outcome's table.
        folder: an empty folder for what is to be stored, as large as that.
        by: the columns by which an outcome is found again; the drop is the first.
        complete_until: as `compute_outcomes_in_parts` takes it.
    """
    counts, samples = LabelCounts(), []
    digests = digest_outcome(outcome, rows, facts, times, partition=by[0], until=complete_until)
    of_drop = pl.col(by[0]).replace_strict(digests, default=None, return_dtype=pl.String).alias(INPUTS)
    for number, part in enumerate(compute_outcomes_in_parts([outcome], rows, facts, times, complete_until)):
        stored_outcomes(outcome, part, by, complete_until).with_columns(of_drop).write_ipc(folder / f"{number}.arrow")
        counts.add(outcome, part, complete_until)
        drawn = _draw(part.rows.height)
        samples.append((part.rows[drawn], part.outcomes[drawn]))
    sampled, outcomes = (pl.concat(side) for side in zip(*samples, strict=True))
    drawn = _draw(sampled.height)
    return ComputedOutcomes(pl.scan_ipc(folder), sampled[drawn], outcomes[drawn], counts, complete_until)


def _draw(height: int) -> pl.Series:
    return pl.int_range(height, eager=True).sample(min(AUDITED_ROWS, height), seed=0)


def facts_left_out(outcome: OutcomeSpec, facts: pl.LazyFrame) -> dict[str, Any]:
    """Count the facts that no outcome can use, by the column that they have no value of."""
    needed = [*outcome.entity, *filter(None, (outcome.happened_at, outcome.known_at))]
    nulls = facts.select(pl.col(dict.fromkeys(needed)).null_count()).collect(engine="streaming").row(0, named=True)
    return {f"without {name}": count for name, count in nulls.items() if count}
