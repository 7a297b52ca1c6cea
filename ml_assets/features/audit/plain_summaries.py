"""Summaries of a few values, plainly."""

from typing import Any, cast

import polars as pl

from ml_assets.features.aggregates import AggregateFunction


def present(values: pl.Series) -> pl.Series:
    """Return the values that are neither null nor NaN."""
    if values.dtype.is_integer() or values.dtype == pl.Boolean:
        values = values.cast(pl.Int64)
    if values.dtype.is_float():
        values = values.cast(pl.Float64).fill_nan(None)
    return values.drop_nulls() if values.null_count() else values


def summarise_plainly(values: pl.Series, function: AggregateFunction) -> Any:
    """Summarise values that are all there."""
    if function == "count":
        return len(values)
    if function == "std":
        # Centred first, since a running variance loses digits when values are large and close together.
        return (values - values.mean()).std() if len(values) > 1 else None
    return getattr(values, function)() if len(values) else None


def magnitude(values: pl.Series, function: AggregateFunction) -> float:
    """Return the size of the numbers that a summary adds up, to which the rounding error of a sum is proportional."""
    if function not in ("sum", "mean", "std") or not values.dtype.is_float() or values.is_empty():
        return 0.0
    sizes = values.abs()
    return cast("float", sizes.sum() if function == "sum" else sizes.mean())
