"""How dates and moments of a sample are written that the reader would not take for such."""

import re
from functools import cache
from typing import Literal

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.column import EPOCHS, ColumnFormat
from ml_assets.sources.values.exact import in_calendar, zone_of
from ml_assets.sources.values.moments import as_moments

MOMENT = pl.Datetime("us", "UTC")

DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y",
    "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
TIMES = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
OFFSETS = ("%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
ZULU = ("%Y-%m-%d %H:%M:%S%.f UTC", "%Y-%m-%d %H:%M UTC")

_MOMENT_NAME = re.compile(r"(^|_)(at|time|timestamp|ts|date|datetime|epoch)$")
_LIKE_A_DATE = r"^\S.{4,38}$"
_PLAUSIBLE = (315_532_800, 4_102_444_800)
"""Seconds of 1980 and 2100: a number between them may count seconds since 1970."""


Day = Literal["start", "end"]
Format = tuple[ColumnFormat | None, str | None]
"""How a column's moments are written, if they are such, and what had to be assumed."""


def moment_format(given: pl.Series, dtype: pl.DataType, zone: str, day: Day | None) -> Format:
    """Return the format of dates or moments that the reader would not recognize, and what had to be assumed.

    Args:
        dtype: what the values become otherwise.
        day: which moment of its day a date shall become; None where nothing says that these are moments.
    """
    values = given.drop_nulls()
    if values.is_empty() or dtype == MOMENT or dtype == pl.Boolean:
        return None, None
    without = f"{zone} is assumed, as the times have no offset"
    if dtype == pl.Datetime:
        return (None, None) if zone_of(dtype) else (ColumnFormat(time_zone=zone), without)
    if dtype == pl.Date:
        return _dated(None, zone, day)
    if dtype.is_integer():
        return _counted(given, zone, day)
    return (
        _written(values.unique(maintain_order=True), zone, day)
        if given.dtype == pl.String and dtype == pl.String
        else (None, None)
    )


def _dated(pattern: str | None, zone: str, day: Day | None, assumed: str = "") -> Format:
    """Return the format of dates, or of the moments that dates shall become; and what had to be assumed."""
    if day is None:
        return (ColumnFormat(format=pattern) if pattern else None), assumed or None
    why = f"the {day} of the day in {zone} is assumed, as there is no time"
    return ColumnFormat(format=pattern, time_zone=zone, day=day), "; ".join(filter(None, [assumed, why]))


def _counted(given: pl.Series, zone: str, day: Day | None) -> Format:
    """Return the format of numbers that count since 1970, or are years; and what had to be assumed."""
    if day is None and not _MOMENT_NAME.search(given.name.lower()):
        return None, None
    for name, microseconds in EPOCHS.items():
        low, high = (bound * (1_000_000 // microseconds) for bound in _PLAUSIBLE)
        numbers = given.cast(pl.Int64, strict=False).drop_nulls()
        if len(numbers) and numbers.is_between(low, high).all():
            declared = ColumnFormat(format=name)
            return (declared, None) if _fits(given, declared, MOMENT) else (None, None)
    if day is None:
        return None, None
    for pattern in ("%Y", "%Y%m%d"):
        declared = ColumnFormat(format=pattern, time_zone=zone)
        if _fits(given, declared, MOMENT):
            return _dated(pattern, zone, day)
    return None, None


def _written(values: pl.Series, zone: str, day: Day | None) -> Format:
    """Return the texts in one of the usual forms."""
    if not values.str.contains(_LIKE_A_DATE).all() or not values.str.contains(r"\d").all():
        return None, None
    without = f"{zone} is assumed, as the times have no offset"
    if _fits(values, ColumnFormat(time_zone=zone), MOMENT):
        return ColumnFormat(time_zone=zone), without
    for pattern in OFFSETS:
        if _fits(values, ColumnFormat(format=pattern), MOMENT):
            return ColumnFormat(format=pattern), None
    for pattern in ZULU:
        if _fits(values, ColumnFormat(format=pattern, time_zone="UTC"), MOMENT):
            return ColumnFormat(format=pattern, time_zone="UTC"), None
    patterns = [f"{date}{between}{time}" for date in DATES for time in TIMES for between in (" ", "T", ", ")]
    for pattern in patterns:
        if _fits(values, ColumnFormat(format=pattern, time_zone=zone), MOMENT):
            return ColumnFormat(format=pattern, time_zone=zone), "; ".join(
                filter(None, [_day_first(values, pattern), without])
            )
    for pattern in DATES:
        if _fits(values, ColumnFormat(format=pattern), pl.Date()):
            return _dated(pattern, zone, day, _day_first(values, pattern))
    return None, None


def _day_first(values: pl.Series, pattern: str) -> str:
    """Return a note where the month may as well come first."""
    swapped = re.sub("%[dm]", lambda match: {"%d": "%m", "%m": "%d"}[match[0]], pattern)
    is_other = pattern.startswith("%d") and swapped != pattern
    if is_other and _fits(values, ColumnFormat(format=swapped, time_zone="UTC"), MOMENT):
        return "the day is assumed to come first, though the month may"
    return ""


def _fits(values: pl.Series, declared: ColumnFormat, dtype: pl.DataType) -> bool:
    """Return whether every value is a date or moment of this form, in a plausible year."""
    first = values.drop_nulls().head(1)
    directives = declared.format if declared.format not in EPOCHS and first.dtype == pl.String else None
    if directives and not looks_like(directives).fullmatch(first[0]):
        return False
    if not _all_read(first, declared, dtype):
        return False
    return _all_read(values.drop_nulls(), declared, dtype)


_DIRECTIVES = {
    "%Y": r"\s*[+-]?\d+", "%y": r"\s*\d{1,2}", "%b": r"\s*[^\W\d]+", "%B": r"\s*[^\W\d]+", "%p": r"\s*[AaPp][Mm]",
    "%.f": r"(\.\d+)?", "%#z": r".*",
}  # fmt: skip
"""What a directive can read, and more; those that are left out read a number of one or two digits."""


@cache
def looks_like(pattern: str) -> re.Pattern[str]:
    """Return an expression that every text of this pattern matches, and few others.

    It tells in a microsecond which of two hundred patterns need not be tried.
    """
    parts = re.split(r"(%\.f|%#z|%[a-zA-Z])", pattern)
    read = [
        _DIRECTIVES.get(part, r"\s*[+-]?\d{1,2}")
        if part.startswith("%")
        else re.sub(r"(?:\\ )+", r"\\s*", re.escape(part))
        for part in parts
    ]
    return re.compile("".join(read) + r"\s*")


def _all_read(values: pl.Series, declared: ColumnFormat, dtype: pl.DataType) -> bool:
    try:
        moments = as_moments(values, dtype, declared)
    except DeliveryFault:
        return False
    lost = moments.values.is_null() & ~moments.ambiguous & ~moments.missing
    return not lost.any() and bool(in_calendar(moments.values).drop_nulls().dt.year().is_between(1900, 2200).all())
