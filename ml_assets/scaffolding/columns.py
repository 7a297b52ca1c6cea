"""What a contract should say about each column, inferred from a sample of the rows."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

import polars as pl

from ml_assets.quality.contracts import NOT_KEPT
from ml_assets.quality.missing import is_missing
from ml_assets.scaffolding.samples.moments import MOMENT
from ml_assets.scaffolding.samples.texts import infer_texts
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.typed import typed_column

Role = Literal["label", "label_known_at"]
Number = int | float | Decimal

MOST_CHOICES = 20
"""Distinct texts, from two on, up to which a column is a list of choices, if each comes up ten times on average."""

LONGEST_CHOICE = 60


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
    smallest: Number | None = None
    largest: Number | None = None
    role: Role | None = None

    @property
    def is_number(self) -> bool:
        return self.dtype.is_numeric()

    @property
    def is_moment(self) -> bool:
        """Whether it can be a prediction time or tell when something was known."""
        return self.dtype == MOMENT


def guess_columns(table: pl.DataFrame) -> tuple[list[Column], list[str], pl.DataFrame]:
    """Return columns, texts that mean 'no value', and the table in the types of the columns.

    Args:
        table: delivered rows: texts (CSV) or values with types of their own. Columns of a type that no cell of a
            plain table has, such as lists, are left out.
    """
    inferred = infer_texts(table)
    columns, rows = describe_columns(inferred.table)
    return columns, inferred.nulls, rows


def describe_columns(table: pl.DataFrame) -> tuple[list[Column], pl.DataFrame]:
    """Return columns, and the table in the types of the columns; texts are texts."""
    typed = [values for series in table.iter_columns() if not isinstance(values := _kept(series), str)]
    return [_described(values) for values in typed], pl.DataFrame(typed)


def left_out(table: pl.DataFrame) -> dict[str, str]:
    """Return the columns that `describe_columns` leaves out, each with the reason and what to do."""
    kept = {series.name: _kept(series) for series in table.iter_columns()}
    return {name: reason for name, reason in kept.items() if isinstance(reason, str)}


def with_role(columns: list[Column], name: str, role: Role) -> list[Column]:
    """Return the columns with a role given to one, which may then be without a value: none is known yet."""
    return [replace(column, role=role, nullable=True) if column.name == name else column for column in columns]


def _described(values: pl.Series) -> Column:
    nullable = bool(values.to_frame().select(is_missing(values.name, values.dtype).any()).item())
    if values.dtype.is_numeric() and values.count():
        finite = values.drop_nulls().filter(values.drop_nulls().is_finite()) if values.dtype.is_float() else values
        if finite.count():
            smallest, largest = (value if isinstance(value, Number) else None for value in (finite.min(), finite.max()))
            return Column(values.name, values.dtype, nullable, smallest=smallest, largest=largest)
    return Column(values.name, values.dtype, nullable, choices=_choices(values))


def _choices(values: pl.Series) -> tuple[str, ...]:
    if values.dtype != pl.String:
        return ()
    distinct = values.drop_nulls().unique()
    return tuple(distinct.sort()) if are_choices(distinct.to_list(), values.count()) else ()


def are_choices(distinct: Collection[str], rows: int) -> bool:
    """Return whether so few different texts, over so many rows that have one, are all that there may be."""
    few = 1 < len(distinct) <= MOST_CHOICES and rows >= 10 * len(distinct)
    return few and max(map(len, distinct)) <= LONGEST_CHOICE


def _kept(values: pl.Series) -> pl.Series | str:
    """Return the values in the type to declare for them, the first that holds them exactly; or why there is none."""
    candidates = _candidates(values.dtype)
    if not candidates:
        return f"{values.dtype}: {NOT_KEPT.get(values.dtype.base_type(), 'no table keeps it')}"
    reason = ""
    for dtype in candidates:
        try:
            return typed_column(values, dtype)
        except DeliveryFault as fault:
            reason = fault.detail
    return f"{values.dtype}: {reason}"


def _candidates(given: pl.DataType) -> list[pl.DataType]:
    """Return the types to declare for a delivered type, the best first; none where a table cannot hold it."""
    if isinstance(given, pl.Datetime):
        return [pl.Datetime("us", "UTC" if given.time_zone else None)]
    if given.is_integer():
        return [pl.Int64(), pl.String()] if given in (pl.UInt64, pl.Int128, pl.UInt128) else [pl.Int64()]
    if isinstance(given, pl.Decimal):
        whole = given.scale == 0
        return [*([pl.Int64()] if whole else []), pl.Float64(), *([pl.String()] if whole else []), given]
    if given.is_float():
        return [pl.Float64()]
    if given in (pl.String, pl.Categorical, pl.Enum, pl.Null, pl.Time):
        return [pl.String()]
    if given == pl.Duration:
        return [pl.Duration("us")]
    return [given] if given in (pl.Boolean, pl.Date) else []


def is_code(name: str) -> bool:
    """Return whether a column's name marks its numbers as codes."""
    return re.search(r"(^|_)(id|code|key|number|no|nr)$", name.lower()) is not None
