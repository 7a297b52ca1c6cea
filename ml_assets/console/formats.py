"""How templates write numbers, shares and moments; nothing known is a dash."""

import math
from datetime import date, datetime, timedelta
from typing import Any

NOTHING = "–"
_HOUR, _DAY, _YEAR = 3600, 86_400, 365.25 * 86_400


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with as many digits after the point, integers without; thousands are set apart."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return f"{value:.2g}" if value and float(f"{value:.{digits}f}") == 0 else text


def percent(share: float | None, digits: int = 0) -> str:
    """Write a share between 0 and 1 as per cent; one that is not whole is never rounded to 0 or 100."""
    if share is None or not math.isfinite(share):
        return NOTHING
    smallest = 10.0**-digits
    value = share * 100
    if 0 < value < smallest / 2:
        return f"< {smallest:.{digits}f}\u202f%"
    if 100 - smallest / 2 <= value < 100:
        return f"> {100 - smallest:.{digits}f}\u202f%"
    return f"{value:.{digits}f}\u202f%"


def day(moment: datetime | date | str | None) -> str:
    """Write the day of a moment, ISO 8601."""
    if moment is None or moment == "":
        return NOTHING
    return moment[:10] if isinstance(moment, str) else moment.strftime("%Y-%m-%d")


def minute(moment: datetime | str | None) -> str:
    """Write a moment to the minute, in its own zone."""
    if moment is None or moment == "":
        return NOTHING
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).strftime("%Y-%m-%d %H:%M")


def ago(moment: datetime | None, now: datetime) -> str:
    """Write how long ago a moment was: minutes, hours, days or years."""
    if moment is None:
        return NOTHING
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return "ahead"
    if seconds < _HOUR:
        return f"{int(seconds // 60)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} d" if seconds < 2 * _YEAR else f"{seconds / _YEAR:.0f} y"


def value(given: Any) -> str:
    """Write a value of whatever kind, as of a cell: numbers with four digits that count, moments to the minute."""
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return NOTHING
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, float):
        return f"{given:.4g}" if abs(given) < 10_000 or not math.isfinite(given) else number(given, 0)
    return minute(given) if isinstance(given, datetime) else str(given)


def signed(given: float | None) -> str:
    """Write a number with its sign: a change, or what moved a score."""
    return NOTHING if given is None else f"{given:+.4f}" if abs(given) < 10 else f"{given:+.4g}"


def compact(count: int) -> str:
    """Write a count in a few letters: 28k for 28,135."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.0f}{letter}" if count >= 10 * size else f"{count / size:.1f}{letter}"
    return str(count)


def duration(given: timedelta) -> str:
    """Write how long something took: days, hours or minutes."""
    seconds = given.total_seconds()
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds >= 2 * _DAY:
        return f"{sign}{int(seconds // _DAY)} d"
    return f"{sign}{int(seconds // _HOUR)} h" if seconds >= _HOUR else f"{sign}{int(seconds // 60)} min"
