"""The rows of a made spine, written to files one moment after the other: only one moment's rows are at work at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from ml_assets.sources.drops.cut import spans
from ml_assets.sources.drops.spec import Drops
from ml_assets.spines.calendar import ahead, moments_between
from ml_assets.spines.entities import active_at, entity_versions, refuse_overlaps
from ml_assets.spines.sample import hash_entities, is_drawn
from ml_assets.spines.spec import HORIZON, STANDS_FOR, TARGET_AT, CalendarSpec, EntitiesSpec, SampleSpec

_MOMENT = pl.Datetime("us", "UTC")


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

    def horizons_at(self, moment: datetime) -> pl.LazyFrame:
        """Return HORIZON and TARGET_AT of the rows of one entity at a moment of the calendar, a row each."""
        seconds = [length // timedelta(seconds=1) for length in self.horizons]
        targets = [ahead(moment, length, self.every.time_zone) for length in self.horizons]
        schema = {HORIZON: pl.Int64(), TARGET_AT: _MOMENT}
        return pl.LazyFrame({HORIZON: seconds, TARGET_AT: targets}, schema=schema)

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
    by_drop, active_in, moments = {}, {}, 0
    _rows_at(spine, versions.clear(), drops[0], datetime.fromtimestamp(0, UTC)).sink_ipc(
        made / "none.arrow", mkdir=True
    )
    for drop in drops:
        files = []
        for moment in spine.moments_of(drop):
            files.append(made / f"{moments:06}.arrow")
            _rows_at(spine, versions, drop, moment).sink_ipc(files[-1])
            moments += 1
        by_drop[drop] = sum(pl.scan_ipc(file).select(pl.len()).collect().item() for file in files)
        if spine.sample_of(drop) is not None:
            active_in[drop] = sum(_count_active(spine, versions, moment) for moment in spine.moments_of(drop))
    return MadeRows(pl.scan_ipc(made), by_drop, active_in, moments, _left_out(spine.entities, table))


def _count_active(spine: MadeSpine, versions: pl.LazyFrame, moment: datetime) -> int:
    active = versions.filter(active_at(spine.name, spine.entities, pl.lit(moment, _MOMENT)))
    return active.select(pl.len()).collect(engine="streaming").item()


def _rows_at(spine: MadeSpine, versions: pl.LazyFrame, drop: str, moment: datetime) -> pl.LazyFrame:
    at, sample = pl.lit(moment, _MOMENT), spine.sample_of(drop)
    active = versions.filter(active_at(spine.name, spine.entities, at))
    if sample is not None:
        active = active.filter(is_drawn(sample, moment))
    if spine.horizons:
        # Of the table's other columns one may be called as these are.
        carried = active.select(*spine.entities.key, *spine.entities.columns)
        active = carried.join(spine.horizons_at(moment), how="cross")
    return active.select(
        pl.lit(drop, pl.String).alias(spine.partition),
        *spine.entities.key,
        at.alias(spine.time),
        *((HORIZON, TARGET_AT) if spine.horizons else ()),
        *([] if spine.sample is None else [pl.lit(1 / sample.share if sample else 1.0).alias(STANDS_FOR)]),
        *spine.entities.columns,
    )


def _left_out(entities: EntitiesSpec, table: pl.LazyFrame) -> dict[str, int]:
    """Count the rows of the table that can never count, by the column that they have no value of."""
    needed = [*entities.key, *(name for name in (entities.from_, entities.known_at) if name is not None)]
    nulls = table.select(pl.col(list(dict.fromkeys(needed))).null_count()).collect(engine="streaming")
    return {f"without {name}": count for name, count in nulls.row(0, named=True).items() if count}
