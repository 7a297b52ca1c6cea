"""Dates and times as files have them, made moments by what is declared about them."""

from dataclasses import dataclass

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.column import EPOCHS, ColumnFormat
from ml_assets.sources.values.exact import has_finer, in_calendar, in_unit, zone_of

_ISO = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_DECIMALS = r"^[+-]?\d{1,15}(\.\d{1,6}0*)?$"


@dataclass(frozen=True)
class Moments:
    """Values of a column.

    Attributes:
        values: in the declared type, null also where a text does not fit.
        ambiguous, missing: whether the clock showed the time twice or never, and a null stands for it.
    """

    values: pl.Series
    ambiguous: pl.Series
    missing: pl.Series


def as_moments(given: pl.Series, dtype: pl.DataType, declared: ColumnFormat) -> Moments:
    """Return the dates or times of a column in the type that the contract declares.

    Args:
        given: texts, or values with a type of their own: whole numbers for a format that counts, dates, and times
            without a zone.
        dtype: Date or Datetime.

    Raises:
        DeliveryFault: the format and the type do not fit together.
    """
    wrong = misfit(dtype, declared)
    if wrong:
        raise _unfit(given, wrong, "correct it")
    zone = zone_of(dtype)
    clock = in_calendar(_clock(given, declared))
    never = pl.repeat(False, len(given), eager=True)
    if dtype == pl.Date:
        return Moments(clock.dt.date().alias(given.name), never, never)
    if declared.day == "end":
        clock = clock.zip_with(~_dates(given, declared), clock.dt.offset_by("1d"))
    if zone is None:
        return Moments(clock.cast(dtype), never, never)
    if declared.time_zone is None or declared.has_offset:
        return Moments(clock.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).cast(dtype), never, never)
    return _localized(clock, dtype, zone, declared.time_zone, declared)


def misfit(dtype: pl.DataType, declared: ColumnFormat) -> str | None:
    """Return why values written so cannot become what the contract declares; None where they can."""
    if declared.unit:
        return None if dtype.is_numeric() else f"a number with a unit does not become {dtype}"
    zoned = zone_of(dtype) is not None
    if not declared.is_moment:
        return None
    if dtype not in (pl.Date, pl.Datetime):
        return f"a date or time does not become {dtype}: declare pl.Date or pl.Datetime"
    if dtype == pl.Date and declared.format is None:
        return f'a date has no time zone: leave {declared.time_zone} out, or declare pl.Datetime("us", "UTC")'
    if dtype == pl.Datetime and not zoned and declared.time_zone:
        return f'a time with a zone does not become {dtype}: declare pl.Datetime("us", "UTC")'
    if zoned and not (declared.time_zone or declared.has_offset):
        return "which moment a time without an offset is cannot be told: declare its `time_zone`"
    return None


def _clock(given: pl.Series, declared: ColumnFormat) -> pl.Series:
    """Return wall-clock times (of UTC, where the values tell a moment): Datetime('us')."""
    if declared.format in EPOCHS:
        return _counted(given, EPOCHS[declared.format])
    if given.dtype == pl.Date:
        return given.cast(pl.Datetime("us"))
    if given.dtype == pl.Datetime and zone_of(given.dtype) is None:
        return in_unit(given, pl.Datetime("us"))[0]
    texts = given.cast(pl.String) if given.dtype.is_integer() else given
    if texts.dtype not in (pl.String, pl.Null):
        raise _unfit(given, f"{given.dtype} is not written in a format", "leave the column out of `columns`")
    texts = texts.cast(pl.String)
    texts = texts.set(has_finer(texts, "us").fill_null(False), None)
    if declared.format is None:
        return _first_that_fits(texts, _ISO)
    parsed = (texts + declared.suffix).str.to_datetime(declared.pattern, time_unit="us", strict=False)
    return parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone_of(parsed.dtype) else parsed


def _counted(given: pl.Series, microseconds: int) -> pl.Series:
    if given.dtype == pl.String:
        exact = given.set(~given.str.contains(_DECIMALS), None).cast(pl.Decimal(38, 6), strict=False)
        counted = (exact * microseconds).cast(pl.Int64, strict=False)
        counted = counted.set((counted.cast(pl.Decimal(38, 6)) != exact * microseconds).fill_null(False), None)
    elif given.dtype.is_integer():
        counted = (given.cast(pl.Decimal(38, 0)) * microseconds).cast(pl.Int64, strict=False)
    else:
        raise _unfit(given, f"{given.dtype} does not count since 1970 in whole numbers", "leave the format out")
    return counted.cast(pl.Datetime("us"))


def _first_that_fits(texts: pl.Series, patterns: tuple[str, ...]) -> pl.Series:
    parsed = pl.Series(texts.name, [None], dtype=pl.Datetime("us")).new_from_index(0, len(texts))
    for pattern in patterns:
        if parsed.null_count() == texts.null_count():
            break
        attempt = texts.str.to_datetime(pattern, time_unit="us", strict=False)
        parsed = parsed.zip_with(parsed.is_not_null(), attempt)
    return parsed


def _dates(given: pl.Series, declared: ColumnFormat) -> pl.Series:
    """Return whether a value is a date without a time."""
    if declared.format is None and given.dtype == pl.String:
        return (given.str.len_chars() == len("2024-01-31")).fill_null(False)
    return pl.repeat(declared.is_date or given.dtype == pl.Date, len(given), eager=True)


def _localized(clock: pl.Series, dtype: pl.DataType, kept: str, zone: str, declared: ColumnFormat) -> Moments:
    """Return wall-clock times of `zone` as moments, kept in the zone `kept`."""
    first = clock.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    last = clock.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    twice, skipped = (first != last).fill_null(False), clock.is_not_null() & first.is_null()
    moments = last if declared.ambiguous == "latest" else first
    if skipped.any():
        # Read by the offset before the change such a time lies after it, and the other way round. No change of a
        # clock reaches farther than a day, which one zone has left out.
        at = clock.dt.offset_by("25h" if declared.missing == "earliest" else "-25h")
        near = at.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        offset = near.dt.base_utc_offset() + near.dt.dst_offset()
        shifted = (clock - offset).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        moments = moments.zip_with(~skipped, shifted)
    lost = {
        "ambiguous": twice & (declared.ambiguous == "quarantine"),
        "missing": skipped & (declared.missing == "quarantine"),
    }
    moments = moments.set(lost["ambiguous"] | lost["missing"], None)
    return Moments(moments.dt.convert_time_zone(kept).cast(dtype), **lost)


def _unfit(given: pl.Series, detail: str, remedy: str) -> DeliveryFault:
    return DeliveryFault("wrong type", detail, f"{remedy} in the contract or change `columns`", column=given.name)
