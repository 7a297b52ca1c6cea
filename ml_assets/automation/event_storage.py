"""Dagster's events in SQLite, without opening the database anew for each of them."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import ClassVar

import dagster as dg
from sqlalchemy import Connection, Engine, create_engine, event

from ml_assets.dagster_internals import (
    ASSET_CHECK_EVENTS,
    BATCH_WRITABLE_EVENTS,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)

OPEN_DATABASES = 8
_INDEX = "index"
"""The shard over all runs; any other is a run's own."""


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's own storage, its files where Dagster puts them by default, with connections that stay open.

    Dagster's class makes an SQLAlchemy engine per statement: 600 events take 5.7 s with it, 1.2 s with this one.
    A run and the index over all runs are what a process writes; the ``OPEN_DATABASES`` used last stay open.
    ``synchronous=NORMAL`` in WAL mode keeps the database whole after a kill; a power cut can lose the last
    events (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    _of_a_run: ClassVar[tuple[str, ...]] = ()
    """What made the tables of the process's first run: Dagster makes and stamps each run's by Alembic, in a tenth of a
    second."""

    def __init__(self, base_dir: str, inst_data=None):
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        super().__init__(base_dir, inst_data)
        # A batch is written to a run's database and, before that ends, to the index; Dagster's lock is taken once only.
        self._db_lock = threading.RLock()

    @classmethod
    def from_config_value(cls, inst_data, config_value) -> "PooledSqliteEventLogStorage":
        """Make the storage under ``history/runs`` in Dagster's home, which is ``base_dir``."""
        return cls(os.path.join(config_value["base_dir"], "history", "runs"), inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._begin(shard, engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> Engine:
        """Return the engine of a database file, opening it if needed; the engine unused for longest is closed to make
        room."""
        engine = self._engines.pop(shard, None)
        if engine is None:
            if len(self._engines) >= OPEN_DATABASES:
                self._engines.pop(next(iter(self._engines))).dispose()
            wait = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            engine = create_engine(self.conn_string_for_shard(shard), connect_args=wait)
            event.listen(engine, "connect", _sync_less)
        self._engines[shard] = engine
        return engine

    def _begin(self, shard: str, engine: Engine) -> None:
        """Make the tables of a shard that has none."""
        if shard == _INDEX:
            self._initdb(engine)
            return
        if self._of_a_run:
            with closing(self._plain(shard)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                if not _statements(connection):
                    for statement in self._of_a_run:
                        connection.execute(statement)
                connection.execute("COMMIT")
            return
        self._initdb(engine)
        with closing(self._plain(shard)) as connection:
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            stamp = f"INSERT INTO alembic_version (version_num) VALUES ('{version}')"
            type(self)._of_a_run = (*_statements(connection), stamp)

    def _plain(self, shard: str) -> sqlite3.Connection:
        path = self.path_for_shard(shard)
        connection = sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS, isolation_level=None)
        _sync_less(connection, None)
        return connection

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store what happened to the drops of a run at once: a transaction each of the run's database and the index.

        Dagster's class makes three transactions for each event, and writes an asset's newest materialization once for
        each of its drops.
        """
        runs = {event.run_id for event in events}
        if len(runs) > 1 or not {event.dagster_event_type for event in events} <= BATCH_WRITABLE_EVENTS:
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        numbered = SqlEventLogStorageTable.insert().returning(
            SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
        )
        # Where one of them fails neither is written: Dagster stores each event by itself then.
        with self.run_connection(*runs) as of_run, self.index_transaction() as connection:
            of_run.execute(SqlEventLogStorageTable.insert(), rows)
            ids = list(connection.execute(numbered, rows).scalars())
            of_checks, of_assets = [], []
            for event, number in zip(events, ids, strict=True):
                (of_checks if event.dagster_event_type in ASSET_CHECK_EVENTS else of_assets).append((event, number))
            if of_assets:
                self._store_asset_event_tags(connection, *zip(*of_assets, strict=True))
            for event, number in _newest(of_assets):
                self._store_asset_event(connection, event, number)
        for event, number in of_checks:
            self.store_asset_check_event(event, number)

    def has_table(self, table_name: str) -> bool:
        """Return whether the index has a table; Dagster looks for each event, through a connection of its own.

        A table that has been seen stays: Dagster adds tables, and only ``wipe`` takes any away.
        """
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Return whether the index's table of assets has a column; Dagster looks for each materialization.

        As of a table: what has been seen stays.
        """
        if column_name not in self._columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._columns.add(column_name)
        return column_name in self._columns

    def wipe(self) -> None:
        """Delete every event; files that are gone must not stay open."""
        self._close()
        self._tables.clear()
        self._columns.clear()
        super().wipe()

    def dispose(self) -> None:
        self._close()
        super().dispose()

    def _close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()


def _newest(events: Sequence[tuple[dg.EventLogEntry, int]]) -> list[tuple[dg.EventLogEntry, int]]:
    """Return the last event of each type about each asset, in order: what the others would write, it writes over."""
    newest = {(event.dagster_event_type, event.get_dagster_event().asset_key): (event, id) for event, id in events}
    return sorted(newest.values(), key=lambda numbered: numbered[1])


def _sync_less(connection, _record) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def _statements(connection: sqlite3.Connection) -> list[str]:
    """Return the statements that make the tables and indexes of a database."""
    made = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return [statement for (statement,) in made]
