"""A table of the lake: its size, its columns, and what these are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.public.project import Project


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        made_of: asset key and column of each that it is made of, as the last run recorded it.
    """

    name: str
    dtype: str
    private: bool
    made_of: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TablePage:
    """A table of the lake.

    Attributes:
        source: the source that it is of; empty for another table.
        cut_by: its partition columns.
    """

    key: str
    source: str
    rows: int
    version: int
    written_at: datetime
    cut_by: tuple[str, ...]
    columns: Sequence[TableColumn]


def read_table(project: Project, key: str, records: Any, private: Callable[[str], frozenset[str]]) -> TablePage:
    """Read what is known of a table, without its rows.

    Raises:
        UnknownName: there is no such table; the message names those nearest.
        TableMissing: it is declared, and was not written yet.
    """
    scanned, lake = project.table(key), project.lake
    hidden, lineage = private(key), records.lineage(key.split("/"))
    columns = [
        TableColumn(name, str(dtype), name in hidden, tuple(lineage.get(name, ())))
        for name, dtype in scanned.collect_schema().items()
    ]
    name = key.partition("/")[0]
    return TablePage(
        key=key,
        source=name if name in project.sources else "",
        rows=scanned.select(pl.len()).collect().item(),
        version=lake.version(key),
        written_at=lake.written_at(key),
        cut_by=tuple(lake.cut_by(key)),
        columns=columns,
    )
