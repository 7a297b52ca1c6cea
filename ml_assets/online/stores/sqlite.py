"""Values of entities in one SQLite file: readers are never in the way of writers, nor writers of readers."""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from ml_assets.addresses import sqlite_path
from ml_assets.online.stores.protocol import (
    Change,
    CurrentBuild,
    Decide,
    EntityChange,
    EntityState,
    NoBuild,
    OnlineStore,
    PushedRow,
    Reapply,
    RefusedRow,
    StaleBuild,
    Stored,
    StoreSnapshot,
    StoreUnavailable,
)
from ml_assets.online.stores.together import ChangeQueue, WantedChange
from ml_assets.online.values.record import Build

BUSY_SECONDS = 60
"""How long a writer waits for another one; a write takes milliseconds."""

_PAIRS = 400
"""Most (view, entity) pairs that one statement reads."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS builds (number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS views (
    view TEXT PRIMARY KEY, number INTEGER, build TEXT, begins INTEGER, valid_until INTEGER, unseen TEXT, record TEXT,
    schema BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS moments (
    number INTEGER, entity TEXT, valid_from INTEGER, payload TEXT, PRIMARY KEY (number, entity, valid_from)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (number INTEGER, entity TEXT, rows BLOB, PRIMARY KEY (number, entity));
CREATE TABLE IF NOT EXISTS pushes (view TEXT PRIMARY KEY, last_seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pushed (
    view TEXT, seq INTEGER, arrived_at INTEGER, known_at INTEGER, entity TEXT, row TEXT,
    retracts INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (view, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pushed_of_entity ON pushed (view, entity);
CREATE TABLE IF NOT EXISTS states (
    number INTEGER, entity TEXT, leaf INTEGER, content TEXT, PRIMARY KEY (number, entity, leaf)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, text TEXT, until INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS notes_by_end ON notes (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, of_table TEXT, arrived_at INTEGER, row TEXT, rules TEXT, columns TEXT
);
"""

_PUSHED = "SELECT seq, arrived_at, known_at, entity, row, retracts FROM pushed"
_HEADER = -1
"""Stands in place of a leaf's number for the header of a running state."""

_SINCE_RETRACTIONS = "ALTER TABLE pushed ADD COLUMN retracts INTEGER NOT NULL DEFAULT 0"

_STAGED, _READ, _OLD = "staged", "read", "old"


def open_sqlite(url: str) -> "SqliteStore":
    """Open the store in the file of an SQLAlchemy URL; raises ValueError where it names no file."""
    file = sqlite_path(url)
    if file is None:
        raise ValueError(
            f"online store {url!r}: write sqlite:///path for a file, or redis://host:port/number for a Redis server"
        )
    return SqliteStore(str(file))


