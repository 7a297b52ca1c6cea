"""A model's declaration, inferred from the spine's table and the views that are declared for the spine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.declared import (
    ExistingDeclarations,
    SpineFields,
    check_column,
    check_moment,
    named,
    only,
)
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.scaffolding.label import the_label
from ml_assets.scaffolding.outcome import label_dtype
from ml_assets.scaffolding.samples.sample import read_history
from ml_assets.training.tasks import TASKS, find_task, suggest_task

DEFAULT_SPLIT = {"validation": "28d", "holdout": "28d", "gap": "1d"}
SHARES = {"validation": 0.15, "holdout": 0.2}
"""Shares of the history that the parts take where the history is at hand; 28 days each at most."""

MOST_DAYS = 28

LEAST_ROWS = 30
"""Of a chunk that is watched, however few there are: with fewer a metric is noise."""


@dataclass(frozen=True)
class NewModel:
    """A model to be declared: fields of the spec and, by path, what to say about their values."""

    values: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelColumns:
    """Where the outcome stands in the spine's table.

    Attributes:
        column: the outcome; None where only its name is known.
        name, known_at: names of the columns.
        known_note: how `known_at` was inferred.
        after: how long after the row's time a declared outcome is known; None of a label in columns.
    """

    column: Column | None
    name: str
    known_at: str
    known_note: str = ""
    after: timedelta | None = None

    @property
    def values(self) -> dict[str, str]:
        """The label as a model declares it."""
        return {"column": self.name, "known_at": self.known_at} if self.after is None else {"outcome": self.name}


def infer_label(
    declared: ExistingDeclarations, spine: SpineFields, label: str = "", known_at: str = "", outcome: str = ""
) -> LabelColumns:
    """Return what is predicted: as given, the declared outcome of the spine, as the contract marks it, or the only
    columns that it can be.

    Args:
        label, known_at: columns of the spine's table.
        outcome: a declared outcome instead.

    Raises:
        ScaffoldError: it cannot be inferred.
    """
    of_spine = [name for name, declared_one in declared.outcomes.items() if declared_one.spine == spine.name]
    if outcome or (of_spine and not label):
        return _of_outcome(declared, spine, outcome, of_spine)
    columns = declared.columns_of(spine.table)
    if spine.entities is not None:
        raise ScaffoldError(
            f"rows of {spine.name} are made, so that what comes of them has to be declared first: `dg scaffold defs "
            "ml_assets.Outcome`"
        )
    if not columns:
        missing = [option for option, given in (("--label", label), ("--known-at", known_at)) if not given]
        if missing:
            raise ScaffoldError(
                f"the columns of {spine.table} are not known, as no source declares them: give {' and '.join(missing)}"
            )
        return LabelColumns(None, label, known_at)
    marked = check_column("--label", label, columns) if label else the_label(columns, spine.table)
    known, note = _known_at(columns, spine, known_at)
    return LabelColumns(marked, marked.name, known.name, note)


def _of_outcome(declared: ExistingDeclarations, spine: SpineFields, outcome: str, of_spine: list[str]) -> LabelColumns:
    if outcome and outcome not in of_spine:
        there = ", ".join(of_spine) or "none"
        raise ScaffoldError(f"--outcome: {outcome!r} is no outcome of spine {spine.name}; there are {there}")
    chosen = declared.outcomes[outcome or only("outcome", "outcome", of_spine)]
    dtype = label_dtype(declared, chosen)
    column = None if dtype is None else Column(chosen.name, dtype, nullable=True)
    after = chosen.known_after(spine.horizons)
    return LabelColumns(column, chosen.name, chosen.known_at_column, after=after)


def _known_at(columns: list[Column], spine: SpineFields, given: str) -> tuple[Column, str]:
    if given:
        return check_moment("--known-at", check_column("--known-at", given, columns), spine.table), ""
    marked = [column for column in columns if column.role == "label_known_at"]
    others = [column for column in columns if column.is_moment and column.name != spine.time]
    candidates = marked or others
    if len(candidates) == 1:
        note = "" if marked else "Inferred: the only other moment of the row."
        return check_moment("--known-at", candidates[0], spine.table), note
    if candidates:
        raise ScaffoldError(f"when the outcome is known cannot be told: give --known-at, one of {named(candidates)}")
    own = check_column("--known-at", spine.time, columns)
    return own, (
        "No column says when the outcome was known, so it is taken to be known at once. If it takes time, have that "
        "moment delivered: evaluation and monitoring would otherwise count on labels too early."
    )


def infer_model(
    name: str,
    spine: SpineFields,
    label: LabelColumns,
    views: Sequence[str],
    task: str = "",
    history: pl.DataFrame | None = None,
) -> NewModel:
    """Return the declaration, with a split that fits the history where it is at hand.

    Args:
        history: the spine's time, and of a label in columns the label and its known_at, if they can be read.

    Raises:
        ScaffoldError: the task cannot be inferred.
    """
    values = None if history is None or label.after is not None else history[label.name]
    task = task or (label.column and suggest_task(label.column.dtype, values)) or ""
    if not task:
        raise ScaffoldError(
            f"whether {label.name} is a class or a number cannot be told: give --task, one of "
            f"{', '.join(TASKS.names())}"
        )
    split, split_note = _split(spine, label, history)
    of = find_task(task)
    metric = None if values is None else of.suggest_metric(values.drop_nulls())
    declared = {
        "name": name,
        "description": f"{of.described} {label.name} is, for each row of {spine.table}.",
        "task": task,
        "spine": spine.name,
        "label": label.values,
        "features": list(views),
        "split": split,
    }
    notes = {"label.known_at": label.known_note, "split": split_note}
    if metric is not None:
        declared["metric"] = metric
        notes["metric"] = "Few outcomes are positive: this metric goes by them."
    watched, notes["monitoring"] = _watched(spine, history)
    if watched:
        declared["monitoring"] = watched
    return NewModel(declared, notes)


def _watched(spine: SpineFields, history: pl.DataFrame | None) -> tuple[dict[str, Any], str]:
    """Return chunks that hold enough rows to be watched, where a week has fewer than the default asks for."""
    default = MonitoringSpec().min_chunk_rows
    if history is None or history.is_empty() or spine.entities is not None:
        return {}, ""  # how many rows will be made is not known yet
    weeks = history.group_by(pl.col(spine.time).dt.truncate("1w")).len()["len"].to_list()
    usual = int(np.median(weeks))
    if usual >= 1.2 * default:
        return {}, ""
    long = usual < 0.2 * default
    rows = usual * (4 if long else 1)
    note = f"A week has about {usual} rows, and the default of {default} would leave it unwatched."
    return {**({"chunk": "28d"} if long else {}), "min_chunk_rows": max(LEAST_ROWS, rows // 2)}, note


def read_rows(declared: ExistingDeclarations, spine: SpineFields, label: LabelColumns) -> pl.DataFrame | None:
    """Read the spine's time, and a label in columns, of rows that can be read without a run; None where there are none.

    Of made rows the time is that of the rows which they come with: both cover the same history.
    """
    source = declared.source_of(spine.comes_with or spine.table)
    if source is None:
        return None
    if spine.entities is not None:
        column = source.drops.column
        times = read_history(source, [column]) if column else None
        return times.rename({column: spine.time}) if column and times is not None else None
    of_label = [label.name, label.known_at] if label.after is None else []
    return read_history(source, [spine.time, *of_label])


def check_no_leak(declared: ExistingDeclarations, label: LabelColumns, views: Sequence[str]) -> None:
    """Raise ScaffoldError if a view has a feature of the label's name."""
    for name in views:
        view = declared.views.get(name)
        if view is not None and label.name in view.feature_names:
            raise ScaffoldError(
                f"{label.name} is the label and a feature of view {name}: take it out of the view, or give another "
                "--label"
            )


