"""From delivered values to the types that the contract declares, exactly or not at all."""

import polars as pl

from ml_assets.sources.errors import DeliveryFault

# ISO 8601 only: 01/02/2013 is January in one office and February in the next. A column with a time zone
# takes moments with an offset, a column without takes wall-clock times; neither is guessed from the other.
_MOMENTS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_WALL_CLOCK = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


def typed_column(values: pl.Series, dtype: pl.DataType, rows: pl.Series | None = None) -> pl.Series:
    """The column in the declared dtype.

    Args:
        values: texts (CSV) or values with a type of their own (Parquet).
        dtype: what the contract declares.
        rows: 1-based numbers of these rows in the delivered file; by default they are its first rows.

    Raises:
        DeliveryFault: "wrong type", naming the first value that does not fit and its row in the file; a text
            fits a number only if all of it is that number, a number fits a smaller type only if in range.
    """
    converted = _parsed(values, dtype) if values.dtype == pl.String else _converted(values, dtype)
    if converted.null_count() > values.null_count():
        first = (converted.is_null() & values.is_not_null()).arg_max()
        row = first + 1 if rows is None else rows[first]
        raise DeliveryFault(
            "wrong type",
            f"{values[first]!r} in data row {row} is no {_spoken(dtype)}",
            "correct the delivery or change the contract",
            column=values.name,
            row=row,
        )
    return converted


def _parsed(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    if dtype == pl.String:
        return texts
    if dtype == pl.Boolean:
        return texts.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    if dtype == pl.Date:
        return texts.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Datetime:
        return _parsed_datetime(texts, dtype)
    if dtype.is_numeric():
        return texts.cast(dtype, strict=False)
    raise _no_such_conversion(texts, dtype)


def _parsed_datetime(texts: pl.Series, dtype: pl.Datetime) -> pl.Series:
    formats, zone = (_MOMENTS, "UTC") if dtype.time_zone else (_WALL_CLOCK, None)
    parsed = pl.Series(texts.name, [], pl.Datetime(dtype.time_unit, zone)).extend_constant(None, len(texts))
    for pattern in formats:
        if parsed.null_count() == texts.null_count():
            break
        attempt = texts.str.to_datetime(pattern, time_unit=dtype.time_unit, time_zone=zone, strict=False)
        parsed = parsed.zip_with(parsed.is_not_null(), attempt)
    return parsed.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else parsed


def _converted(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A value with a type of its own changes it only where no more than range can be lost, which shows."""
    given = values.dtype
    if given == dtype or given == pl.Null:
        return values.cast(dtype)
    if given.is_integer() and dtype == pl.Boolean:  # SQLite and MySQL have no other truth
        return values.replace_strict({0: False, 1: True}, default=None, return_dtype=pl.Boolean)
    numbers = (given.is_integer() and dtype.is_numeric()) or (given.is_float() and dtype.is_float())
    texts = dtype == pl.String and isinstance(given, pl.Categorical | pl.Enum)
    moments = given == pl.Datetime and dtype == pl.Datetime and bool(given.time_zone) == bool(dtype.time_zone)
    if not (numbers or texts or moments):
        raise _no_such_conversion(values, dtype)
    return values.cast(dtype, strict=False)


def _no_such_conversion(values: pl.Series, dtype: pl.DataType) -> DeliveryFault:
    given = "text" if values.dtype == pl.String else str(values.dtype)
    return DeliveryFault(
        "wrong type",
        f"{given} does not become {_spoken(dtype)}",
        "correct the delivery or change the contract",
        column=values.name,
    )


def _spoken(dtype: pl.DataType) -> str:
    if dtype == pl.Datetime:
        return "ISO 8601 moment with an offset" if dtype.time_zone else "ISO 8601 time without an offset"
    return str(dtype)
