"""Columns that are to be stored as another type than before."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable


def retyped_columns(table: "DeltaTable", data: pl.DataFrame | pl.LazyFrame) -> dict[str, pl.DataType]:
    """Return the new type of each column that the table holds as another type."""
    stored = _rows(table).collect_schema()
    given = {name: _as_stored(dtype) for name, dtype in data.collect_schema().items()}
    plain = {name: dtype for name, dtype in given.items() if name in stored and not dtype.is_nested()}
    return {name: dtype for name, dtype in plain.items() if stored[name] != dtype}


def kept_rows(
    table: "DeltaTable", key: str, where: Mapping[str, Sequence[str]], retyped: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """Select the rows outside of ``where``, with their new types.

    Raises:
        ValueError: the new type of a column does not hold every value exactly.
    """
    rows = _rows(table)
    schema = rows.collect_schema()
    if set(where) <= set(schema):
        replaced = pl.all_horizontal(pl.col(column).is_in(values) for column, values in where.items())
        rows = rows.filter(~replaced.fill_null(False))
    lost = rows.select(_changes(name, schema[name], dtype).sum() for name, dtype in retyped.items())
    for name, count in lost.collect(engine="streaming").row(0, named=True).items():
        if count:
            raise ValueError(
                f"table {key!r}: column {name!r} is {retyped[name]} now, which does not hold {count} values of other "
                f"partitions exactly ({schema[name]}): materialize all partitions in one run, or rename the column"
            )
    return rows.with_columns(pl.col(name).cast(dtype) for name, dtype in retyped.items())


def _changes(name: str, given: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    cast = column.cast(dtype, strict=False)
    return (column.is_not_null() & cast.is_null()) | (cast.cast(given, strict=False) != column).fill_null(False)


_SIGNED = {pl.UInt8: pl.Int8, pl.UInt16: pl.Int16, pl.UInt32: pl.Int32, pl.UInt64: pl.Int64}


def _as_stored(dtype: pl.DataType) -> pl.DataType:
    """Return the type that a column has when it is read back."""
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", dtype.time_zone and "UTC")
    return _SIGNED.get(dtype.base_type(), lambda: dtype)()


def _rows(table: "DeltaTable") -> pl.LazyFrame:
    from ml_assets.lake.delta import scan_table

    return scan_table(table.table_uri, table.version())
