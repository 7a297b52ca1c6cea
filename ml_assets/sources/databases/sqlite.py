"""SQLite: a column may hold values of any type, so its rows say what it is."""

import os
import sqlite3
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.sources.databases.dialect import Dialect
from ml_assets.sources.databases.kind import DatabaseKind
from ml_assets.sources.databases.stored import Reading, StoredColumn

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class Sqlite(DatabaseKind):
    """SQLite, opened for reading."""

    name = "sqlite"
    schemes = ("sqlite",)
    # SQLite keeps moments as texts, in any of several forms.
    dialect = Dialect('"', "TEXT", "CAST(strftime('%s', {0}) AS INTEGER)", compares=False)

    def target(self, text: str, url: "URL") -> str:
        del text
        return url.database or ""

    def connect(self, target: str) -> sqlite3.Connection:
        if not os.path.exists(target):
            raise FileNotFoundError(f"there is no file {target}")
        escaped = target.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(f"file:{escaped}?mode=ro", uri=True)

    def run(self, connection: sqlite3.Connection, query: str) -> pl.DataFrame:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description]
        columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
        return pl.DataFrame([_typed(name, values) for name, values in zip(names, columns, strict=True)])

    def stored_columns(self, connection: sqlite3.Connection, rows: str) -> list[StoredColumn]:
        cursor = connection.execute(f"SELECT * FROM {rows} WHERE 1 = 0")
        return [StoredColumn(column[0], "", Reading()) for column in cursor.description]


_EXACT = 2**53
"""Whole numbers up to this size are floats exactly."""


def _typed(name: str, values: tuple) -> pl.Series:
    """Return the values in the type that all have; numbers beside texts, or too large to be floats, are texts."""
    kinds = set(map(type, values)) - {type(None)}
    if bytes in kinds:
        return pl.Series(name, [_as_bytes(value) for value in values], pl.Binary)
    if kinds <= {int}:
        return pl.Series(name, values, pl.Int64 if kinds else pl.Null)
    if kinds == {float} or (str not in kinds and _are_floats(values)):
        return pl.Series(name, values, pl.Float64, strict=False)
    return pl.Series(name, values if kinds == {str} else [_as_text(value) for value in values], pl.String)


def _are_floats(values: tuple) -> bool:
    return all(abs(value) <= _EXACT for value in values if type(value) is int)


def _as_text(value: float | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else repr(value)


def _as_bytes(value: float | str | bytes | None) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()