def _split(spine: SpineFields, label: LabelColumns, history: pl.DataFrame | None) -> tuple[dict[str, str], str]:
    if label.after is not None:
        return _split_around(label.after, spine, history)
    if history is None or history.is_empty():
        return DEFAULT_SPLIT, "A guess, as no rows could be read: the gap is how long a label takes."
    time = pl.col(spine.time)
    spans = history.select(age=time.max() - time, delay=pl.col(label.known_at) - time)
    span = _days_of(_longest(spans["age"]))
    parts = {part: f"{max(1, min(MOST_DAYS, int(span * share)))}d" for part, share in SHARES.items()}
    delay = _longest(spans["delay"])
    gap = f"{_days_of(delay)}d"
    note = f"Told from {history.height} rows over {span} days; the slowest label took {_duration_text(delay)}."
    return {**parts, "gap": gap}, note


def _split_around(after: timedelta, spine: SpineFields, history: pl.DataFrame | None) -> tuple[dict[str, str], str]:
    """Return the split of an outcome that is known so long after its row: a gap before each part and the cut-off."""
    gap = _days_of(after)
    taken = (
        f"The gap is how long the outcome takes: window, or longest horizon, and what it needs to settle, {gap} days"
    )
    if history is None or history.is_empty():
        return {**DEFAULT_SPLIT, "gap": f"{gap}d"}, f"{taken}; the rest is a guess, as no rows could be read."
    left = _days_of(_longest(history.select(age=pl.col(spine.time).max() - pl.col(spine.time))["age"])) - 3 * gap
    parts = {part: f"{max(1, min(MOST_DAYS, int(left * share)))}d" for part, share in SHARES.items()}
    note = f"{taken}. Three of these leave {max(left, 0)} days of the history to learn from, validate and hold out"
    return {**parts, "gap": f"{gap}d"}, f"{note}{'.' if left > 0 else ': too few to train on yet.'}"


def _longest(spans: pl.Series) -> timedelta:
    """Return the longest duration; none where there are only nulls."""
    longest = spans.drop_nulls().max()
    return longest if isinstance(longest, timedelta) else timedelta(0)


def _duration_text(delay: timedelta) -> str:
    hours = delay / timedelta(hours=1)
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def _days_of(span: timedelta) -> int:
    """Return whole days that the span fits into, at least one."""
    return max(1, -(-span // timedelta(days=1)))
