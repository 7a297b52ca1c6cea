"""The file as any SQL database."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from sqlite3 import Connection, IntegrityError
from typing import Any

from ml_assets.online.stores.sql.database import SqlDatabase
from ml_assets.online.stores.sqlite.file import SqliteFile


class SqliteDatabase(SqlDatabase):
    """The file, which has one writer at a time."""

    already_there = IntegrityError

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def query(self, statement: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._file.query(_named(statement), bound)

    def execute(self, statement: str, bound: Sequence[Any] = ()) -> None:
        self._file.connection().execute(_named(statement), bound)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        self._file.connection().executemany(_named(into), rows)

    def writing(self) -> AbstractContextManager[Connection]:
        return self._file.writing()

    def writing_apart(self) -> AbstractContextManager[Connection]:
        return self._file.writing()


def _named(statement: str) -> str:
    return statement.replace("%s", "?").replace("@", "")
