"""Numbers, times and spans in another type: the same value, or null.

What "the same value" means, for every place that rows are read from:

- A whole number, or a Decimal, is itself or not held: 300 is no Int8, 1.239 no Decimal(10, 2).
- A float is the nearest to a decimal fraction, as in every program that reads one: 0.1 is held by Float64. Of a
  number written in digits alone nothing may change from the size on at which a float has no fractions (2^53 in
  Float64, 2^24 in Float32): 9007199254740993 is not held. What is written with an exponent is a float already, and
  the nearest is taken.
- No number becomes infinite, and none but zero becomes zero: 1e400 and 1e-400 are not held.
- A moment keeps each fraction of a second, and lies in the years 1 to 9999.
"""

from decimal import Decimal, InvalidOperation
from typing import Literal

import polars as pl

_DIGITS = r"^[+-]?\d*(?:\.\d*)?$"
_ZEROS_AFTER_POINT = r"\.0*$"
_WHOLE_FROM = {pl.Float64: 2.0**53, pl.Float32: 2.0**24}
_FRACTION_BEYOND = {"ms": r"\.\d{3}\d*[1-9]", "us": r"\.\d{6}\d*[1-9]", "ns": r"\.\d{9}\d*[1-9]"}
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_PER_SECOND = {"ms": 10**3, "us": 10**6}


def number_of_text(texts: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return texts as numbers, null where the type does not hold the number; and the numbers after a forced
    conversion."""
    forced = texts.cast(dtype, strict=False)
    if dtype.is_float():
        changed = _changed_by_float(texts, forced)
    elif isinstance(dtype, pl.Decimal):
        changed = _cut_off(texts, dtype.scale)
    else:
        return forced, forced
    return _without(forced, changed), forced


def number_of_number(values: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return numbers in another type, null where it does not hold the number; and the numbers after a forced
    conversion."""
    if values.dtype.is_decimal():
        texts = values.cast(pl.String)
        whole = texts.str.replace(_ZEROS_AFTER_POINT, "") if dtype.is_integer() else texts
        return number_of_text(whole, dtype)
    forced = values.cast(dtype, strict=False)
    if values.dtype.is_integer() and dtype.is_float():
        changed = forced.cast(pl.Int128) != values.cast(pl.Int128)
    elif dtype.is_float():
        whole = (values.abs() >= _WHOLE_FROM.get(dtype.base_type(), 0)) & values.is_finite()
        changed = (forced.is_infinite() & values.is_finite()) | ((forced == 0) & (values != 0))
        changed |= whole & (forced.cast(values.dtype) != values)
    elif values.dtype.is_float():
        changed = values.floor() != values
    else:
        return forced, forced
    return _without(forced, changed), forced


def text_of_number(values: pl.Series) -> pl.Series:
    """Return whole numbers, which may be too large for every other type, as their digits."""
    return values.cast(pl.String)


def text_of_time(times: pl.Series) -> pl.Series:
    """Return times of day in ISO 8601, such as 08:30:00 or 08:30:00.500."""
    return times.dt.to_string("%H:%M:%S%.f")


def in_unit(values: pl.Series, dtype: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return moments or durations in another type's unit and zone, and what they would become by force.

    Where a part of a second would be lost the first is null.
    """
    forced = values.cast(dtype, strict=False)
    same = forced.dt.cast_time_unit(unit_of(values.dtype)).to_physical() == values.to_physical()
    return _without(forced, ~same), forced


def day_of(times: pl.Series) -> pl.Series:
    """Return times without a zone as their dates; null for all but midnight."""
    days = times.dt.date()
    return _without(days, days.cast(times.dtype) != times)


def in_calendar(moments: pl.Series) -> pl.Series:
    """Return dates or moments of the years 1 to 9999; null for all others, which no program can name."""
    if moments.dtype != pl.Date and unit_of(moments.dtype) == "ns":  # which end in 2262
        return moments
    per_day = 1 if moments.dtype == pl.Date else 86_400 * _PER_SECOND[unit_of(moments.dtype)]
    number = moments.to_physical()
    outside = (number < _YEAR_1 // 86_400 * per_day) | (number >= _YEAR_10000 // 86_400 * per_day)
    return _without(moments, outside)


def has_finer(texts: pl.Series, unit: str) -> pl.Series:
    """Return whether a text has more digits of a second than the unit holds."""
    return texts.str.contains(_FRACTION_BEYOND[unit])


def _without(values: pl.Series, changed: pl.Series) -> pl.Series:
    return values.set(changed.fill_null(False), None) if changed.any() else values


def _changed_by_float(texts: pl.Series, forced: pl.Series) -> pl.Series:
    changed = pl.repeat(False, len(texts), eager=True)
    # Few values are of such a size, so that few texts are looked at again.
    for extreme, words in ((forced.is_infinite(), r"\d"), (forced == 0, r"^[^eE]*[1-9]")):
        if extreme.any():
            changed |= (extreme & texts.str.contains(words)).fill_null(False)
    large = (forced.abs() >= _WHOLE_FROM.get(forced.dtype.base_type(), 0)) & forced.is_finite()
    suspects = large.fill_null(False).arg_true()
    suspects = suspects.filter(texts.gather(suspects).str.contains(_DIGITS))
    if len(suspects):
        wrong = _differs(texts.gather(suspects), forced.gather(suspects))
        changed = changed.scatter(suspects.filter(wrong), True)
    return changed


def _differs(digits: pl.Series, numbers: pl.Series) -> pl.Series:
    """Return whether whole numbers differ from the digits of their texts."""
    whole = digits.str.replace(_ZEROS_AFTER_POINT, "")
    written, is_now = whole.cast(pl.Int128, strict=False), numbers.cast(pl.Int128, strict=False)
    differs = (written != is_now).fill_null(True)
    for place in (differs & (numbers.abs() >= 2.0**126)).arg_true():  # larger than any whole number of Polars
        differs[place] = Decimal(digits[place]) != Decimal(numbers[place])
    return differs


def _cut_off(texts: pl.Series, scale: int) -> pl.Series:
    """Return whether a text has digits after the point beyond those of a Decimal."""
    cut = texts.str.contains(rf"\.\d{{{scale}}}\d*[1-9]")
    for place in texts.str.contains("[eE]").fill_null(False).arg_true():  # as no exact number is usually written
        cut[place] = _places(texts[place]) > scale
    return cut


def _places(text: str) -> int:
    """Return how many digits after the point a number has when it is written without an exponent."""
    try:
        number = Decimal(text).as_tuple()
    except InvalidOperation:
        return 0  # no number, which the cast has shown already
    significant = "".join(map(str, number.digits)).rstrip("0")
    return len(significant) - len(number.digits) - int(number.exponent) if significant else 0


def unit_of(dtype: pl.DataType) -> Literal["ns", "us", "ms"]:
    """Return the unit of time that moments or durations are counted in."""
    if not isinstance(dtype, pl.Datetime | pl.Duration):
        raise TypeError(f"{dtype} has no unit of time")
    return dtype.time_unit


def zone_of(dtype: pl.DataType) -> str | None:
    """Return the time zone of moments; None of times without a zone, and of all other types."""
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def first_true(flags: pl.Series) -> int:
    """Return the place of the first true value; there must be one."""
    place = flags.arg_max()
    assert place is not None, "a series without rows has no first true value"
    return place
