"""What a contract should say about each column, told from a sample of the rows."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.typed import typed_column

Role = Literal["label", "label_known_at"]
MOMENT = pl.Datetime("us", "UTC")

COMMON_NULLS = ("NA", "N/A", "n/a", "NaN", "nan", "NULL", "Null", "null", "None", "none", "-", "?")
"""Texts that people write where there is no value; taken for such only where a column then becomes more than text."""

MOST_CHOICES = 20
"""Distinct texts, from two on, up to which a column is a list of choices, if each comes up ten times on average."""

LONGEST_CHOICE = 60

_LEADING_ZERO = r"^[+-]?0\d"
_WHOLE_NUMBER = r"^[+-]?\d+$"


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        name: as delivered.
        dtype: what its values become.
        nullable: whether it may be without a value.
        choices: the only texts allowed, or empty.
        smallest, largest: the range that was seen of a number; None of anything else.
        role: what it means for a model.
    """

    name: str
    dtype: pl.DataType
    nullable: bool = False
    choices: tuple[str, ...] = ()
    smallest: float | None = None
    largest: float | None = None
    role: Role | None = None

    @property
    def is_number(self) -> bool:
        return self.dtype.is_numeric()

    @property
    def is_moment(self) -> bool:
        """Whether it can be a prediction time or tell when something was known."""
        return self.dtype == MOMENT


def guess_columns(table: pl.DataFrame) -> tuple[list[Column], list[str], pl.DataFrame]:
    """Columns, texts that mean 'no value', and the table in the types of the columns.

    Args:
        table: delivered rows: texts (CSV) or values with types of their own. Columns of a type that no cell of a
            plain table has, such as lists, are left out.
    """
    texts = [series for series in table.iter_columns() if series.dtype == pl.String]
    nulls = sorted({null for series in texts for null in _nulls_of(series)})
    kept: list[Column] = []
    typed: list[pl.Series] = []
    for series in table.iter_columns():
        if nulls and series.dtype == pl.String:
            series = _without(series, nulls)
        dtype = _text_dtype(series) if series.dtype == pl.String else _native_dtype(series.dtype)
        if dtype is not None:
            typed.append(typed_column(series, dtype))
            kept.append(_described(typed[-1]))
    return kept, nulls, pl.DataFrame(typed)


def with_role(columns: list[Column], name: str, role: Role) -> list[Column]:
    """The columns with a role given to one, which may then be without a value: none is known yet."""
    return [replace(one, role=role, nullable=True) if one.name == name else one for one in columns]


def _described(values: pl.Series) -> Column:
    nullable = values.null_count() > 0
    if values.dtype.is_numeric() and values.count():
        finite = values.drop_nulls().filter(values.drop_nulls().is_finite()) if values.dtype.is_float() else values
        if finite.count():
            return Column(values.name, values.dtype, nullable, smallest=finite.min(), largest=finite.max())
    return Column(values.name, values.dtype, nullable, choices=_choices(values))


def _choices(values: pl.Series) -> tuple[str, ...]:
    if values.dtype != pl.String:
        return ()
    distinct = values.drop_nulls().unique()
    few = 1 < len(distinct) <= MOST_CHOICES and values.count() >= 10 * len(distinct)
    return tuple(distinct.sort()) if few and distinct.str.len_chars().max() <= LONGEST_CHOICE else ()


def _nulls_of(texts: pl.Series) -> list[str]:
    found = texts.filter(texts.is_in(COMMON_NULLS)).unique().to_list()
    return found if found and _text_dtype(texts) == pl.String != _text_dtype(_without(texts, found)) else []


def _without(texts: pl.Series, nulls: list[str]) -> pl.Series:
    return texts.set(texts.is_in(nulls), None)


def _text_dtype(texts: pl.Series) -> pl.DataType:
    """The narrowest type that every text becomes exactly, by the same rules as a delivery is read with."""
    values = texts.drop_nulls()
    numbers: list[pl.DataType] = []
    # "007" is a name, and a number of twenty digits would lose some of them.
    if not values.str.contains(_LEADING_ZERO).any():
        numbers = [pl.Int64()] if values.str.contains(_WHOLE_NUMBER).all() else [pl.Float64()]
    truth = [pl.Boolean()] if values.str.to_lowercase().is_in(["true", "false"]).all() else []
    for dtype in [*truth, *numbers, pl.Date(), MOMENT, pl.Datetime("us")]:
        if len(values) and _becomes(values, dtype):
            return dtype
    return pl.String()


def _becomes(values: pl.Series, dtype: pl.DataType) -> bool:
    try:
        typed_column(values, dtype)
    except DeliveryFault:
        return False
    return True


def _native_dtype(given: pl.DataType) -> pl.DataType | None:
    """The type to keep for one that is delivered; None where a table cannot hold it."""
    if given == pl.Datetime:
        return pl.Datetime("us", "UTC" if given.time_zone else None)
    if given.is_integer():
        return pl.Int64()
    if given.is_float():
        return pl.Float64()
    if given in (pl.Categorical, pl.Enum, pl.Null):
        return pl.String()
    return given if given in (pl.Boolean, pl.Date, pl.Decimal) else None


def is_code(name: str) -> bool:
    """Whether a column's name says that its numbers are names."""
    return re.search(r"(^|_)(id|code|key|number|no|nr)$", name.lower()) is not None
