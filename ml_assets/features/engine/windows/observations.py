"""The values that windows summarise: one expression over the known rows, without the missing ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from ml_assets.features.aggregates import AggregateFunction, PositionFunction
from ml_assets.features.engine.windows import exact
from ml_assets.features.errors import FeatureError

_NEEDS_NUMBERS = {"mean", "sum", "std"}
_NEEDS_ORDER = {"min", "max"}


@dataclass(frozen=True)
class Observations:
    """Non-missing values in the order of the rows they come from.

    Attributes:
        values: int64 or float64; integers, booleans and times as int64.
        present: the same values as they are in the column, for `first` and `last`.
        dtype: the type that `min` and `max` give back.
        offsets: int64, how many values come from the first 0, 1, ... n rows; None if every row has one.
    """

    values: np.ndarray
    present: pl.Series
    dtype: pl.DataType
    offsets: np.ndarray | None

    @cached_property
    def sums(self) -> exact.Limbs:
        """Exact prefix sums of the values."""
        return exact.prefix_sums(exact.split(self.values))

    @cached_property
    def squares(self) -> exact.Limbs:
        """Exact prefix sums of the squared values."""
        return exact.prefix_sums(exact.square(exact.split(self.values)))

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Turn row counts (`rows` rows come before) into value counts."""
        return rows if self.offsets is None else self.offsets[rows]


def observe(where: str, series: pl.Series) -> Observations:
    """Take the non-missing values of a column: null and, as in XGBoost and pandas, NaN count as missing.

    Args:
        where: what to call the column in an error.
        series: one value per known row.

    Raises:
        FeatureError: a value is infinite.
    """
    dtype = _result_type(series.dtype)
    if series.dtype.is_float() or series.dtype.is_decimal() or series.dtype == pl.Null:
        series = series.cast(pl.Float64).fill_nan(None)
    present = series.is_not_null()
    seen = series.drop_nulls()
    values = _numbers(seen)
    if values.dtype == np.float64 and np.isinf(values).any():
        raise FeatureError(
            f"{where} is infinite in {int(np.isinf(values).sum())} of {len(series)} known rows; "
            "if it divides, divide by NULLIF(..., 0), which gives null instead"
        )
    offsets = None if present.all() else np.concatenate([[0], np.cumsum(present.to_numpy())])
    return Observations(values, seen, dtype, offsets)


def refuse_functions(where: str, dtype: pl.DataType, functions: Sequence[AggregateFunction | PositionFunction]) -> None:
    """Raise FeatureError if values of a type cannot be summarised by one of the functions.

    Args:
        where: what to call the values.
    """
    number = dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)
    allowed = {"count", "first", "last"} | (_NEEDS_NUMBERS if number else set())
    allowed |= _NEEDS_ORDER if number or dtype.is_temporal() else set()
    if refused := [function for function in functions if function not in allowed]:
        raise FeatureError(f"{where} is {dtype}, of which there is no {', '.join(refused)}: cast it to a number")


def _result_type(dtype: pl.DataType) -> pl.DataType:
    if dtype == pl.Boolean:
        return pl.Int64()
    return pl.Float64() if dtype.is_decimal() or dtype == pl.Null else dtype


def _numbers(series: pl.Series) -> np.ndarray:
    if series.dtype.is_temporal():
        series = series.to_physical()
    if series.dtype.is_float():
        return series.to_numpy()
    if series.dtype.is_integer() or series.dtype == pl.Boolean:
        return series.cast(pl.Int64).to_numpy()
    return np.zeros(len(series), np.int64)
