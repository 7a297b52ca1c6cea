"""The database: connections of threads and processes, transactions, and what is told when it is lost."""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ml_assets.addresses import is_readable, without_secrets
from ml_assets.online.stores.errors import OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.postgresql.tables import ADDED, TABLES
from ml_assets.online.stores.sql.database import SqlDatabase

if TYPE_CHECKING:
    import psycopg

SCHEMA = "ml_assets_online"
"""The schema of the tables, unless the address names another one."""

_IDLE = 16
"""Connections that are kept open in a process while no thread uses them."""

_CONNECT_SECONDS = 10
_LOCK = 1_835_819_891
"""First half of the number of the lock that writers take one after the other; the second is the schema's."""


class PostgresServer(SqlDatabase):
    """The store's schema in the database at an address.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's options; `schema` names another schema.

    Attributes:
        url: without secrets.

    Raises:
        ValueError: the package `psycopg` is not installed, or the address does not fit.
    """

    for_share, for_update = "FOR SHARE", "FOR UPDATE"

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = without_secrets(url).partition("?")[0]
        try:
            import psycopg
            import psycopg.conninfo
        except ImportError:
            raise ValueError(
                f"online store {self.url}: needs the package psycopg: install ml_assets[postgres]"
            ) from None
        options = parse_qsl(parts.query, keep_blank_values=True)
        self._schema = dict(options).get("schema", SCHEMA)
        if not re.fullmatch("[a-z_][a-z0-9_]{0,62}", self._schema):
            raise ValueError(f"online store {self.url}: schema={self._schema} must be small letters, digits and _")
        query = urlencode([each for each in options if each[0] != "schema"])
        try:
            given = psycopg.conninfo.conninfo_to_dict(parts._replace(query=query).geturl())
        except psycopg.ProgrammingError:
            given = None
        if given is None or "@" in parts.path or not is_readable(url):
            # Neither the address nor what the client says of it is shown: a password may be in it.
            raise ValueError(
                "online store postgresql://...: cannot be read: write postgresql://user:password@host:port/database, "
                "with what else than letters and digits is in the password as %-codes, and options that libpq has"
            )
        self._options = {"connect_timeout": _CONNECT_SECONDS, "application_name": "ml_assets", **given}
        self._psycopg, self.already_there = psycopg, psycopg.errors.UniqueViolation
        self._local = threading.local()
        self._idle: list[psycopg.Connection[Any]] = []
        self._process, self._made = os.getpid(), False

    def query(self, statement: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = getattr(self._local, "connection", None)
        text = self._named(statement)
        with self._reached():
            if connection is not None:
                return connection.execute(text, bound).fetchall()
            connection, rows = self._on_live(text, bound)
            self._give_back(connection)
            return rows

    def execute(self, statement: str, bound: Sequence[Any] = ()) -> None:
        with self._reached():
            self._local.connection.execute(self._named(statement), bound)

    def analyze(self, table: str) -> None:
        """Count the values of a table, so that statements about it are planned for what is in it."""
        with self._reached():
            self._give_back(self._on_live(self._named(f"ANALYZE {table}"), (), rows=False)[0])

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with self._local.connection.cursor().copy(self._named(copy)) as copying:
            for row in rows:
                copying.write_row(row)

    def _named(self, statement: str) -> bytes:
        """Return a statement with the schema in place of each `@`."""
        return statement.replace("@", f"{self._schema}.").encode()

    def writing_apart(self) -> AbstractContextManager["psycopg.Connection[Any]"]:
        return self._transaction(b"BEGIN")

    def writing(self) -> AbstractContextManager["psycopg.Connection[Any]"]:
        # Each statement sees what was written before, so that what is read holds until the end.
        return self._transaction(f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK}, hashtext('{self._schema}'))".encode())

    def reading(self) -> AbstractContextManager["psycopg.Connection[Any]"]:
        """Begin to read the database as it is at one moment."""
        return self._transaction(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def close(self) -> None:
        """Close the connections that no thread uses."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: bytes) -> Iterator["psycopg.Connection[Any]"]:
        with self._reached():
            connection, _ = self._on_live(begin, (), rows=False)
            self._local.connection = connection
            try:
                yield connection
                self._commit(connection)
            finally:
                self._local.connection = None
                self._give_back(connection)

    def _commit(self, connection: "psycopg.Connection[Any]") -> None:
        try:
            done = connection.execute("COMMIT").statusmessage
        except self._psycopg.Error as error:
            if connection.closed:
                raise OutcomeUnknown(f"online store {self.url}: {_line(error)}: it may be written or not") from error
            raise
        if done != "COMMIT":
            raise StoreUnavailable(f"online store {self.url}: an error was met before: nothing is written")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            raise StoreUnavailable(f"online store {self.url}: {_line(error)}") from error

    def _on_live(
        self, statement: bytes, bound: Sequence[Any], *, rows: bool = True
    ) -> tuple["psycopg.Connection[Any]", list[tuple[Any, ...]]]:
        """Run a statement, which does no harm when it is run twice, on a connection that is not lost yet."""
        if self._process != os.getpid():
            # A connection must not be used by a process that inherited it, nor closed.
            self._idle, self._process = [], os.getpid()
        while True:
            kept = bool(self._idle)
            connection = self._idle.pop() if kept else self._connect()
            try:
                # What begins a transaction is several statements, which cannot be prepared.
                cursor = connection.execute(statement, bound or None, prepare=None if rows else False)
                return connection, cursor.fetchall() if rows else []
            except BaseException:
                # Those that were kept beside one that is lost may be lost as well: it is tried until a new one is made.
                lost = connection.closed
                self._give_back(connection)
                if not (kept and lost):
                    raise

    def _give_back(self, connection: "psycopg.Connection[Any]") -> None:
        status = self._psycopg.pq.TransactionStatus
        if connection.info.transaction_status in (status.INTRANS, status.INERROR):
            connection.rollback()
        if connection.info.transaction_status == status.IDLE and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = self._psycopg.connect(**self._options, autocommit=True)
        if not self._made:
            self._make_tables(connection)
            self._made = True
        return connection

    def _make_tables(self, connection: "psycopg.Connection[Any]") -> None:
        if self._has_tables(connection, whole=True):
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, self._schema])
            if not self._has_tables(connection):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}".encode())
                connection.execute(self._named(TABLES))
            elif not self._has_tables(connection, whole=True):
                connection.execute(self._named(ADDED))

    def _has_tables(self, connection: "psycopg.Connection[Any]", *, whole: bool = False) -> bool:
        """Return whether the tables are there, and with `whole` also the columns that they have got since."""
        # Of a table, as a function such as to_regclass would not see what was made while the lock was waited for.
        there = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'refused'"
        if whole:
            there = (
                "SELECT 1 FROM pg_attribute WHERE attname = 'api_key' AND attrelid IN ("
                "SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
                "WHERE nspname = %s AND relname = 'refused')"
            )
        return connection.execute(there, [self._schema]).fetchone() is not None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
