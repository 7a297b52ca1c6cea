"""Values of entities in one SQLite file, and what is read of them for requests."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import orjson

from ml_assets.addresses import sqlite_path
from ml_assets.online.stores.errors import NoBuild
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import Stored
from ml_assets.online.stores.sqlite.builds import SqliteBuilds
from ml_assets.online.stores.sqlite.database import SqliteDatabase
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.stores.sqlite.pushes import SqlitePushes
from ml_assets.online.stores.sqlite.snapshot import SqliteSnapshot
from ml_assets.online.stores.sqlite.tables import TABLES
from ml_assets.online.stores.together import ChangeQueue
from ml_assets.online.values.record import Build

_PAIRS = 400
"""Most (view, entity) pairs that one statement reads."""


def open_sqlite(url: str) -> "SqliteStore":
    """Open the store in the file of an SQLAlchemy URL; raises ValueError where it names no file."""
    file = sqlite_path(url)
    if file is None:
        raise ValueError(f"online store {url!r}: names no file; write sqlite:///path for a file")
    return SqliteStore(str(file))


class SqliteStore(SqliteBuilds, SqlitePushes):
    """The store in the file `path`, made when it is not there."""

    def __init__(self, path: str) -> None:
        self._file, self._staged_in = SqliteFile(path), {}
        self._sql = SqliteDatabase(self._file)
        self._together = ChangeQueue(self._change_all)
        self._make_tables()

    def _make_tables(self) -> None:
        db = self._file.connection()
        try:
            db.executescript(TABLES)
        except sqlite3.OperationalError as error:
            raise self._file.unavailable(error) from error
        self._file.add_columns()

    @property
    def generation(self) -> int:
        return self._file.generation

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        if len(keys) > _PAIRS:
            parts = (self.read(keys[i : i + _PAIRS], at) for i in range(0, len(keys), _PAIRS))
            return [rows_read for part in parts for rows_read in part]
        rows_read: list[Stored | None] = [None] * len(keys)
        bound = [part for key in keys for part in key]
        rows = self._file.query(_read_statement(len(keys)), [*bound, at, at]) if keys else []
        for place, build, valid_until, unseen, payload in rows:
            values = orjson.loads(payload or unseen)
            if len(values) == 1:
                rows_read[place] = Stored([], None, valid_until, build, values[0], seen=True, ready=False)
                continue
            # An entity that updates left as it was has no facts of those pushed before them.
            seq, known_at = max(values[0], int(unseen[1 : unseen.index(",")])), values[1]
            del values[:2]
            rows_read[place] = Stored(values, known_at, valid_until, build, seq, payload is not None)
        return rows_read

    def build(self, view: str) -> Build | None:
        rows_read = self._file.query("SELECT record FROM views WHERE view = ?", [view])
        return Build.model_validate_json(rows_read[0][0]) if rows_read else None

    def schema(self, view: str) -> bytes:
        rows_read = self._file.query("SELECT schema FROM views WHERE view = ?", [view])
        if not rows_read:
            raise NoBuild(view)
        return rows_read[0][0]

    def notes(self, keys: Sequence[str]) -> list[str | None]:
        places = ", ".join("?" * len(keys))
        texts = dict(self._file.query(f"SELECT key, text FROM notes WHERE key IN ({places})", keys))
        return [texts.get(key) for key in keys]

    @contextmanager
    def reading(self) -> Iterator[StoreSnapshot]:
        with self._file.reading():
            yield SqliteSnapshot(self._file)

    def close(self) -> None:
        self._file.close()


@lru_cache(maxsize=_PAIRS)
def _read_statement(pairs: int) -> str:
    listed = ", ".join(f"({place}, ?, ?)" for place in range(pairs))
    return f"""
        WITH asked (place, view, entity) AS (VALUES {listed})
        SELECT place, build, valid_until, unseen, (
            SELECT payload FROM moments
            WHERE number = views.number AND entity = asked.entity AND valid_from <= ?
            ORDER BY valid_from DESC LIMIT 1
        ) FROM asked CROSS JOIN views ON views.view = asked.view AND begins <= ?
    """
