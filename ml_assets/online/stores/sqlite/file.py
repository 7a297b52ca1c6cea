"""The file itself: connections of threads and processes, transactions, and whether it is still the one at its path."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ml_assets.disk_faults import describe_fault
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.sqlite.tables import lacking_columns

BUSY_SECONDS = 60
"""How long a writer waits for another one; a write takes milliseconds."""

_LOOK_AGAIN_MS = 1
"""How soon a writer that waits for another process looks again. SQLite by itself looks after up to 100 milliseconds, in
which many writers are done and none writes."""

_INCREMENTAL = 2
"""The kind of `auto_vacuum` with which free pages are given back when it is asked for."""

_SHRUNK_AT_ONCE, _LEFT_FREE = 2000, 1000
"""Pages of 4 KiB: given back in one transaction, and left free for what comes next."""

_LOG_LEFT = 64 * 2**20
"""Bytes that the log of the file keeps when it is begun anew."""

_LOG = logging.getLogger(__name__)


class SqliteFile:
    """The file at `path`, made when it is not there; a connection for each thread of each process.

    A file that another one has taken the place of is left for that one before anything is read; one that is gone is
    never made anew.

    Attributes:
        generation: how many other files were met at the path so far.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        try:
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
        except OSError as error:
            raise self.unavailable(error) from error
        self.generation, self._newest = 0, self._identity()

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection to the file at the path; raises StoreUnavailable where there is none."""
        local = self._local
        # A connection must not be used by a process that inherited it.
        if getattr(local, "process", None) != os.getpid():
            self._connect(None)
        elif not local.db.in_transaction and self._identity() != local.identity:
            self._connect(local.log)
            self.add_columns()  # a backup may be of before them
        return local.db

    def query(self, statement: str, bound: Sequence[Any]) -> list[tuple]:
        """Return all rows that a statement gives."""
        try:
            return self.connection().execute(statement, bound).fetchall()
        except sqlite3.OperationalError as error:
            raise self.unavailable(error) from error

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Begin to write; what was written is there when it ends, unless it raises."""
        return self._transaction(writes=True)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Begin to read the file as it is at one moment."""
        return self._transaction(writes=False)

    def add_columns(self) -> None:
        """Add the columns that a file of before them lacks."""
        db = self.connection()
        if lacking_columns(db):
            with self.writing():
                for statement in lacking_columns(db):
                    db.execute(statement)

    def unavailable(self, error: sqlite3.OperationalError | OSError) -> StoreUnavailable:
        """Return what to raise for what the file, or its disk, does not do."""
        return StoreUnavailable(f"online store {self._path}: {describe_fault(error)}")

    def shrink(self) -> None:
        """Give the disk back what the file has too much: some pages at a time, so that pushes get between.

        A file of before files could shrink is written anew once, when half of it is free.
        """
        db = self.connection()
        free, pages, kind = (_pragma(db, name) for name in ("freelist_count", "page_count", "auto_vacuum"))
        if free < _LEFT_FREE or free < pages // 10:
            return
        try:
            if kind == _INCREMENTAL:
                while free > _LEFT_FREE and (left := self._shrink_some(db)) < free:
                    free = left
            elif free > pages // 2:
                db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
                db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            # The values are there all the same, and the next build tries again.
            _LOG.warning("online store %s: its file could not be made smaller: %s", self._path, error)

    def _shrink_some(self, db: sqlite3.Connection) -> int:
        db.execute(f"PRAGMA incremental_vacuum({_SHRUNK_AT_ONCE})").fetchall()
        return _pragma(db, "freelist_count")

    def close(self) -> None:
        """Close this thread's connection."""
        db = getattr(self._local, "db", None)
        if db is not None:
            db.close()
            del self._local.db, self._local.process

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        db = self.connection()
        try:
            if writes:
                _begin_to_write(db)
            else:
                db.execute("BEGIN")
            yield db
            if writes and self._identity() != self._local.identity:
                raise StoreUnavailable(f"online store {self._path}: the file was replaced: nothing is written")
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise self.unavailable(error) from error
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _identity(self) -> tuple[int, int]:
        try:
            there = os.stat(self._path)
        except OSError as error:
            raise StoreUnavailable(
                f"online store {self._path}: the file is gone ({error.strerror}): build into a new one"
            ) from error
        return there.st_dev, there.st_ino

    def _connect(self, old_log: tuple[int, int] | None) -> None:
        # Looked at first: a file that takes its place right afterwards is noticed by the next use.
        identity = self._identity()
        if old_log is not None and _log(self._path) == old_log:
            raise StoreUnavailable(
                f"online store {self._path}: the file was replaced, and {self._path}-wal is still that of the one "
                "before: stop what uses them, and remove the -wal and -shm files before another takes its place"
            )
        try:
            db = _open(self._path)
        except sqlite3.OperationalError as error:
            raise self.unavailable(error) from error
        local = self._local
        # One that was inherited from another process is not this one's to close.
        if getattr(local, "process", None) == os.getpid():
            local.db.close()
        local.db, local.process, local.identity, local.log = db, os.getpid(), identity, _log(self._path)
        with self._lock:
            if identity != self._newest:
                self._newest, self.generation = identity, self.generation + 1


def _begin_to_write(db: sqlite3.Connection) -> None:
    """Begin to write, when no other process does."""
    until = time.monotonic() + BUSY_SECONDS
    db.execute(f"PRAGMA busy_timeout = {_LOOK_AGAIN_MS}")
    try:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def _open(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    # Of a file that has no tables yet: pages that are free can be given back.
    db.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL")
    # A pushed fact that was answered for must outlive a loss of power.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA mmap_size = 268435456")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_LEFT}")
    db.execute("PRAGMA schema_version")  # the log is opened by the first read
    return db


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def _log(path: str) -> tuple[int, int] | None:
    try:
        there = os.stat(f"{path}-wal")
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino
