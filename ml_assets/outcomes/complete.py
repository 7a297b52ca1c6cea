"""Up to when a table of facts holds everything."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.sources.drops import grains
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP

_INSTANT = timedelta(microseconds=1)


def complete_until(outcome: OutcomeSpec, facts: pl.LazyFrame, drops: Drops | None) -> datetime | None:
    """Return the moment up to which, this included, the outcome's table holds every fact; None where it holds none.

    That is the last moment of its newest drop, in its own zone or in UTC, whichever comes first: a fact at the very end
    comes with the next drop. Of a table that is not cut it is the newest moment at which one of its facts became known.

    Args:
        facts: the outcome's table.
        drops: how it is cut; None where nothing declares that.
    """
    if drops is not None and drops.grain != WHOLE:
        newest = facts.select(pl.col(DROP).max()).collect(engine="streaming").item()
        return None if newest is None else _end(newest, drops)
    return facts.select(pl.col(outcome.known_at or outcome.happened_at).max()).collect(engine="streaming").item()


def _end(drop: str, drops: Drops) -> datetime:
    end = grains.drop_end(drops.grain, drop)
    return min(end.replace(tzinfo=zone).astimezone(UTC) for zone in (UTC, ZoneInfo(drops.time_zone))) - _INSTANT
