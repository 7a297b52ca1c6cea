"""Periods of time as drops: how hours, days, weeks, months, quarters and years are named, and where they begin and end.

Names sort as the periods do, and hold nothing that a file's name or an object store's key cannot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

GrainName = Literal["whole", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"]
WHOLE = "whole"
"""The grain of a source that is not cut, and the name of its only drop."""


@dataclass(frozen=True)
class Grain:
    """One way to cut time.

    Attributes:
        period: what one drop is called in messages.
        form: how its name is written, for people.
        pattern: the same for `strftime`.
        every: the same for Polars' `truncate`.
        cron: when a drop begins.
    """

    period: str
    form: str
    pattern: str
    every: str
    cron: str


_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}

GRAINS: dict[str, Grain] = {
    "hourly": Grain("hour", "YYYY-MM-DDTHH", "%Y-%m-%dT%H", "1h", "0 * * * *"),
    "daily": Grain("day", "YYYY-MM-DD", "%Y-%m-%d", "1d", "0 0 * * *"),
    "weekly": Grain("week", "the YYYY-MM-DD of its Monday", "%Y-%m-%d", "1w", "0 0 * * 1"),
    "monthly": Grain("month", "YYYY-MM", "%Y-%m", "1mo", "0 0 1 * *"),
    "quarterly": Grain("quarter", "the YYYY-MM of its first month", "%Y-%m", "1q", "0 0 1 1,4,7,10 *"),
    "yearly": Grain("year", "YYYY", "%Y", "1y", "0 0 1 1 *"),
}


def is_name(grain: str, name: str) -> bool:
    """Return whether the name fits a drop of this grain."""
    if grain == WHOLE:
        return name == WHOLE
    try:
        return name_at(grain, datetime.strptime(name, GRAINS[grain].pattern)) == name
    except ValueError:
        return False


def name_at(grain: str, moment: datetime) -> str:
    """Return the name of the drop that the moment's wall-clock time lies in."""
    if grain == "weekly":
        moment -= timedelta(days=moment.weekday())
    if grain == "quarterly":
        moment = moment.replace(day=1, month=moment.month - (moment.month - 1) % 3)
    return moment.strftime(GRAINS[grain].pattern)


def drop_start(grain: str, name: str) -> datetime:
    """Return the drop's first moment, as wall-clock time.

    Raises:
        ValueError: no drop of this grain bears the name, or the source is not cut.
    """
    if grain == WHOLE:
        raise ValueError(f"{name!r} begins and ends nowhere: declare `drops` with a grain other than whole")
    return datetime.strptime(name, GRAINS[grain].pattern)


def drop_end(grain: str, name: str) -> datetime:
    """Return the first moment after the drop, as wall-clock time; raises ValueError as `drop_start` does."""
    start = drop_start(grain, name)
    if grain in _MONTHS:
        months = start.month - 1 + _MONTHS[grain]
        return start.replace(year=start.year + months // 12, month=months % 12 + 1)
    return start + {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(weeks=1)}[grain]


def following(grain: str, name: str) -> str:
    """Return the name of the next drop."""
    return name_at(grain, drop_end(grain, name))


def names_between(grain: str, start: str, end: str) -> list[str]:
    """Return the names from `start` to before `end`."""
    names = []
    while start < end:
        names.append(start)
        start = following(grain, start)
    return names


def stretches(grain: str, names: Sequence[str]) -> list[list[str]]:
    """Group the names, in order, into lists of drops that follow one another without a gap."""
    runs: list[list[str]] = []
    for name in sorted(names):
        if runs and grain != WHOLE and following(grain, runs[-1][-1]) == name:
            runs[-1].append(name)
        else:
            runs.append([name])
    return runs


def has_ended(grain: str, name: str, time_zone: str, now: float) -> bool:
    """Return whether the drop is over at `now` (seconds since 1970), in its own zone and in UTC.

    Schedulers and prediction times count drops in UTC, whatever zone the rows are cut in.
    """
    if grain == WHOLE:
        return True
    end = drop_end(grain, name)
    return max(end.replace(tzinfo=zone).timestamp() for zone in (UTC, ZoneInfo(time_zone))) <= now
