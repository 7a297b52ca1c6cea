"""A view's features for a spine and a table larger than memory: the same values, computed part by part."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ml_assets.features.declared.plans import PlanSpec
from ml_assets.features.engine.checks import check_spine_columns, check_table, check_times
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.engine.reach import reachable
from ml_assets.features.engine.time_ranges import Extent, time_ranges
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

ROWS_IN_MEMORY = 4_000_000
"""Spine and table rows that are computed at once: about 1 GB with some ten features, 3 GB with a hundred."""

_MOST_FILES = 256
# A column of this name is left out of the files, so it must not be one of the spine's.
_PART = "__part__"


@dataclass(frozen=True)
class ComputedPart:
    """Features of some rows of a spine.

    Attributes:
        rows: rows of the spine, with all their columns.
        features: what `compute_features` gives for them, one row per row.
    """

    rows: pl.DataFrame
    features: pl.DataFrame


def compute_features_in_parts(
    view: FeatureViewSpec,
    spine: pl.LazyFrame,
    events: pl.LazyFrame | None,
    *,
    time: str,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Iterator[ComputedPart]:
    """Compute a view's features exactly as `compute_features` does, for frames that need not fit memory.

    If spine and table have more than `rows_in_memory` rows together, both are written to a temporary folder (under
    `TMPDIR`), divided by a hash of the entity, so that an entity's rows lie in one part. A part that is still too
    large, for want of entities, is divided by time: a range takes along the rows of its look-back, for `latest`
    without ttl the last row of each entity, and planned facts that may still hold. What is held at once is bounded by
    `rows_in_memory`, one look-back and these.

    Args:
        view: what to compute.
        spine: as `compute_features` takes it; further columns are handed back.
        events: the view's table; None for a view without a table.
        time: the spine's time column.
        rows_in_memory: how many rows of spine and table are computed at once.

    Yields:
        Parts that hold every spine row once: in the spine's order if there is one part, else in no order. Number the
        spine's rows in a column of their own if the order is needed back.

    Raises:
        FeatureError: as `compute_features`; what only a row can break, when the first part that has it is computed.
    """
    check_spine_columns(view, spine.collect_schema(), time)
    extent = Extent.of(spine, time)
    check_times(view, time, missing=extent.missing, rows=extent.rows)
    facts = _facts(view, events, extent)
    rows = extent.rows + (0 if facts is None else _count(facts))
    if rows <= rows_in_memory or not extent.rows:
        yield _compute(view, spine.collect(), facts, time)
        return
    with TemporaryDirectory(prefix="ml_assets-features-") as folder:
        for part in _divide(view, spine, facts, rows, rows_in_memory, Path(folder)):
            yield from _compute_by_time(view, part, time, rows_in_memory)


@dataclass(frozen=True)
class _Part:
    """Spine rows and the table rows of the same entities."""

    spine: pl.LazyFrame
    facts: pl.LazyFrame | None


def _facts(view: FeatureViewSpec, events: pl.LazyFrame | None, spine: Extent) -> pl.LazyFrame | None:
    if view.table is None:
        return None
    if events is None:
        raise FeatureError(f"feature view {view.name!r}: it reads table {view.table!r}, but was given no rows")
    check_table(view, events.collect_schema())
    return reachable(view, events, spine.first, spine.last)


def _count(frame: pl.LazyFrame) -> int:
    return frame.select(pl.len()).collect(engine="streaming").item()


def _compute(view: FeatureViewSpec, rows: pl.DataFrame, facts: pl.LazyFrame | None, time: str) -> ComputedPart:
    return ComputedPart(rows, compute_features(view, rows, facts, time=time))


def _divide(
    view: FeatureViewSpec,
    spine: pl.LazyFrame,
    facts: pl.LazyFrame | None,
    rows: int,
    rows_in_memory: int,
    folder: Path,
) -> Iterator[_Part]:
    """Write both sides to files by a hash of the entity, and yield them file by file."""
    if not view.entity:
        yield _Part(spine, facts)
        return
    # A quarter of room: no hash divides evenly.
    files = min(_MOST_FILES, -(-4 * rows // (3 * rows_in_memory)))
    if facts is None:
        hashed = pl.struct(view.spine_entity).hash()
    else:
        keys = compare_keys(view, spine.collect_schema(), facts.collect_schema())
        hashed = pl.struct(keys.of_spine).hash()
        _write(facts, pl.struct(keys.of_table).hash() % files, folder / "facts")
    _write(spine, hashed % files, folder / "spine")
    for part in sorted((folder / "spine").iterdir()):
        rest = facts
        if facts is not None:
            file = folder / "facts" / part.name
            rest = pl.scan_ipc(file) if file.exists() else pl.LazyFrame(schema=facts.collect_schema())
        yield _Part(pl.scan_ipc(part), rest)


def _write(frame: pl.LazyFrame, part: pl.Expr, folder: Path) -> None:
    by_part = pl.PartitionBy(folder, key={_PART: part}, include_key=False)
    frame.sink_ipc(by_part, mkdir=True, maintain_order=False)


def _compute_by_time(view: FeatureViewSpec, part: _Part, time: str, rows_in_memory: int) -> Iterator[ComputedPart]:
    """Compute a part whole if it is small enough, else range after range of time."""
    known = None if view.known_at is None else part.facts
    sides = [(part.spine, time)] + ([] if known is None else [(known, view.known_at_column)])
    begun = None
    for first, last in time_ranges(sides, rows_in_memory):
        rows = part.spine.filter(pl.col(time).is_between(first, last)).collect()
        facts = part.facts
        if known is not None:
            arrived = known.filter(pl.col(view.known_at_column).is_between(first, last)).collect()
            begun = arrived if begun is None else pl.concat([begun, arrived])
            facts = begun.lazy()
        if rows.height:
            yield _compute(view, rows, facts, time)
        if begun is not None:
            begun = begun.filter(_matters_after(view, last))


def _matters_after(view: FeatureViewSpec, moment: datetime) -> pl.Expr:
    """Select the rows known up to a moment that can matter later."""
    known_at = pl.col(view.known_at_column)
    kept = known_at > moment - view.longest_span
    if view.planned is not None:
        kept |= _may_hold_after(view, view.planned, moment)
    if view.last_row_before is None:
        return kept
    last = known_at.filter(known_at <= moment - view.last_row_before).max()
    return kept | (known_at == (last.over(view.entity) if view.entity else last)).fill_null(False)


def _may_hold_after(view: FeatureViewSpec, plan: PlanSpec, moment: datetime) -> pl.Expr:
    """Select the last announcements about each thing of which any may hold after a moment, or is asked for at another
    moment than a prediction's own."""
    known_at, thing = pl.col(view.known_at_column), [*view.entity, *plan.of_one]
    last = known_at == known_at.max().over(thing) if plan.of_one else pl.lit(True)
    if plan.moments or (plan.holding and plan.valid_until is None):
        return last
    ends = pl.col(plan.valid_until or plan.valid_at)
    open_end = ends.is_null() if plan.valid_until else pl.lit(False)
    holds = (open_end | (ends > moment)).fill_null(False)
    return last & (holds.any().over([*thing, known_at]) if plan.of_one else holds)
