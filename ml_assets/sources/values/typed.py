"""From delivered values to the types that the contract declares, exactly or not at all: see `exact`."""

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import (
    day_of,
    first_true,
    has_finer,
    in_calendar,
    in_unit,
    number_of_number,
    number_of_text,
    text_of_number,
    text_of_time,
    zone_of,
)

# ISO 8601 only: 01/02/2013 is January in one office and February in the next. A column with a time zone
# takes moments with an offset, a column without takes wall-clock times; neither is guessed from the other.
_MOMENTS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_WALL_CLOCK = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def typed_column(values: pl.Series, dtype: pl.DataType, rows: pl.Series | None = None) -> pl.Series:
    """Return the column in the declared dtype.

    Args:
        values: texts (CSV) or values with a type of their own (Parquet).
        dtype: what the contract declares.
        rows: 1-based numbers of these rows in the delivered file; by default they are its first rows.

    Raises:
        DeliveryFault: "wrong type", naming the first value that does not fit and its row in the file; a text
            fits a number only if all of it is that number, and no value may change.
    """
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    converted, forced = _parsed(values, dtype) if values.dtype == pl.String else _converted(values, dtype)
    check_fits(values, converted, _describe(dtype), rows, forced)
    return converted


def check_fits(
    values: pl.Series,
    converted: pl.Series,
    form: str,
    rows: pl.Series | None = None,
    forced: pl.Series | None = None,
) -> None:
    """Raise DeliveryFault "wrong type", naming the first value that became null, its row and what it is not.

    Args:
        forced: what the values would become if they might change.
    """
    if converted.null_count() > values.null_count():
        first = first_true(converted.is_null() & values.is_not_null())
        row = first + 1 if rows is None else rows[first]
        raise DeliveryFault(
            "wrong type",
            f"{_shown(values, first)} in data row {row} is no {form}{_would_be(forced, first)}",
            _remedy(values, first),
            column=values.name,
            row=row,
        )


def _parsed(texts: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series | None]:
    """Return the texts in the type, null where they do not fit; and what a number that does not fit would become."""
    if dtype == pl.String:
        return texts, None
    if dtype == pl.Boolean:
        return texts.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean), None
    if dtype == pl.Date:
        return in_calendar(texts.str.to_date("%Y-%m-%d", strict=False)), None
    if isinstance(dtype, pl.Datetime):
        return _parsed_datetime(texts, dtype)
    if dtype.is_numeric():
        return number_of_text(texts, dtype)
    raise _no_such_conversion(texts, dtype)


def _parsed_datetime(texts: pl.Series, dtype: pl.Datetime) -> tuple[pl.Series, pl.Series]:
    formats, zone = (_MOMENTS, "UTC") if dtype.time_zone else (_WALL_CLOCK, None)
    parsed = pl.Series(texts.name, [], pl.Datetime(dtype.time_unit, zone)).extend_constant(None, len(texts))
    for pattern in formats:
        if parsed.null_count() == texts.null_count():
            break
        attempt = texts.str.to_datetime(pattern, time_unit=dtype.time_unit, time_zone=zone, strict=False)
        parsed = parsed.zip_with(parsed.is_not_null(), attempt)
    parsed = in_calendar(parsed)
    parsed = parsed.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else parsed
    return parsed.set(has_finer(texts, dtype.time_unit).fill_null(False), None), parsed


def _converted(values: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series | None]:
    """Convert values with a type of their own, as `_parsed` does texts."""
    given = values.dtype
    if given == pl.Null:
        return values.cast(dtype), None
    if given in (pl.Date, pl.Datetime) and given == dtype.base_type():
        same = bool(zone_of(given)) == bool(zone_of(dtype))
        if same:
            values = in_calendar(values)
            return (values, None) if given == dtype else in_unit(values, dtype)
    if given == dtype:
        return values, None
    if given == pl.Duration and dtype == pl.Duration:
        return in_unit(values, dtype)
    if given == pl.Datetime and zone_of(given) is None and dtype == pl.Date:  # as Arrow's date64 comes
        return day_of(in_calendar(values)), None
    if given.is_integer() and dtype == pl.Boolean:  # SQLite and MySQL have no other truth
        return values.replace_strict({0: False, 1: True}, default=None, return_dtype=pl.Boolean), None
    if dtype == pl.String and _has_no_other_type(given):
        return text_of_number(values), None
    if dtype == pl.String and given == pl.Time:
        return text_of_time(values), None
    if given.is_numeric() and dtype.is_numeric() and not (given.is_float() and dtype.is_decimal()):
        return number_of_number(values, dtype)
    raise _no_such_conversion(values, dtype)


def _has_no_other_type(given: pl.DataType) -> bool:
    """Return whether whole numbers of this type are too large for any type of a contract but text."""
    return given in (pl.UInt64, pl.Int128, pl.UInt128) or (isinstance(given, pl.Decimal) and given.scale == 0)


def _no_such_conversion(values: pl.Series, dtype: pl.DataType) -> DeliveryFault:
    given = "text" if values.dtype == pl.String else str(values.dtype)
    return DeliveryFault(
        "wrong type",
        f"{given} does not become {_describe(dtype)}",
        "correct the delivery or change the contract",
        column=values.name,
    )


def _shown(values: pl.Series, place: int) -> str:
    """Return a value as a person would write it, also where Python has no literal for it."""
    if _is_impossible(values, place):
        return "a moment that no calendar has, such as infinity or 0000-00-00,"
    if values.dtype in (pl.Date, pl.Datetime, pl.Time):
        return str(values.slice(place, 1).cast(pl.String)[0])
    return str(values[place]) if values.dtype in (pl.Decimal, pl.Duration) else repr(values[place])


def _is_impossible(values: pl.Series, place: int) -> bool:
    return values.dtype in (pl.Date, pl.Datetime) and bool(in_calendar(values.slice(place, 1)).null_count())


def _remedy(values: pl.Series, place: int) -> str:
    remedy = "correct the delivery or change the contract"
    return f"{remedy}, or declare impossible_moments: missing" if _is_impossible(values, place) else remedy


def _would_be(forced: pl.Series | None, place: int) -> str:
    if forced is None or forced.is_null()[place]:
        return ""
    return f": it would become {_shown(forced, place)}"


def _describe(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "ISO 8601 moment with an offset" if dtype.time_zone else "ISO 8601 time without an offset"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    return str(dtype)