class SqliteStore(OnlineStore):
    """The store in the file `path`, made when it is not there; a connection for each thread of each process."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._together = ChangeQueue(self._change_all)
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        db = self._connection()
        db.executescript(_SCHEMA)
        if not _has_retractions(db):
            with self._writing():
                if not _has_retractions(db):
                    db.execute(_SINCE_RETRACTIONS)

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        if len(keys) > _PAIRS:
            parts = (self.read(keys[i : i + _PAIRS], at) for i in range(0, len(keys), _PAIRS))
            return [rows_read for part in parts for rows_read in part]
        rows_read: list[Stored | None] = [None] * len(keys)
        bound = [part for key in keys for part in key]
        rows = self._query(_read_statement(len(keys)), [*bound, at, at]) if keys else []
        for place, build, valid_until, unseen, payload in rows:
            values = orjson.loads(payload or unseen)
            if len(values) == 1:
                rows_read[place] = Stored([], None, valid_until, build, values[0], seen=True, ready=False)
                continue
            seq, known_at = values[0], values[1]
            del values[:2]
            rows_read[place] = Stored(values, known_at, valid_until, build, seq, payload is not None)
        return rows_read

    def build(self, view: str) -> Build | None:
        rows_read = self._query("SELECT record FROM views WHERE view = ?", [view])
        return Build.model_validate_json(rows_read[0][0]) if rows_read else None

    def schema(self, view: str) -> bytes:
        rows_read = self._query("SELECT schema FROM views WHERE view = ?", [view])
        if not rows_read:
            raise NoBuild(view)
        return rows_read[0][0]

    def stage(self, view: str, max_age: timedelta | None) -> int:  # noqa: ARG002 - a file has room for old values
        with self._writing() as db:
            inserted = db.execute("INSERT INTO builds (view, state) VALUES (?, ?) RETURNING number", [view, _STAGED])
            return inserted.fetchone()[0]

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
    ) -> None:
        rows = [(number, entity, moment, f"[{seq},{values}]") for entity, moment, values in moments]
        with self._writing() as db:
            self._require_staged(view, number)
            db.executemany("INSERT INTO facts VALUES (?, ?, ?)", ((number, *each) for each in facts))
            db.executemany("INSERT INTO moments VALUES (?, ?, ?, ?)", rows)

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> None:
        view = build.view
        with self._writing() as db:
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
            later = self.pushed_since(view, build.pushed_seq)
            if later:
                self._write(number, reapply(_SqliteSnapshot(self), CurrentBuild(build, number, schema), later), {})
            db.execute(
                "REPLACE INTO views VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    view, number, build.build, build.begin, build.end,
                    f"[{build.pushed_seq},{unseen}]", build.model_dump_json(), schema,
                ],
            )  # fmt: skip
            db.execute("DELETE FROM pushed WHERE view = ? AND seq <= ?", [view, build.pushed_seq])
            db.execute(
                "INSERT INTO pushes VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
                [view, build.pushed_seq],
            )
            db.execute("UPDATE builds SET state = ? WHERE view = ? AND number < ?", [_OLD, view, number])
            db.execute("UPDATE builds SET state = ? WHERE number = ?", [_READ, number])
        self._clear(view)

    @contextmanager
    def reading(self) -> Iterator[StoreSnapshot]:
        with self._transaction("BEGIN"):
            yield _SqliteSnapshot(self)

    def change(self, decide: Decide, arrived_at: int) -> list[int]:
        return self._together.do(decide, arrived_at)

    def _change_all(self, wanted: Sequence[WantedChange]) -> None:
        """Make changes in one transaction, for the sake of one wait for the disk: each of them whole or not at all.

        Raises whatever keeps all of them from being made.
        """
        with self._writing() as db:
            for each in wanted:
                db.execute("SAVEPOINT change")
                try:
                    each.last = self._change(db, each.decide(_SqliteSnapshot(self)), each.arrived_at)
                except Exception as error:  # whatever it is, it is its own thread's
                    if not db.in_transaction:  # SQLite has given it up, and with it those made before.
                        raise
                    each.error = error
                    db.execute("ROLLBACK TO change")
                db.execute("RELEASE change")

    def _change(self, db: sqlite3.Connection, change: Change, arrived_at: int) -> list[int]:
        last = []
        for each in change.views:
            view = each.built.build.view
            first = self._query("SELECT last_seq FROM pushes WHERE view = ?", [view])[0][0] + 1
            numbered = list(enumerate(each.rows, first))
            db.executemany(
                "INSERT INTO pushed VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(view, seq, arrived_at, r.known_at, r.entity, r.row, r.retracts) for seq, r in numbered],
            )
            last.append(first + len(numbered) - 1)
            db.execute("UPDATE pushes SET last_seq = ? WHERE view = ?", [last[-1], view])
            self._write(each.built.number, each.entities, {row.entity: seq for seq, row in numbered})
        if change.notes:
            db.execute("DELETE FROM notes WHERE until <= ?", [arrived_at])
            db.executemany("REPLACE INTO notes VALUES (?, ?, ?)", [(n.key, n.text, n.until) for n in change.notes])
        db.executemany(
            "INSERT INTO refused (of_table, arrived_at, row, rules, columns) VALUES (?, ?, ?, ?, ?)",
            [(change.table, arrived_at, row.row, row.rules, row.columns) for row in change.refused],
        )
        return last

    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        rows = self._query(
            "SELECT seq, arrived_at, row, rules, columns FROM refused WHERE of_table = ? AND seq > ? ORDER BY seq",
            [table, seq],
        )
        return [(number, arrived_at, RefusedRow(*row)) for number, arrived_at, *row in rows]

    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        return [_pushed(row) for row in self._query(f"{_PUSHED} WHERE view = ? AND seq > ? ORDER BY seq", [view, seq])]

    def close(self) -> None:
        db = getattr(self._local, "db", None)
        if db is not None:
            db.close()
            del self._local.db

    def _connection(self) -> sqlite3.Connection:
        local = self._local
        # A connection must not be used by a process that inherited it.
        if getattr(local, "process", None) != os.getpid():
            local.db, local.process = _connect(self._path), os.getpid()
        return local.db

    def _query(self, statement: str, bound: Sequence[Any]) -> list[tuple]:
        try:
            return self._connection().execute(statement, bound).fetchall()
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        db = self._connection()
        try:
            db.execute(begin)
            yield db
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _unavailable(self, error: sqlite3.OperationalError) -> StoreUnavailable:
        return StoreUnavailable(f"online store {self._path}: {error}")

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged: one that is published marks those begun before it as old."""
        if not self._query("SELECT 1 FROM builds WHERE number = ? AND state = ?", [number, _STAGED]):
            raise StaleBuild(view)

    def _write(self, number: int, changes: Sequence[EntityChange], seqs: Mapping[str, int]) -> None:
        db = self._connection()
        for change in changes:
            entity, seq = change.entity, seqs[change.entity] if change.seq is None else change.seq
            db.execute(
                "DELETE FROM moments WHERE number = ? AND entity = ? AND valid_from >= ?",
                [number, entity, change.since],
            )
            rows = [
                (number, entity, at, f"[{seq},{values}]" if values else f"[{seq}]") for at, values in change.moments
            ]
            db.executemany("INSERT INTO moments VALUES (?, ?, ?, ?)", rows)
            if change.header is not None:
                parts = [(number, entity, _HEADER, f"{seq} {change.header}")]
                parts += [(number, entity, leaf, text) for leaf, text in change.leaves.items()]
                db.executemany("REPLACE INTO states VALUES (?, ?, ?, ?)", parts)

    def _clear(self, view: str) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        with self._writing() as db:
            for (number,) in self._query("SELECT number FROM builds WHERE view = ? AND state = ?", [view, _OLD]):
                db.execute("DELETE FROM moments WHERE number = ?", [number])
                db.execute("DELETE FROM facts WHERE number = ?", [number])
                db.execute("DELETE FROM states WHERE number = ?", [number])
                db.execute("DELETE FROM builds WHERE number = ?", [number])


