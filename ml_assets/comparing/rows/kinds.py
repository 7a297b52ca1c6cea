"""The kinds of values that columns have, one class each: how they are read, and whether they have a distribution."""

from abc import ABC, abstractmethod

import polars as pl

from ml_assets.comparing.rows.writing import Writing, plain_moments


class ValueKind(ABC):
    """What the values of a column are.

    Attributes:
        name: of one value, with its article, such as "a number".
        dtype: of values that were read.
        numeric: whether they are compared as numbers.
        categorical: whether they are compared as categories.
        padded: whether spaces around a text are part of the value.
        why_not: why a column of them is compared by neither; empty where it is compared.
    """

    name: str
    dtype: pl.DataType
    numeric: bool = False
    categorical: bool = False
    padded: bool = False
    why_not: str = ""

    def read(self, given: pl.Series, writing: Writing) -> pl.Series:
        """Return delivered values in `dtype`, null where they are missing or do not fit."""
        if given.dtype == pl.Null:
            return given.cast(self.dtype)
        if isinstance(given.dtype, pl.Categorical | pl.Enum):
            given = given.cast(pl.String)
        return self._read(given, writing)

    @abstractmethod
    def _read(self, given: pl.Series, writing: Writing) -> pl.Series: ...

    def _nothing(self, given: pl.Series) -> pl.Series:
        return pl.Series(given.name, [None], self.dtype).new_from_index(0, len(given))


class NumberKind(ValueKind):
    """Whole numbers and those with decimals, as Float64; NaN is missing."""

    name, dtype, numeric = "a number", pl.Float64(), True

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        if given.dtype == pl.String:
            return writing.numbers(given).fill_nan(None)
        if given.dtype.is_numeric() or given.dtype == pl.Boolean:
            return given.cast(pl.Float64).fill_nan(None)
        return self._nothing(given)


class TruthKind(ValueKind):
    """True and false, compared as two categories."""

    name, dtype, categorical = "true or false", pl.Boolean(), True

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        if given.dtype == pl.String:
            return writing.truth(given)
        if given.dtype == pl.Boolean:
            return given
        if given.dtype.is_numeric():
            return given.cast(pl.Float64).replace_strict({0.0: False, 1.0: True}, default=None, return_dtype=pl.Boolean)
        return self._nothing(given)


class TextKind(ValueKind):
    """Texts, compared as categories."""

    name, dtype, categorical, padded = "text", pl.String(), True, True

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        del writing
        if given.dtype == pl.String:
            return given
        if given.dtype.is_float() and given.drop_nulls().round().equals(given.drop_nulls()):
            given = given.cast(pl.Int64, strict=False)  # as 7.0 is written where values are missing
        return (
            given.cast(pl.String) if not (given.dtype.is_nested() or given.dtype == pl.Binary) else self._nothing(given)
        )


class MomentKind(ValueKind):
    """Dates and times, which move on by themselves."""

    name, dtype = "a date or time", pl.Datetime("us")
    why_not = "dates and times move on by themselves"

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        if given.dtype in (pl.Date, pl.Datetime):
            return plain_moments(given)
        return writing.moments(given) if given.dtype == pl.String or given.dtype.is_integer() else self._nothing(given)


class LengthKind(ValueKind):
    """Durations, compared as numbers of seconds."""

    name, dtype, numeric = "a duration", pl.Float64(), True

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        del writing
        return given.dt.total_seconds(fractional=True) if given.dtype == pl.Duration else self._nothing(given)


class TimeOfDayKind(ValueKind):
    """Times of a day, compared as seconds since midnight."""

    name, dtype, numeric = "a time of day", pl.Float64(), True

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        del writing
        return given.cast(pl.Int64).cast(pl.Float64) / 1e9 if given.dtype == pl.Time else self._nothing(given)


class OpaqueKind(ValueKind):
    """Lists, structs, arrays and bytes: only whether there is a value is looked at."""

    name, dtype = "a nested or binary value", pl.Boolean()
    why_not = "nested or binary values have no distribution of their own: give each part a column"

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        del writing
        fits = given.dtype.is_nested() or given.dtype in (pl.Binary, pl.Object)
        return given.is_not_null().replace(False, None) if fits else self._nothing(given)


class EmptyKind(ValueKind):
    """A column without a value: whatever comes is taken as text."""

    name, dtype, padded = "no value", pl.String(), True
    why_not = "the reference has no value in it"

    def _read(self, given: pl.Series, writing: Writing) -> pl.Series:
        return TEXT.read(given, writing)


NUMBER, TRUTH, TEXT, MOMENT = NumberKind(), TruthKind(), TextKind(), MomentKind()
LENGTH, TIME_OF_DAY, OPAQUE, EMPTY = LengthKind(), TimeOfDayKind(), OpaqueKind(), EmptyKind()


def kind_of(dtype: pl.DataType) -> ValueKind:
    """Return the kind of the values of a type."""
    if dtype.is_numeric():
        return NUMBER
    kinds: dict[type[pl.DataType], ValueKind] = {
        pl.Boolean: TRUTH,
        pl.Date: MOMENT,
        pl.Datetime: MOMENT,
        pl.Duration: LENGTH,
        pl.Time: TIME_OF_DAY,
        pl.Null: EMPTY,
        pl.String: TEXT,
        pl.Categorical: TEXT,
        pl.Enum: TEXT,
    }
    return kinds.get(dtype.base_type(), OPAQUE)
