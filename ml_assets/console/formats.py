"""How templates write numbers, shares and moments; nothing known is a dash."""

import math
from datetime import date, datetime

NOTHING = "–"
_HOUR, _DAY = 3600, 86_400


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
    """Write how long ago a moment was: minutes, hours or days."""
    if moment is None:
        return NOTHING
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return "ahead"
    if seconds < _HOUR:
        return f"{int(seconds // 60)} min"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} d"