class _SqliteSnapshot(StoreSnapshot):
    """The file within a transaction of this thread."""

    def __init__(self, store: SqliteStore) -> None:
        self._query = store._query

    def built(self, view: str) -> CurrentBuild | None:
        rows = self._query("SELECT record, number, schema FROM views WHERE view = ?", [view])
        return CurrentBuild(_record(rows[0][0]), *rows[0][1:]) if rows else None

    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:  # noqa: ARG002
        read = f"SELECT content FROM states WHERE number = ? AND entity = ? AND leaf = {_HEADER}"
        states = {}
        for entity in entities:
            rows = self._query(read, [number, entity])
            seq, _, header = rows[0][0].partition(" ") if rows else (None, "", None)
            states[entity] = EntityState(None if seq is None else int(seq), header)
        return states

    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> dict[int, str]:
        read = "SELECT content FROM states WHERE number = ? AND entity = ? AND leaf = ?"
        return {leaf: self._query(read, [number, entity, leaf])[0][0] for leaf in leaves}

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        read = "SELECT rows FROM facts WHERE number = ? AND entity = ?"
        rows = {entity: self._query(read, [number, entity]) for entity in entities}
        return {entity: of_entity[0][0] for entity, of_entity in rows.items() if of_entity}

    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        read = f"{_PUSHED} WHERE view = ? AND entity = ? ORDER BY seq"
        return [_pushed(row) for entity in entities for row in self._query(read, [view, entity])]

    def note(self, key: str) -> str | None:
        rows = self._query("SELECT text FROM notes WHERE key = ?", [key])
        return rows[0][0] if rows else None


def _has_retractions(db: sqlite3.Connection) -> bool:
    """Return whether the file was made, or opened, since facts can be taken back."""
    return "retracts" in [column for _, column, *_ in db.execute("PRAGMA table_info(pushed)")]


def _pushed(row: tuple) -> PushedRow:
    *kept, retracts = row
    return PushedRow(*kept, retracts=bool(retracts))


@lru_cache(maxsize=256)
def _record(text: str) -> Build:
    return Build.model_validate_json(text)


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


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL")
    # A pushed fact that was answered for must outlive a loss of power.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA mmap_size = 268435456")
    return db
