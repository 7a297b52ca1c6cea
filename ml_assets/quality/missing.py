"""What counts as a missing value."""

import polars as pl


def is_missing(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return for each row whether the column is null, or NaN, which Pandera too takes for missing."""
    null = pl.col(name).is_null()
    return (null | pl.col(name).is_nan()).fill_null(True) if dtype.is_float() else null
