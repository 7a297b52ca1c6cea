"""From a declared place to a table of the requested columns, not yet typed, and to the drops of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.delivery.declared import cutting_column
from ml_assets.sources.delivery.request import LoadRequest, Table
from ml_assets.sources.drops.cut import as_starts, period_starts
from ml_assets.sources.drops.grains import drop_start
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.exact import in_calendar


@dataclass(frozen=True)
class RowPlaces:
    """Numbers of rows by the drop that they lie in.

    Attributes:
        before: rows before the first declared drop.
        after: rows after the last one.
        unknown: rows that lie in no drop, as they have no moment.
        waiting: rows of declared drops that are not ingested.
    """

    before: int
    after: int
    unknown: int
    waiting: int


def load(spec: SourceSpec, names: Sequence[str] | None, schema: Schema, columns: list[str]) -> Table:
    """Return the requested columns of these drops (None: of all), and the names of all other columns.

    Of a CSV file come all rows and texts only. Of Parquet files, a Delta table or a query only those rows are
    fetched that lie in the drops, or of which that is not known.

    Args:
        names: drops of one file, folder, table or query.
        schema: what the contract declares.

    Raises:
        DeliveryFault: it cannot be reached, unpacked, parsed or queried, or lacks a column that none of these drops
            may lack; one that all may lack is null.
    """
    table, extra = spec.reader.load(LoadRequest(spec, names, schema, columns))
    absent = [name for name in columns if name not in table.columns]
    table = table.with_columns(pl.lit(None).alias(name) for name in absent).select(columns)
    if spec.impossible_moments == "missing":
        moments = [series for series in table.iter_columns() if series.dtype in (pl.Date, pl.Datetime)]
        table = table.with_columns(map(in_calendar, moments))
    return table, extra


def load_starts(spec: SourceSpec, schema: Schema) -> pl.Series:
    """Return the start of each row's drop, as `starts_of` does, of the place that all drops share.

    Raises:
        DeliveryFault: as `load` and `starts_of` do.
    """
    table, _ = load(spec, None, schema, [spec.drops.cut_column])
    return starts_of(spec, table, schema)


def starts_of(spec: SourceSpec, table: pl.DataFrame, schema: Schema) -> pl.Series:
    """Return the start of each row's drop, as `period_starts` does, by the column that the table is cut by.

    Raises:
        DeliveryFault: the contract has no such column, or a value of it is of the wrong type.
    """
    column = spec.drops.cut_column
    if column not in schema:
        raise DeliveryFault(
            "missing column",
            "drops are cut by it, but the contract has none",
            "change `drops.column`",
            column,
        )
    return period_starts(cutting_column(spec, table[column], schema[column]), spec.drops)


def count_by_place(starts: pl.Series, drops: Drops, ingested: Sequence[str]) -> RowPlaces:
    """Count the rows whose drops begin at `starts`, null of a row in no drop, by where they lie."""
    before = int((starts < drop_start(drops.grain, drops.first)).sum())
    after = 0 if drops.end is None else int((starts >= drop_start(drops.grain, drops.end)).sum())
    taken = int(starts.is_in(as_starts([drop_start(drops.grain, name) for name in ingested]).implode()).sum())
    unknown = starts.null_count()
    return RowPlaces(before, after, unknown, len(starts) - unknown - before - after - taken)
