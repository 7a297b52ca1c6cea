"""From the bytes of one delivered file to a table of the asked columns, not yet typed."""

import io

import polars as pl

from ml_assets.sources.csv_text import header, read_text
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.unpack import unpack


def load_table(
    data: bytes, file_format: str, columns: list[str], null_values: list[str]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The asked columns in that order (CSV: all String; Parquet: as stored), and the names of all others.

    Raises:
        DeliveryFault: the file cannot be unpacked or parsed, or lacks a column.
    """
    data = unpack(data, file_format)
    is_parquet = file_format == "parquet"
    delivered = list(_parquet(pl.read_parquet_schema, data)) if is_parquet else header(data)
    extra = tuple(name for name in delivered if name not in columns)
    for name in columns:
        if name not in delivered:
            raise DeliveryFault(
                "missing column",
                f"the delivery has {', '.join(delivered)}",
                "have it delivered under this name or change the contract",
                column=name,
            )
    if is_parquet:
        return _parquet(pl.read_parquet, data, columns=columns).select(columns), extra
    return read_text(data, columns, null_values), extra


def _parquet(read, data: bytes, **options):
    try:
        return read(io.BytesIO(data), **options)
    except pl.exceptions.PolarsError as error:
        raise DeliveryFault(
            "unparsable",
            f"no readable Parquet file ({str(error).splitlines()[0]})",
            "have it delivered again",
        ) from error
