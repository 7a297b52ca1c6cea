"""The rows of a made spine, written to files a few moments at a time: only their rows are at work at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl

from ml_assets.sources.drops.cut import spans
from ml_assets.sources.drops.spec import Drops
from ml_assets.spines.calendar import ahead, moments_between
from ml_assets.spines.entities import active_at, entity_versions, refuse_overlaps
from ml_assets.spines.sample import hash_entities, is_drawn
from ml_assets.spines.spec import HORIZON, STANDS_FOR, TARGET_AT, CalendarSpec, EntitiesSpec, SampleSpec

_MOMENT = pl.Datetime("us", "UTC")
_AT, _SECONDS, _TARGETS = "__at__", "__seconds__", "__targets__"
"""Columns of the moments at which versions of entities are looked at; those of horizons are lists."""
_AT_WORK = 500_000
"""Pairs of version and moment that are looked at together, and one moment where there are more versions: of few, a plan
for each moment costs more than what it does."""


@dataclass(frozen=True)
class MadeSpine:
    """What the rows of a made spine are, and how their columns are called.

    Attributes:
        time: column with the moment of the calendar.
        partition: column with the name of the drop that the moment lies in.
        horizons: how far ahead an entity is predicted at a moment, a row each; none: one row, which looks nowhere.
        sample: which entity-moments are kept; None: all.
    """

    name: str
    entities: EntitiesSpec
    every: CalendarSpec
    drops: Drops
    time: str
    partition: str
    horizons: tuple[timedelta, ...] = ()
    sample: SampleSpec | None = None

    def sample_of(self, drop: str) -> SampleSpec | None:
        """Return the sample that a drop is thinned to; None for a drop that is whole."""
        return self.sample if self.sample is not None and self.sample.thins(drop) else None

    def beside(self, moments: Sequence[datetime]) -> pl.DataFrame:
        """Return _AT of moments of the calendar; with horizons _SECONDS and _TARGETS of the rows of one entity."""
        seconds = [length // timedelta(seconds=1) for length in self.horizons]
        frame = pl.DataFrame({_AT: moments}, schema={_AT: _MOMENT})
        if not seconds:
            return frame
        targets = [[ahead(moment, length, self.every.time_zone) for length in self.horizons] for moment in moments]
        return frame.with_columns(
            pl.Series(_SECONDS, [seconds] * len(moments), pl.List(pl.Int64)),
            pl.Series(_TARGETS, targets, pl.List(_MOMENT)),
        )

    def moments_of(self, drop: str) -> list[datetime]:
        """List the moments of the calendar, in UTC, that lie in a drop, as its time zone has it."""
        (span,) = spans([drop], self.drops, _MOMENT)
        if span.upper is None:
            raise ValueError(f"spine {self.name}: drop {drop} has no end")
        return moments_between(self.every.cron, self.every.time_zone, span.lower, span.upper)


@dataclass(frozen=True)
class MadeRows:
    """The rows of some drops.

    Attributes:
        rows: drop, key, time, with horizons HORIZON and TARGET_AT, of a sampled spine STANDS_FOR, then the carried
            columns; lazily from files.
        by_drop: drop -> its rows.
        active_in: thinned drop -> its entity-moments, of which the rows are a sample.
        moments: how many moments of the calendar lie in the drops.
        left_out: why a row of the table of entities can never count -> how many.
    """

    rows: pl.LazyFrame
    by_drop: dict[str, int]
    active_in: dict[str, int]
    moments: int
    left_out: dict[str, int]


def make_rows(spine: MadeSpine, table: pl.LazyFrame, drops: Sequence[str], folder: Path) -> MadeRows:
    """Write the rows of some drops: each entity that is active, at each moment of the calendar in them.

    An entity is active at t if its row has `from` <= t and `until` is null or t < `until`; the row is the last one
    known at t where the table has a `known_at`.

    Args:
        table: the table of entities.
        folder: an empty folder for the rows, and for the table's own columns that are read.

    Raises:
        ValueError: the table lacks a column, or has an entity twice at a moment.
    """
    versions = entity_versions(spine.name, spine.entities, table)
    refuse_overlaps(spine.name, spine.entities, versions)
    if spine.sample is not None:
        versions = versions.with_columns(hash_entities(spine.entities.key, spine.sample.seed))
    # Sorted once, not once for each moment.
    versions.sink_ipc(folder / "versions.arrow")
    versions, made = pl.scan_ipc(folder / "versions.arrow"), folder / "rows"
    at_once = max(1, _AT_WORK // max(1, _count(versions)))
    by_drop, active_in, moments, files = {}, {}, 0, count()
    _rows_at(spine, versions.clear(), drops[0], [datetime.fromtimestamp(0, UTC)]).sink_ipc(
        made / "none.arrow", mkdir=True
    )
    for drop in drops:
        by_drop[drop], of_drop = 0, spine.moments_of(drop)
        moments += len(of_drop)
        for some in (of_drop[start : start + at_once] for start in range(0, len(of_drop), at_once)):
            file = made / f"{next(files):06}.arrow"
            _rows_at(spine, versions, drop, some).sink_ipc(file)
            by_drop[drop] += _count(pl.scan_ipc(file))
            if spine.sample_of(drop) is not None:
                active_in[drop] = active_in.get(drop, 0) + _count(_active_at(spine, versions, some))
    return MadeRows(pl.scan_ipc(made), by_drop, active_in, moments, _left_out(spine.entities, table))


def _count(rows: pl.LazyFrame) -> int:
    return rows.select(pl.len()).collect(engine="streaming").item()


def _active_at(spine: MadeSpine, versions: pl.LazyFrame, moments: Sequence[datetime]) -> pl.LazyFrame:
    """Return the versions that are active at each of some moments, moment by moment, with what is beside these."""
    beside = spine.beside(moments)
    if beside.height == 1:
        # No join: it might hold all of the versions, of which there can be many.
        each = versions.with_columns(pl.lit(beside[name]).first().alias(name) for name in beside.columns)
    else:
        each = beside.lazy().join(versions, how="cross", maintain_order="left_right")
    return each.filter(active_at(spine.name, spine.entities, pl.col(_AT)))


def _rows_at(spine: MadeSpine, versions: pl.LazyFrame, drop: str, moments: Sequence[datetime]) -> pl.LazyFrame:
    active, sample = _active_at(spine, versions, moments), spine.sample_of(drop)
    if sample is not None:
        active = active.filter(is_drawn(sample, pl.col(_AT)))
    rows = active.select(
        pl.lit(drop, pl.String).alias(spine.partition),
        *spine.entities.key,
        pl.col(_AT).alias(spine.time),
        *((pl.col(_SECONDS).alias(HORIZON), pl.col(_TARGETS).alias(TARGET_AT)) if spine.horizons else ()),
        *([] if spine.sample is None else [pl.lit(1 / sample.share if sample else 1.0).alias(STANDS_FOR)]),
        *spine.entities.columns,
    )
    return rows.explode(HORIZON, TARGET_AT) if spine.horizons else rows


def _left_out(entities: EntitiesSpec, table: pl.LazyFrame) -> dict[str, int]:
    """Count the rows of the table that can never count, by the column that they have no value of."""
    needed = [*entities.key, *(name for name in (entities.from_, entities.known_at) if name is not None)]
    nulls = table.select(pl.col(list(dict.fromkeys(needed))).null_count()).collect(engine="streaming")
    return {f"without {name}": count for name, count in nulls.row(0, named=True).items() if count}
