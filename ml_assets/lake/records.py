"""Records that are added to a table and never changed: what was decided, in the order in which it was."""

from collections.abc import Mapping, Sequence

import polars as pl
from pydantic import BaseModel

from ml_assets.lake.commits import Moves
from ml_assets.lake.parsing import Record, parse_record
from ml_assets.lake.tables import Lake, TableVersion

NUMBER, RECORD = "_number", "record"
"""Columns: the place of a record in the order, from 1, and the whole of it as JSON."""


def read_records(lake: Lake, key: str, kind: type[Record]) -> list[Record]:
    """Read every record of a table, the oldest first; empty where there is none yet.

    Raises:
        ValueError: a row holds something else.
    """
    if not lake.exists(key):
        return []
    rows = lake.scan(key)
    if NUMBER in rows.collect_schema():
        rows = rows.sort(NUMBER, nulls_last=False, maintain_order=True)
    return [parse_record(key, kind, text) for text in rows.select(RECORD).collect()[RECORD]]


def add_records(
    lake: Lake,
    key: str,
    records: Sequence[BaseModel],
    columns: Sequence[Mapping[str, object]],
    partition: str,
    moves: Moves | None = None,
) -> tuple[TableVersion, pl.DataFrame]:
    """Add records, in their order, after those that are there; return the rows as they were stored.

    Args:
        columns: of each record what is to be a column of its own; text, numbers, booleans or moments.
        partition: which of these columns the table is partitioned by.
        moves: positions that the same commit moves, see ``Lake.append``.

    Raises:
        PositionMoved: another commit has moved one of them.
    """
    last = 0
    if lake.exists(key) and NUMBER in lake.scan(key).collect_schema():
        last = lake.scan(key).select(pl.col(NUMBER).max().fill_null(0)).collect().item()
    rows = pl.DataFrame(
        [
            {**shown, NUMBER: number, RECORD: record.model_dump_json()}
            for number, (record, shown) in enumerate(zip(records, columns, strict=True), last + 1)
        ],
        infer_schema_length=None,
    )
    # A column that is null in every row has a type all the same.
    rows = rows.with_columns(pl.col(pl.Null).cast(pl.String))
    return lake.append(key, rows, [partition], moves), rows
