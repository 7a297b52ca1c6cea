"""From a declared place to a table of the asked columns, not yet typed."""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.sources.csv_text import check_one_column, open_csv
from ml_assets.sources.errors import check_columns
from ml_assets.sources.exact import in_calendar
from ml_assets.sources.fetch import fetch, locate
from ml_assets.sources.order import read_for, with_order
from ml_assets.sources.query import load_query
from ml_assets.sources.scan import load_scanned
from ml_assets.sources.spec import PARTITION, SourceSpec
from ml_assets.sources.unpack import unpack

Schema = Mapping[str, pl.DataType]
Table = tuple[pl.DataFrame, tuple[str, ...]]


def load(spec: SourceSpec, names: Sequence[str] | None, schema: Schema, columns: list[str]) -> Table:
    """The asked columns of these drops (None: of all), and the names of all other columns.

    Of a CSV file come all rows and texts only. Of Parquet files, a Delta table or a query only those rows are
    fetched that lie in the drops, or of which it cannot be told.

    Args:
        names: drops of one file, folder, table or query.
        schema: what the contract declares.

    Raises:
        DeliveryFault: it cannot be reached, unpacked, parsed or queried, or lacks a column.
    """
    table, extra = _load(spec, names, schema, columns)
    if spec.impossible_moments == "missing":
        moments = [series for series in table.iter_columns() if series.dtype in (pl.Date, pl.Datetime)]
        table = table.with_columns(map(in_calendar, moments))
    return table, extra


def _load(spec: SourceSpec, names: Sequence[str] | None, schema: Schema, columns: list[str]) -> Table:
    asked = names if spec.cut_by else None
    if spec.format == "sql":
        return _in_order(spec, load_query(spec, asked, schema, columns))
    address = locate(spec.where).replace(PARTITION, names[0] if names else "")
    if spec.format == "delta":
        return _in_order(spec, load_scanned(address, spec, asked, schema, columns))
    if spec.format == "parquet":
        return load_scanned(address, spec, asked, schema, columns)
    file = open_csv(unpack(fetch(address), spec.format), spec.csv, spec.header)
    wanted = columns if spec.order is None else read_for(spec.order, columns, file.names)
    check_one_column(file, wanted)
    extra = check_columns(wanted, file.names)
    table = file.read(wanted, spec.null_values)
    return (table if spec.order is None else with_order(table, spec.order).select(columns)), extra


def _in_order(spec: SourceSpec, loaded: Table) -> Table:
    """Sorted, by the keys first: the same rows in another order are no other delivery."""
    table, extra = loaded
    return table.sort([*(name for name in spec.key_columns if name in table.columns), *table.columns]), extra
