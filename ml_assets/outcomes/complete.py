"""Up to when a table of facts holds everything."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Completeness:
    """How much of what happened a table of facts holds.

    Attributes:
        until: the moment up to which, this included, it holds every fact; None where it holds none.
        drops_without_rows: drops between its first and its newest that it has no row of.
        facts_ahead: facts dated later than the table was written, which say nothing of what it holds.
    """

    until: datetime | None
    drops_without_rows: tuple[str, ...] = ()
    facts_ahead: int = 0


def completeness(
    outcome: OutcomeSpec,
    facts: pl.LazyFrame,
    drops: Drops | None,
    *,
    empty_drops: bool = False,
    written_at: datetime | None = None,
) -> Completeness:
    """Say up to when the outcome's table holds every fact.

    Of a table that is cut, that is the last moment of the last drop that follows its first without a gap, in its own
    zone or in UTC, whichever comes first: a fact at the very end comes with the next drop. A drop that is missing in
    between holds what happened then, until it comes. Where drops may be empty, one without rows before one with rows is
    taken for empty; that the newest ones came empty cannot be seen, so labels wait for the next drop with rows.

    Of a table that is not cut it is the newest moment at which one of its facts became known, leaving out those that
    are dated later than the table was written.

    Args:
        facts: the outcome's table.
        drops: how it is cut; None where nothing declares that.
        empty_drops: whether a drop without rows may have come.
        written_at: when the table was last written; None where that is not known, and every date is believed.
    """
    if drops is not None and drops.grain != WHOLE:
        names = facts.select(pl.col(DROP).drop_nulls().unique()).collect(engine="streaming").to_series().to_list()
        return _of_drops(names, drops, empty_drops=empty_drops)
    known_at = pl.col(outcome.known_at or outcome.happened_at)
    ahead = pl.lit(False) if written_at is None else known_at > written_at
    counted = facts.select(known_at.filter(~ahead).max().alias("until"), ahead.sum().alias("ahead"))
    until, later = counted.collect(engine="streaming").row(0)
    return Completeness(until, facts_ahead=later or 0)


def _of_drops(names: list[str], drops: Drops, *, empty_drops: bool) -> Completeness:
    runs = grains.stretches(drops.grain, names)
    if not runs:
        return Completeness(None)
    first, newest = runs[0][0], runs[-1][-1]
    missing = sorted({*grains.names_between(drops.grain, first, newest)} - {*names})
    return Completeness(_end(newest if empty_drops else runs[0][-1], drops), tuple(missing))


def _end(drop: str, drops: Drops) -> datetime:
    end = grains.drop_end(drops.grain, drop)
    return min(end.replace(tzinfo=zone).astimezone(UTC) for zone in (UTC, ZoneInfo(drops.time_zone))) - _INSTANT
