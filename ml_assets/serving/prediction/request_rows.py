"""The rows of a request, held against their declaration: each value of its type and within its range, or one error."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import polars as pl

from ml_assets.online.values.record import microseconds
from ml_assets.serving.declared import RequestField
from ml_assets.serving.errors import BadRequest

Read = Callable[[Any], Any]
"""A value that is not null as its column holds it; raises ValueError saying what it must be."""

_DATETIME = re.compile(r"Datetime\(time_unit='(ms|us|ns)', time_zone='([^']+)'\)")
_DATETIMES = {"ms": partial(pl.Datetime, "ms"), "us": partial(pl.Datetime, "us"), "ns": partial(pl.Datetime, "ns")}
_BOUNDS = {
    f"{sign}Int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits if sign else bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
FLOAT32 = 3.4028235677973366e38
"""Numbers from this size on are rounded to infinity as a float32."""

_EXACT = 2**53
"""Whole numbers below this size are the same with a decimal point; from it on a float may be the nearest to another."""

_LARGEST = {"Float32": FLOAT32}
UNREADABLE = 422
"""Status where a value breaks what is declared of its field."""

_SHOWN = 40  # characters of a value in an error


def polars_type(name: str) -> pl.DataType:
    """Return the type with this name, such as Int64 or Datetime(time_unit='us', time_zone='UTC').

    Raises:
        ValueError: there is none that a request can hold.
    """
    if matched := _DATETIME.fullmatch(name):
        return _DATETIMES[matched[1]](time_zone=matched[2])
    if name in (*_BOUNDS, "Float32", "Float64", "Boolean", "String", "Date"):
        return getattr(pl, name)()
    raise ValueError(f"{name} is no type that a request can hold")


class RowReader:
    """Reads rows with certain fields."""

    def __init__(self, fields: Sequence[RequestField]) -> None:
        """Compile readers of the fields.

        Raises:
            ValueError: a field has a type that a request cannot hold, or a pattern that is no regular expression.
        """
        self.schema = {field.name: polars_type(field.dtype) for field in fields}
        self._names = set(self.schema)
        self._reads = [(field.name, field.nullable, _reader(field)) for field in fields]

    def read(self, rows: Any, *, most: int) -> list[dict[str, Any]]:
        """Parse rows to the types of their columns: integers, floats, text, booleans, dates, moments in UTC.

        Args:
            rows: what stands in the request.
            most: how many there may be.

        Raises:
            BadRequest: they are no rows, or too many, or a value is missing, unknown, null or wrong.
        """
        if not isinstance(rows, list):
            raise BadRequest("rows: must be a list of objects")
        if len(rows) > most:
            raise BadRequest(f"{len(rows)} rows are more than {most}: send fewer at once", 413)
        if not rows:
            raise BadRequest("rows: there is none")
        return [self._read(at, row) for at, row in enumerate(rows)]

    def _read(self, at: int, row: Any) -> dict[str, Any]:
        if type(row) is not dict:
            raise _broken(f"row {at}: must be an object with a value for each of {', '.join(self.schema)}")
        if row.keys() != self._names:
            raise _broken(f"row {at}: {self._differing(row)}")
        values = {}
        for name, nullable, read in self._reads:
            value = row[name]
            if value is None:
                if not nullable:
                    raise _broken(f"row {at}, field {name}: must not be null")
                values[name] = None
                continue
            try:
                values[name] = read(value)
            except ValueError as error:
                raise _broken(f"row {at}, field {name}: must be {error}, not {_shorten(value)}") from error
        return values

    def _differing(self, row: Mapping[str, Any]) -> str:
        missing, strange = sorted(self._names - row.keys()), sorted(row.keys() - self._names)
        problems = [f"fields {missing} are missing (give null where there is no value)"] if missing else []
        problems += [f"there are no fields {[name[:_SHOWN] for name in strange[:10]]}"] if strange else []
        return "; ".join(problems)


def integer_bounds(field: RequestField) -> tuple[int, int]:
    """Return the least and the largest whole number that a field takes, by its type and its contract."""
    low, high = _BOUNDS[field.dtype]
    low = low if field.minimum is None else max(low, math.ceil(field.minimum))
    high = high if field.maximum is None else min(high, math.floor(field.maximum))
    return low, high


def read_moment(value: Any) -> datetime:
    """Parse a moment of a request, in UTC; raises ValueError with the format that it must have."""
    wanted = "a moment in ISO 8601 with its zone, such as 2013-10-05T12:00:00Z"
    if type(value) is not str:
        raise ValueError(wanted)
    try:
        moment = datetime.fromisoformat(value)
        # The first and the last hours of the calendar have no moment in UTC.
        moment = None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(wanted) from error
    if moment is None:
        raise ValueError(wanted)
    return moment


def read_as_of(value: Any, field: str = "as_of") -> int:
    """Read the moment that a replayed request is of, or another field names, microseconds; raises BadRequest."""
    try:
        return microseconds(read_moment(value))
    except ValueError as error:
        raise BadRequest(f"{field}: must be {error}") from error


def _broken(message: str) -> BadRequest:
    return BadRequest(message, UNREADABLE)


def _shorten(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _reader(field: RequestField) -> Read:
    if field.kind == "integer":
        return partial(_integer, *integer_bounds(field))
    if field.kind == "number":
        largest = _LARGEST.get(field.dtype, math.inf)
        low = -math.inf if field.minimum is None else field.minimum
        high = math.inf if field.maximum is None else field.maximum
        return partial(_number, low, high, largest, field.dtype == "Float32")
    if field.kind == "text":
        choices = None if field.choices is None else frozenset(field.choices)
        return partial(_text, choices, None if field.pattern is None else _whole(field.pattern))
    return {"boolean": _boolean, "date": _date, "moment": read_moment}[field.kind]


def _integer(low: int, high: int, value: Any) -> int:
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return value


def _number(low: float, high: float, largest: float, short: bool, value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"a number{_range(low, high)}")
    value = float(value)
    if not low <= value <= high or not -largest < value < largest:
        raise ValueError(f"a number{_range(low, high)}")
    return _as_float32(value) if short else value


def _as_float32(value: float) -> float:
    return float(pl.Series([value], dtype=pl.Float32)[0])


def _range(low: float, high: float) -> str:
    if low == -math.inf and high == math.inf:
        return ""
    if low == -math.inf:
        return f" of at most {high:g}"
    return f" of at least {low:g}" if high == math.inf else f" from {low:g} to {high:g}"


def _text(choices: frozenset[str] | None, pattern: re.Pattern[str] | None, value: Any) -> str:
    if type(value) is not str:
        raise ValueError("text")
    if choices is not None and value not in choices:
        raise ValueError(f"one of {', '.join(sorted(choices))}")
    if pattern is not None and pattern.match(value) is None:
        raise ValueError(f"text that matches {pattern.pattern}")
    return value


def _whole(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that matches from the start; a `$` at its end allows no line break to follow."""
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    return re.compile(pattern[:-1] + r"\Z" if ends else pattern)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError("a date in ISO 8601, such as 2013-10-05") from error
