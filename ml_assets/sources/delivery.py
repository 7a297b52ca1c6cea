"""From a declared place to a table of the asked columns, not yet typed."""

from collections.abc import Sequence

import polars as pl

from ml_assets.sources.csv.order import read_for, with_order
from ml_assets.sources.csv.text import check_one_column, open_csv
from ml_assets.sources.csv.unpack import unpack
from ml_assets.sources.databases.query import load_query
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.files.fetch import fetch, locate, parquet_files
from ml_assets.sources.readers.scan import load_scanned
from ml_assets.sources.schema import Schema, columns_that_begin, may_lack
from ml_assets.sources.spec import PARTITION, SourceSpec
from ml_assets.sources.values.exact import in_calendar
from ml_assets.sources.values.typed import typed_column

Table = tuple[pl.DataFrame, tuple[str, ...]]


def load(spec: SourceSpec, names: Sequence[str] | None, schema: Schema, columns: list[str]) -> Table:
    """The asked columns of these drops (None: of all), and the names of all other columns.

    Of a CSV file come all rows and texts only. Of Parquet files, a Delta table or a query only those rows are
    fetched that lie in the drops, or of which it cannot be told.

    Args:
        names: drops of one file, folder, table or query.
        schema: what the contract declares.

    Raises:
        DeliveryFault: it cannot be reached, unpacked, parsed or queried, or lacks a column that none of these drops
            may lack; one that all may lack is null.
    """
    table, extra = _load(spec, names, schema, columns)
    absent = [name for name in columns if name not in table.columns]
    table = table.with_columns(pl.lit(None).alias(name) for name in absent).select(columns)
    if spec.impossible_moments == "missing":
        moments = [series for series in table.iter_columns() if series.dtype in (pl.Date, pl.Datetime)]
        table = table.with_columns(map(in_calendar, moments))
    return table, extra


def _load(spec: SourceSpec, names: Sequence[str] | None, schema: Schema, columns: list[str]) -> Table:
    asked, optional = names if spec.cut_by else None, may_lack(schema, names)
    if spec.format == "sql":
        return _in_order(spec, load_query(spec, asked, schema, columns, optional))
    address = locate(spec.where).replace(PARTITION, names[0] if names else "")
    if spec.format == "delta":
        return _in_order(spec, load_scanned(address, spec, asked, schema, columns, optional))
    if spec.format == "parquet":
        return _load_parquet(spec, address, asked, schema, columns, optional)
    file = open_csv(unpack(fetch(address), spec.format), spec.csv, spec.header)
    wanted = columns if spec.order is None else read_for(spec.order, columns, file.names)
    check_one_column(file, wanted)
    extra = check_columns(wanted, file.names, optional)
    table = file.read([name for name in wanted if name in file.names], spec.null_values)
    return table if spec.order is None else with_order(table, spec.order), extra


def _load_parquet(
    spec: SourceSpec, address: str, names: Sequence[str] | None, schema: Schema, columns: list[str], optional: set[str]
) -> Table:
    try:
        return load_scanned(address, spec, names, schema, columns, optional)
    except DeliveryFault as fault:
        files = parquet_files(address)[0] if fault.kind in ("missing column", "wrong type") else []
        if len(files) < 2:
            raise
        return _load_apart(spec, files, names, schema, columns)


def _load_apart(
    spec: SourceSpec, files: list[str], names: Sequence[str] | None, schema: Schema, columns: list[str]
) -> Table:
    """The rows of files whose columns or types differ, in the types of the contract.

    A column that begins later may be missing in files from before; which those are their rows tell at the gate.
    """
    tables, beyond = [], {}
    for file in files:
        try:
            table, extra = load_scanned(file, spec, names, schema, columns, columns_that_begin(schema))
            plain = [name for name in table.columns if name in schema and name not in spec.columns]
            tables.append(table.with_columns(typed_column(table[name], schema[name]) for name in plain))
        except DeliveryFault as fault:
            fault.detail = f"{file}: {fault.detail}"
            raise
        beyond |= dict.fromkeys(extra)
    return pl.concat(tables, how="diagonal_relaxed"), tuple(beyond)


def _in_order(spec: SourceSpec, loaded: Table) -> Table:
    """Sorted, by the keys first: the same rows in another order are no other delivery."""
    table, extra = loaded
    return table.sort([*(name for name in spec.key_columns if name in table.columns), *table.columns]), extra
