"""Values as they are pushed: each is what the type of its column holds, or refused before any column is made of it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from math import isfinite
from struct import pack
from typing import Any

import polars as pl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UTC = pl.Datetime("us", "UTC")
_PACKED: dict[pl.DataType, str] = {pl.Float16(): "<e", pl.Float32(): "<f", pl.Float64(): "<d"}
"""How `struct` packs a float: in its standard formats it refuses what would become infinite."""

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UNITS = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_IN_NO_JSON = (pl.Binary, pl.Object)
_LISTED = 60
"""Most characters of the categories that a message lists."""


@dataclass(frozen=True, slots=True)
class ValueType:
    """How a value of a type is pushed.

    Attributes:
        read: converts a value, not null, to one that a column of the type takes as it is; raises ValueError, TypeError
            or OverflowError where it is none of the type.
        must_be: what a value must be.
        or_null: the same, where it may be null.
    """

    read: Callable[[Any], Any]
    must_be: str
    or_null: str


@lru_cache(maxsize=256)
def value_type(dtype: pl.DataType) -> ValueType:
    """Return how values of a type are pushed."""
    read, kind = _reader(dtype)
    if kind:
        return ValueType(read, f"it must be {kind}", f"it must be {kind} or null")
    must_be = f"it must be null, as no {dtype} can be pushed"
    return ValueType(read, must_be, must_be)


def column_of(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Make a column of values that the type's reader gave."""
    if dtype == _UTC:
        # Polars takes ten times as long to read a datetime with its zone.
        ticks = [None if value is None else (value - _EPOCH) // _MICROSECOND for value in values]
        return pl.Series(name, ticks, pl.Int64).cast(dtype)
    return pl.Series(name, values, dtype)


def exact_cast(column: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Cast a column to a type that holds its values: whole numbers, decimals, texts and moments as they are, floats
    rounded.

    Returns:
        The column, and whether a value is none of the type: of another kind, too large, or finer than it.
    """
    there = column.is_not_null()
    if not _same_kind(column.dtype, dtype):
        return pl.Series(column.name, [None] * len(column), dtype), there
    if column.dtype == dtype:
        return column, pl.repeat(False, len(column), eager=True)
    cast = column.cast(dtype, strict=False)
    if dtype.is_float():
        return cast, there & (cast.is_null() | (cast.is_infinite() & _is_finite(column)))
    changed = cast.cast(column.dtype, strict=False) != column
    return cast, there & (cast.is_null() | changed.fill_null(True))


def _is_finite(column: pl.Series) -> pl.Series:
    return column.is_finite() if column.dtype.is_float() else column.is_not_null()


def _same_kind(given: pl.DataType, wanted: pl.DataType) -> bool:
    if isinstance(given, pl.Datetime) and isinstance(wanted, pl.Datetime):
        return (given.time_zone is None) == (wanted.time_zone is None)
    if isinstance(given, pl.Duration) and wanted == pl.Int64:
        # Tables keep a Duration as whole microseconds.
        return given.time_unit == "us"
    if given in _IN_NO_JSON:
        return False
    return (
        given == wanted
        or given == pl.Null
        or (given.is_numeric() and wanted.is_numeric())
        or (given in _TEXTS and wanted in _TEXTS)
        or (given.is_temporal() and given.base_type() == wanted.base_type())
    )


def _reader(dtype: pl.DataType) -> tuple[Callable[[Any], Any], str]:
    """Return what reads a value of a type, and what such a value must be; empty where none can be pushed."""
    if isinstance(dtype, pl.Datetime):
        zone = "without a zone" if dtype.time_zone is None else "with its zone"
        return _moment_reader(dtype), f"a moment in ISO 8601 {zone}"
    if isinstance(dtype, pl.Duration):
        return _duration_reader(dtype), f"a whole number of {_UNITS[dtype.time_unit]}"
    if isinstance(dtype, pl.Decimal):
        return _decimal_reader(dtype), f"a number written as text, with at most {_describe_digits(dtype)}"
    if isinstance(dtype, pl.Enum):
        categories = dtype.categories.to_list()
        listed = ", ".join(map(repr, categories))
        shown = listed if len(listed) <= _LISTED else f"{listed[:_LISTED]}..."
        return _choice_reader(frozenset(categories)), f"one of {shown}"
    if dtype.is_integer():
        return _integer_reader(dtype), f"a whole number ({dtype})"
    if dtype.is_float():
        narrower = "" if dtype == pl.Float64 else f" ({dtype})"
        return _float_reader(dtype), f"a finite number{narrower}"
    readers: dict[Any, tuple[Callable[[Any], Any], str]] = {
        pl.Date: (_read_date, "a date in ISO 8601"),
        pl.Time: (_read_time, "a time of day in ISO 8601 without a zone"),
        pl.Boolean: (_read_boolean, "true or false"),
        pl.String: (_read_text, "text"),
        pl.Categorical: (_read_text, "text"),
    }
    return readers.get(dtype.base_type(), (_read_nothing, ""))


def _read_nothing(value: Any) -> Any:
    raise TypeError(value)


def _read_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # Half of a surrogate pair is no character.
    return value


def _read_date(value: Any) -> date:
    day = date.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError(value)
    return day


def _read_time(value: Any) -> time:
    clock = time.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(clock, time) or clock.tzinfo is not None:
        raise TypeError(value)
    return clock


def _moment_reader(dtype: pl.Datetime) -> Callable[[Any], datetime]:
    unit, zoned = dtype.time_unit, dtype.time_zone is not None

    def read(value: Any) -> datetime:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime) or (moment.tzinfo is not None) != zoned:
            raise ValueError(value)
        utc = moment.astimezone(UTC) if zoned else moment
        if unit != "us":
            _in_unit((utc if zoned else utc.replace(tzinfo=UTC)) - _EPOCH, unit)
        return utc

    return read


def _duration_reader(dtype: pl.Duration) -> Callable[[Any], int]:
    whole = _integer_reader(pl.Int64())

    def read(value: Any) -> int:
        return _in_unit(value, dtype.time_unit) if isinstance(value, timedelta) else whole(value)

    return read


def _in_unit(span: timedelta, unit: str) -> int:
    """Return how many units a span has; raises ValueError where that is no whole number of 64 bits."""
    microseconds = span // _MICROSECOND
    count, rest = divmod(microseconds, 1000) if unit == "ms" else (microseconds * (1000 if unit == "ns" else 1), 0)
    if rest or not -(2**63) <= count < 2**63:
        raise ValueError(span)
    return count


def _integer_reader(dtype: pl.DataType) -> Callable[[Any], int]:
    least, most = pl.select(least=dtype.min(), most=dtype.max()).row(0)  # pyright: ignore[reportAttributeAccessIssue]
    # Facts are kept as JSON, which holds 64 bits.
    low, high = max(least, -(2**63)), min(most, 2**64 - 1)

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(value)
        if not low <= value <= high:
            raise OverflowError(value)
        return value

    return read


def _float_reader(dtype: pl.DataType) -> Callable[[Any], float]:
    packed = _PACKED[dtype]

    def read(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(value)
        number = float(value)
        if not isfinite(number):
            raise ValueError(value)
        pack(packed, number)
        return number

    return read


def _decimal_reader(dtype: pl.Decimal) -> Callable[[Any], Decimal]:
    whole, smallest, context = dtype.precision - dtype.scale, Decimal(1).scaleb(-dtype.scale), Context(prec=100)

    def read(value: Any) -> Decimal:
        if isinstance(value, str):
            if not _DECIMAL.fullmatch(value):
                raise ValueError(value)
            value = Decimal(value)
        if not isinstance(value, Decimal) or not value.is_finite():
            raise TypeError(value)
        if value and value.adjusted() >= whole:
            raise OverflowError(value)
        number = value.quantize(smallest, context=context)
        if number != value:
            raise ValueError(value)
        return number

    return read


def _describe_digits(dtype: pl.Decimal) -> str:
    return f"{dtype.precision - dtype.scale} digits before and {dtype.scale} after the point"


def _choice_reader(choices: frozenset[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(value)
        return value

    return read
