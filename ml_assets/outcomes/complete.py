"""Up to when a table of facts holds everything."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.sources.drops import grains
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Completeness:
    """How much of what happened a table of facts holds.

    Attributes:
        until: the moment up to which, this included, it holds every fact; None where it holds none.
        drops_without_rows: drops between its first and its newest that it has no row of, and that are not known to have
            come empty.
        facts_ahead: facts dated later than the table was written, which say nothing of what it holds.
    """

    until: datetime | None
    drops_without_rows: tuple[str, ...] = ()
    facts_ahead: int = 0


def complete_drops(
    rows: pl.LazyFrame, drops: Drops, *, came_empty: Collection[str] = (), empty_drops: bool = False
) -> Completeness:
    """Say up to when a table that is cut into drops holds every fact.

    That is the last moment of the last drop that follows the first without a gap, in the table's own zone or in UTC,
    whichever comes first: a fact at the very end comes with the next drop. A drop that is missing in between holds what
    happened then, until it comes; one that came empty says that nothing happened.

    Args:
        rows: the table.
        drops: how it is cut.
        came_empty: drops that are known to have come without rows.
        empty_drops: whether a drop of which nothing is known, before one that has come, is taken for empty.
    """
    names = rows.select(pl.col(DROP).drop_nulls().unique()).collect(engine="streaming").to_series().to_list()
    runs = grains.stretches(drops.grain, list({*names, *came_empty}))
    if not runs:
        return Completeness(None)
    first, newest = runs[0][0], runs[-1][-1]
    missing = sorted({*grains.names_between(drops.grain, first, newest)} - {*names, *came_empty})
    return Completeness(_end(newest if empty_drops else runs[0][-1], drops), tuple(missing))


def complete_facts(outcome: OutcomeSpec, facts: pl.LazyFrame, *, written_at: datetime | None = None) -> Completeness:
    """Say up to when a table that is not cut holds every fact of an outcome.

    That is the newest moment at which one of them became known, leaving out those dated later than the table was
    written.

    Args:
        facts: the outcome's table.
        written_at: when the table was last written; None where that is not known, and every date is believed.
    """
    known_at = pl.col(outcome.known_at or outcome.happened_at)
    ahead = pl.lit(False) if written_at is None else known_at > written_at
    counted = facts.select(known_at.filter(~ahead).max().alias("until"), ahead.sum().alias("ahead"))
    until, later = counted.collect(engine="streaming").row(0)
    return Completeness(until, facts_ahead=later or 0)


def _end(drop: str, drops: Drops) -> datetime:
    end = grains.drop_end(drops.grain, drop)
    return min(end.replace(tzinfo=zone).astimezone(UTC) for zone in (UTC, ZoneInfo(drops.time_zone))) - _INSTANT
