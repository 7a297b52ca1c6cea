"""How a column of a frame is counted: as numbers or as text."""

from typing import Literal

import numpy as np
import polars as pl

Kind = Literal["number", "text"]


def kind_of(name: str, dtype: pl.DataType) -> Kind:
    """Return how a column is counted; moments and durations are numbers, in their own unit.

    Raises:
        TypeError: it is neither number, moment nor text.
    """
    if dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.Boolean, pl.Null):
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    raise TypeError(
        f"column {name!r} is {dtype}: only numbers, moments and text have profiles; cast it or leave it out"
    )


def as_numbers(column: pl.Series) -> pl.Series:
    """Return a column's values as Float64, nulls kept; whole numbers beyond 2^53 lose digits."""
    return (column.to_physical() if column.dtype.is_temporal() else column).cast(pl.Float64)


def sorted_values(column: pl.Series) -> tuple[np.ndarray, int, int]:
    """Return the values that are there, float64 ascending, how many are null, and how many are not a number."""
    numbers = as_numbers(column)
    ordered = np.sort(numbers.to_numpy())  # nulls are NaN here, and those come last
    there = int(np.searchsorted(ordered, np.nan))
    missing = numbers.null_count()
    return ordered[:there], missing, ordered.size - there - missing
