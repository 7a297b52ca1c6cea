"""A built mart in types that tables keep, features can be made of and a server can answer with."""

from pathlib import Path

import polars as pl

from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.parquet_types import columns_of_kind, plain_frame, read_around_intervals, text_of_uuid
from ml_assets.sources.values.typed import typed_column
from ml_assets.transform.project import DbtFailed


def read_mart(name: str, path: Path) -> pl.DataFrame:
    """Return the rows of a mart.

    DuckDB sums whole numbers to Decimal(38, 0) and fractions to wider decimals: a whole number is read as Int64, a
    fraction as Float64. Numbers without a sign, times of day, UUIDs, categories and intervals become what a contract
    would declare in their place. No value changes.

    Raises:
        DbtFailed: a value does not fit, or no table keeps a column's type; with the mart, the column and what to do.
    """
    try:
        return _kept(path)
    except DeliveryFault as fault:
        raise DbtFailed(
            f"mart {name}, column {fault.column!r}: {fault.detail}; cast it in the model's SQL to what shall be kept"
        ) from fault


def _kept(path: Path) -> pl.DataFrame:
    frame = (
        read_around_intervals([path])[0] if columns_of_kind(path, "INTERVAL") else plain_frame(pl.read_parquet(path))
    )
    uuids = columns_of_kind(path, "UUID")
    frame = frame.with_columns(text_of_uuid(frame[name]) for name in uuids)
    return pl.DataFrame([_kept_column(column) for column in frame.iter_columns()])


def _kept_column(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Duration:
        return column.dt.total_microseconds()
    dtype = _kept_type(column.dtype)
    return column if dtype is None else typed_column(column, dtype)


def _kept_type(given: pl.DataType) -> pl.DataType | None:
    """Return the type to cast a column to; None where its type stays."""
    if isinstance(given, pl.Decimal):
        return pl.Float64() if given.scale else pl.Int64()
    if given in (pl.UInt64, pl.Int128, pl.UInt128, pl.UInt32):
        return pl.Int64()
    if isinstance(given, pl.Datetime):
        return pl.Datetime("us", "UTC" if given.time_zone else None)
    narrow = {pl.UInt8: pl.Int16(), pl.UInt16: pl.Int32()}
    texts = dict.fromkeys((pl.Time, pl.Categorical, pl.Enum, pl.Null), pl.String())
    return (narrow | texts).get(given.base_type())
