"""The moments of a cron expression in a time zone, in UTC, also on the days on which the clocks change."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_FIELDS = 5
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
# croniter would draw these by chance or from a name; the 29th of February comes at least once in eight years.
_DRAWN = re.compile(r"(^|[\s,])[HR](\(|/|[\s,]|$)", re.IGNORECASE)
_LONG_ENOUGH = timedelta(days=9 * 366)


def check_cron(cron: str) -> None:
    """Raise ValueError, saying what to write, unless the text is a cron expression of five fields that comes true."""
    from croniter import croniter

    example = "write minute, hour, day of month, month and weekday, such as '0 6 * * mon'"
    if (fields := len(cron.split())) > _FIELDS:
        raise ValueError(f"{cron!r} has {fields} fields, and there are no seconds or years: {example}")
    if len(cron.split()) != _FIELDS or _DRAWN.search(cron) or not croniter.is_valid(cron):
        raise ValueError(f"{cron!r} is no cron expression: {example}")
    begin = datetime(2000, 1, 1)
    if next(_wall_clock(cron, begin, begin + _LONG_ENOUGH), None) is None:
        raise ValueError(f"{cron!r} never comes: no calendar has such a day")


def moments_between(cron: str, time_zone: str, start: datetime, end: datetime) -> list[datetime]:
    """List the moments of a cron expression from `start` to before `end`, in UTC, in order, each once.

    The rules are Dagster's for its schedules: a wall-clock time that is skipped when clocks go forward is the first
    moment after; one that comes twice when they go back is the later of the two; an expression whose hour is ``*``
    comes every hour that passes, whatever the clocks show.

    Args:
        cron: five fields, in wall-clock time of the zone.
        time_zone: IANA name.
        start: a moment with a zone.
        end: the same.
    """
    zone, hourly = ZoneInfo(time_zone), cron.split()[1] == "*"
    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (start, end))
    found = {
        moment
        for wall in _wall_clock(cron, first - _DAY, last + _DAY)
        for moment in (_every_one(wall, zone) if hourly else [_the_one(wall, zone)])
    }
    return sorted(moment for moment in found if start <= moment < end)


def ahead(moment: datetime, length: timedelta, time_zone: str) -> datetime:
    """Return the moment that lies a length of time ahead, in UTC.

    Whole days are days on the clock of the zone: a week after Monday at six is Monday at six, whatever the clocks did
    in between. Any other length is time that passes.
    """
    if length % _DAY:
        return (moment + length).astimezone(UTC)
    zone = ZoneInfo(time_zone)
    wall = moment.astimezone(zone).replace(tzinfo=None) + length
    return _the_one(wall, zone)


def _wall_clock(cron: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the wall-clock times of the expression after `start` and before `end`."""
    from croniter import CroniterBadDateError, croniter

    times = croniter(cron, start, ret_type=datetime, max_years_between_matches=10)
    try:
        while (wall := times.get_next(datetime)) < end:
            yield wall
    except CroniterBadDateError:
        return


def _readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return both readings of a wall-clock time in UTC: by the offset before a change of the clocks, and after it."""
    before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return before, after


def _every_one(wall: datetime, zone: ZoneInfo) -> set[datetime]:
    """Return the moments at which a clock of the zone shows the time: none, one or two."""
    return {moment for moment in _readings(wall, zone) if moment.astimezone(zone).replace(tzinfo=None) == wall}


def _the_one(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the last moment at which a clock of the zone shows the time, or the first moment after it was skipped."""
    shown = _every_one(wall, zone)
    if shown:
        return max(shown)
    late, early = _readings(wall, zone)
    skipped = early.astimezone(zone).utcoffset()
    while late - early > _SECOND:
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == skipped:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
