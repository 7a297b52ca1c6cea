"""The calendar of one moment, by the standard library's own dates."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from ml_assets.features.declared.calendar import OF_HOLIDAYS, CalendarPart, CalendarPartsSpec
from ml_assets.features.spec import FeatureViewSpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = 3
"""Years that are searched for the next and the last holiday."""


def plain_calendar(view: FeatureViewSpec, row: pl.DataFrame, moment: int) -> dict[str, Any]:
    """Compute the calendar features of one spine row (a frame of height 1) at `moment` (microseconds)."""
    time = _EPOCH + timedelta(microseconds=moment)
    return {
        f"{base}_{part}": _part(row[spec.at].item() if spec.at else time, part, spec)
        for base, spec in view.calendar.items()
        for part in spec.parts
    }


def _part(moment: datetime | date | None, part: CalendarPart, spec: CalendarPartsSpec) -> Any:
    if moment is None:
        return None
    if isinstance(moment, datetime):
        local = moment.astimezone(ZoneInfo(spec.time_zone))
        if part == "hour":
            return local.hour
        day = local.date()
    else:
        day = moment
    if part in OF_HOLIDAYS:
        return _of_holidays(day, part, spec)
    return {
        "weekday": day.isoweekday(),
        "weekend": day.isoweekday() > 5,
        "day": day.day,
        "day_of_year": day.timetuple().tm_yday,
        "week": day.isocalendar().week,
        "month": day.month,
        "quarter": (day.month + 2) // 3,
        "month_start": day.day == 1,
        "month_end": day.day == monthrange(day.year, day.month)[1],
    }[part]


def _of_holidays(day: date, part: CalendarPart, spec: CalendarPartsSpec) -> Any:
    first, last = _known_years(spec.country or "", spec.subdivision)
    if not first <= day.year <= last:
        return None
    if part == "holiday":
        return _is_holiday(day, spec)
    step = timedelta(days=1 if part == "days_to_holiday" else -1)
    distance = 0
    while abs(distance) < _FAR * 366:
        if _is_holiday(day + distance * step, spec):
            return distance
        distance += 1
    return None


def _is_holiday(day: date, spec: CalendarPartsSpec) -> bool:
    return day in _holidays_around(spec.country or "", spec.subdivision, day.year)


@lru_cache(maxsize=8)
def _known_years(country: str, subdivision: str | None) -> tuple[int, int]:
    import holidays

    known: Any = holidays.country_holidays(country, subdiv=subdivision)
    return known.start_year, known.end_year


@lru_cache(maxsize=256)
def _holidays_around(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """Return the holidays of a year; one that is observed on another day may be told with the next or the last."""
    import holidays

    first, last = _known_years(country, subdivision)
    years = range(max(year - 1, first), min(year + 1, last) + 1)
    found: Any = holidays.country_holidays(country, subdiv=subdivision, years=years) if first <= year <= last else ()
    return frozenset(day for day in found if day.year == year)
