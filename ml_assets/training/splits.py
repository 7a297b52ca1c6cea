"""Train, validation and holdout by prediction time, with a gap in which labels arrive.

A model with intervals learns them from the newest rows of the validation part, which are kept from search and early
stopping: the calibration rows.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.training.evaluation.label_lag import check_gap, label_lag
from ml_assets.training.evaluation.seasonal import Seasons, add_naive, add_naive_error, naive_errors
from ml_assets.training.sampling.groups import OTHER_SIDE, keep_one_side
from ml_assets.training.spec import LabelSpec, ModelSpec, SpineSpec, SplitSpec
from ml_assets.training.tasks import BINARY, Task, find_task
from ml_assets.training.tasks.columns import NAIVE, NAIVE_ERROR

_PART = "__part"
PARTS = ("train", "validation", "calibration", "holdout")
"""In the order of time; ``calibration`` is empty unless a model has intervals."""
_OUTSIDE = ("no_label", "label_not_known", "too_old", "in_gap", "label_too_late", "after_holdout")


@dataclass(frozen=True)
class Bounds:
    """Edges of the parts in prediction time; every part is half-open, ``start <= time < end``.

    Calibration follows validation without a gap: it learns nothing that a prediction could profit from.
    """

    train_start: datetime | None
    train_end: datetime
    validation_start: datetime
    validation_end: datetime
    calibration_start: datetime
    calibration_end: datetime
    holdout_start: datetime
    holdout_end: datetime


@dataclass(frozen=True)
class Split:
    """The parts, sorted by prediction time and key, and what was left out.

    ``dropped`` counts rows by reason: ``no_label`` (null label or null known_at), ``label_not_known``
    (known after the cut-off), ``too_old`` (before the training history), ``in_gap``, ``label_too_late``
    (inside a part, but known only after the next part began: a sign that the gap is too short),
    ``after_holdout``, and where a split by groups is declared ``other_side`` (of an entity whose rows another part
    keeps).
    """

    train: pl.DataFrame
    validation: pl.DataFrame
    calibration: pl.DataFrame
    holdout: pl.DataFrame
    bounds: Bounds
    dropped: dict[str, int]

    @property
    def rows(self) -> dict[str, int]:
        """Rows per part."""
        return {part: getattr(self, part).height for part in PARTS}

    @property
    def without_season(self) -> dict[str, int]:
        """Rows of the holdout without a seasonal naive forecast, and without an error that scales rmsse; nothing where
        no season is declared."""
        columns = [name for name in (NAIVE, NAIVE_ERROR) if name in self.holdout.columns]
        return {f"holdout_without_{name}": self.holdout[name].null_count() for name in columns}


def split_bounds(split: SplitSpec, as_of: datetime, calibration_share: float = 0.0) -> Bounds:
    """Return the edges of the parts, counted backwards from the cut-off ``as_of``.

    ``calibration_share`` of the declared validation, its newest time, is calibration's.

    A gap also lies between the holdout and the cut-off. Without it the newest rows would be in only if
    their label came early, and early labels are not like late ones.
    """
    gap = parse_duration(split.gap)
    holdout_end = as_of - gap
    holdout_start = holdout_end - parse_duration(split.holdout)
    calibration_end = holdout_start - gap
    declared = parse_duration(split.validation)
    calibration_start = calibration_end - calibration_share * declared
    validation_start = calibration_end - declared
    train_end = validation_start - gap
    train_start = None if split.train is None else train_end - parse_duration(split.train)
    return Bounds(
        train_start,
        train_end,
        validation_start,
        calibration_start,
        calibration_start,
        calibration_end,
        holdout_start,
        holdout_end,
    )


def split_by_time(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    spine: SpineSpec,
    label: LabelSpec,
    split: SplitSpec,
    as_of: datetime,
    task: str = BINARY,
    calibration_share: float = 0.0,
    seed: int = 0,
) -> Split:
    """Cut a training set into train, validation, calibration and holdout that share neither rows nor knowledge.

    A row belongs to a part by its prediction time. Its label must be known before the next part begins
    (for the holdout: by ``as_of``), so nothing that fits or chooses a model could not have been known at
    the time.

    Args:
        frame: training set; needs the spine's key and time, the label and its known_at. Labels are
            boolean or 0/1 of a binary task, text, boolean or whole numbers of a multiclass task, numbers of a
            regression.
        as_of: the training cut-off; with a time zone exactly if the time column has one.
        calibration_share: of the validation part's time, 0 to 1; its newest rows are kept for intervals.
        seed: of the draw by which entities of a split by groups are given to a part.

    Raises:
        ValueError: a column is missing or of the wrong type, a part has too few rows or a single class or value,
            or validation or holdout have a class that training lacks.
    """
    of, lazy = find_task(task), frame.lazy()
    schema = lazy.collect_schema()
    _check_columns(schema, spine, label, split.group, as_of, of)
    if as_of.tzinfo is not None:
        as_of = as_of.astimezone(UTC)
    bounds = split_bounds(split, as_of, calibration_share)
    at, known = _moment(spine.time, schema), _moment(label.known_at, schema)
    marked = lazy.with_columns(_part(bounds, at, known, pl.col(label.column), as_of).alias(_PART)).collect()
    if split.group:
        marked = keep_one_side(marked, split, _PART, seed)
    counts = dict(marked.group_by(_PART).len().iter_rows())
    newest = marked.select(at.max()).item()
    order = [spine.time, *spine.key]
    parts = {name: marked.filter(pl.col(_PART) == name).drop(_PART).sort(order) for name in PARTS}
    dropped = {reason: counts.get(reason, 0) for reason in (*_OUTSIDE, *([OTHER_SIDE] if split.group else []))}
    for name, part in parts.items():
        if name == "calibration" and not calibration_share:
            continue
        where = _check_rows(name, part, split, bounds, dropped, newest)
        of.check_labels(name, part[label.column], where)
    of.check_parts({name: part[label.column] for name, part in parts.items()})
    return Split(**parts, bounds=bounds, dropped=dropped)


def split_for_model(frame: pl.DataFrame | pl.LazyFrame, spec: ModelSpec, as_of: datetime) -> Split:
    """Split as a model declares it; see ``split_by_time``.

    With ``baseline.seasonal`` the parts have the columns ``NAIVE`` and ``NAIVE_ERROR`` too: ``evaluation.seasonal``.

    Raises:
        ValueError: also where the declared gap is shorter than labels take.
    """
    schema, of = frame.lazy().collect_schema(), find_task(spec.task)
    _check_columns(schema, spec.spine, spec.label, spec.split.group, as_of, of)
    check_gap(parse_duration(spec.split.gap), spec.split.gap, observed_lag(frame, spec, as_of))
    seasons = Seasons.of(spec)
    if seasons is None:
        return _split(frame, spec, as_of)
    rows = add_naive(frame.lazy().collect(), seasons)
    split = _split(rows, spec, as_of)
    errors = naive_errors(split.train, rows, seasons)
    return replace(split, **{part: add_naive_error(getattr(split, part), errors) for part in PARTS})


def _split(frame: pl.DataFrame | pl.LazyFrame, spec: ModelSpec, as_of: datetime) -> Split:
    return split_by_time(
        frame,
        spine=spec.spine,
        label=spec.label,
        split=spec.split,
        as_of=as_of,
        task=spec.task,
        calibration_share=spec.calibration_share,
        seed=spec.seed,
    )


def observed_lag(frame: pl.DataFrame | pl.LazyFrame, spec: ModelSpec, as_of: datetime) -> timedelta | None:
    """Return the time that 99 % of the labels known at a moment took at the least; None where they are too few to
    tell."""
    schema = frame.lazy().collect_schema()
    moments = {name: _moment(column, schema) for name, column in (("t", spec.spine.time), ("at", spec.label.known_at))}
    labelled = frame.lazy().filter(pl.col(spec.label.column).is_not_null()).select(**moments).collect()
    return label_lag(labelled, time="t", known_at="at", as_of=as_of)


def _moment(name: str, schema: pl.Schema) -> pl.Expr:
    zone = getattr(schema[name], "time_zone", None)
    return pl.col(name) if zone is None else pl.col(name).dt.convert_time_zone("UTC")


def _part(bounds: Bounds, at: pl.Expr, known: pl.Expr, label: pl.Expr, as_of: datetime) -> pl.Expr:
    def inside(start: datetime | None, end: datetime) -> pl.Expr:
        return (at < end) if start is None else (at >= start) & (at < end)

    def part(name: str, next_start: datetime) -> pl.Expr:
        return pl.when(known <= next_start).then(pl.lit(name)).otherwise(pl.lit("label_too_late"))

    too_old = pl.lit(False) if bounds.train_start is None else at < bounds.train_start
    return (
        pl.when(label.is_null() | known.is_null() | at.is_null())
        .then(pl.lit("no_label"))
        .when(known > as_of)
        .then(pl.lit("label_not_known"))
        .when(too_old)
        .then(pl.lit("too_old"))
        .when(inside(bounds.train_start, bounds.train_end))
        .then(part("train", bounds.validation_start))
        .when(inside(bounds.validation_start, bounds.validation_end))
        .then(part("validation", bounds.holdout_start))
        .when(inside(bounds.calibration_start, bounds.calibration_end))
        .then(part("calibration", bounds.holdout_start))
        .when(inside(bounds.holdout_start, bounds.holdout_end))
        .then(pl.lit("holdout"))
        .when(at >= bounds.holdout_end)
        .then(pl.lit("after_holdout"))
        .otherwise(pl.lit("in_gap"))
    )


def _check_columns(
    schema: pl.Schema, spine: SpineSpec, label: LabelSpec, group: list[str], as_of: datetime, task: Task
) -> None:
    needed = [*spine.key, spine.time, label.column, label.known_at, *group]
    missing = [name for name in needed if name not in schema]
    if missing:
        raise ValueError(
            f"training set lacks the columns {missing}: check spine, label and split.group in the model's declaration"
        )
    for name in (spine.time, label.known_at):
        dtype = schema[name]
        if not isinstance(dtype, pl.Datetime):
            raise ValueError(f"training set column {name} is {dtype}, it must be a Datetime")
        if (dtype.time_zone is None) != (as_of.tzinfo is None):
            raise ValueError(f"column {name} is {dtype} but as_of is {as_of!r}: give both a time zone, or neither")
    task.check_label_type(label.column, schema[label.column])


def _check_rows(
    name: str, part: pl.DataFrame, split: SplitSpec, bounds: Bounds, dropped: dict[str, int], newest: datetime | None
) -> str:
    """Raise ValueError if a part has too few rows; returns a description of the part."""
    start, end = getattr(bounds, f"{name}_start"), getattr(bounds, f"{name}_end")
    where = f"the {name} part (prediction time {start or 'beginning'} to {end})"
    if part.height < split.min_rows and newest is not None and start is not None and newest < start:
        raise ValueError(
            f"{where} has no rows: the newest of all is at {newest}, before it begins. Bring the rows up to the "
            "cut-off, or choose an earlier one. Those of a made spine end with the drops of the table that it "
            "`follows`, or else of its `entities.table`: where that is cut by when entities began, name in `follows` "
            "one whose drops go on"
        )
    if part.height < split.min_rows:
        left_out = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
        raise ValueError(
            f"{where} has {part.height} rows with a known label, fewer than split.min_rows = {split.min_rows}"
            f" (left out: {left_out or 'nothing'}): change split.{_DECLARED.get(name, name)}, split.gap,"
            " split.min_rows or the cut-off"
        )
    return where


_DECLARED = {"calibration": "validation"}  # a part that is cut from another's declared length
