"""Databases, known by the environment variable that holds their connection URL. What the URL holds is never shown."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import polars as pl

from ml_assets.environment import declared_variable
from ml_assets.sources.databases.dialect import Dialect
from ml_assets.sources.databases.kind import DatabaseKind
from ml_assets.sources.databases.mysql import MySql
from ml_assets.sources.databases.postgresql import PostgreSql
from ml_assets.sources.databases.sqlite import Sqlite
from ml_assets.sources.databases.stored import StoredColumn
from ml_assets.sources.errors import DeliveryFault

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_Answer = TypeVar("_Answer")

_HOST = r"(?:[^@/?#:,\[\]\s]*|\[[^\]\s]*\])(?::\d+)?"
# The form is checked here, as SQLAlchemy takes a password with unescaped characters, part of which drivers then take
# for the host and tell; it knows no lists of hosts, and keeps no password as it is written, which must be hidden too.
_SERVER = re.compile(
    rf"[a-z]+(?:\+[a-z0-9]+)?://(?:[^:@/?#\s]*(?::(?P<password>[^:@/?#\s]*))?@)?"
    rf"{_HOST}(?P<more_hosts>(?:,{_HOST})*)(?:/[^?#@\s]*)?(?:\?(?P<settings>[^#\s]*))?"
)
_FILE = re.compile(r"sqlite(?:\+[a-z0-9]+)?:///[^?\s][^?]*")
_EXAMPLES = "postgresql://user:password@host:5432/database, mysql://... or sqlite:////folder/file.db"

KINDS: dict[str, DatabaseKind] = {scheme: kind for kind in (PostgreSql(), MySql(), Sqlite()) for scheme in kind.schemes}
"""Scheme of a URL -> the kind of database that it means."""


@dataclass(frozen=True)
class Database:
    """One database to run queries on.

    Attributes:
        kind: what it is.
        variable: name of the environment variable with its URL.
    """

    kind: DatabaseKind = field(repr=False)
    variable: str
    _target: str = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)
    _connection: Any = field(default=None, repr=False)

    @property
    def dialect(self) -> Dialect:
        """How it writes conditions."""
        return self.kind.dialect

    def run(self, query: str) -> pl.DataFrame:
        """Return the rows of a query, in the types that the driver gives.

        Raises:
            DeliveryFault: "unreachable" or "query failed", without what the URL keeps secret.
        """
        return self._within(lambda connection: self.kind.run(connection, query))

    def columns(self, rows: str) -> list[StoredColumn]:
        """Return the columns of `rows`, a table or a query in brackets with a name; raises as `run` does."""
        return self._within(lambda connection: self.kind.stored_columns(connection, rows))

    @contextmanager
    def connected(self) -> "Iterator[Database]":
        """Yield this database over one connection for all that is asked of it until the block ends.

        Raises:
            DeliveryFault: "unreachable".
        """
        with closing(self._told(lambda: self.kind.connect(self._target), reached=False)) as connection:
            yield replace(self, _connection=connection)

    def _within(self, use: Callable[[Any], _Answer]) -> _Answer:
        if self._connection is not None:
            return self._told(lambda: use(self._connection), reached=True)
        with self.connected() as database:
            return database._within(use)

    def _told(self, ask: Callable[[], _Answer], *, reached: bool) -> _Answer:
        try:
            return ask()
        except DeliveryFault:
            raise
        # A panic inside Polars derives from BaseException.
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - raised below: a driver's own error, or one that refers to it, tells the URL
            fault = self._fault(error, reached)
        raise fault

    def _fault(self, error: BaseException, reached: bool) -> DeliveryFault:
        if isinstance(error, ModuleNotFoundError):
            return DeliveryFault(
                "unreachable",
                f"the driver of {self.kind.name} is not installed",
                f"install {self.kind.driver}",
            )
        reason = " ".join(str(error).split("\n\nQuery was:")[0].split())
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        if reached:
            return DeliveryFault(
                "query failed", f"the database of {self.variable} answers: {reason}", "correct `where.query`"
            )
        return DeliveryFault(
            "unreachable",
            f"the database of {self.variable} cannot be reached ({reason})",
            f"check the network, and address and credentials in {self.variable}",
        )


def open_database(variable: str) -> Database:
    """Return the database whose URL the environment variable holds; nothing is connected yet.

    Raises:
        DeliveryFault: the variable is not set, or holds no URL of a known kind.
    """
    text = (declared_variable(variable) or "").strip()
    if not text:
        raise DeliveryFault(
            "unreachable", f"the environment variable {variable} is not set", f"set it to a URL such as {_EXAMPLES}"
        )
    form = _FILE.fullmatch(text) or _SERVER.fullmatch(text)
    url = None if form is None else _parsed(text, form)
    kind = None if url is None else KINDS.get(url.get_backend_name())
    if form is None or url is None or kind is None or (kind is KINDS["sqlite"]) != (form.re is _FILE):
        raise DeliveryFault(
            "unreachable",
            f"the environment variable {variable} holds no connection URL",
            f"write it as {_EXAMPLES}, with / : @ ? # and blanks in user and password percent-encoded",
        )
    target = kind.target(text, url)
    secrets = {text, target} | _secrets(form) if form.re is _SERVER else set()
    return Database(kind, variable, target, tuple(sorted(secrets, key=len, reverse=True)))


def _parsed(text: str, form: re.Match[str]) -> "URL":
    from sqlalchemy.engine import make_url

    start, end = form.span("more_hosts") if form.re is _SERVER else (0, 0)
    return make_url(text[:start] + text[end:])


def _secrets(form: re.Match[str]) -> set[str]:
    """Return the secret parts of a URL, as they are written and as they are decoded."""
    settings = (setting.partition("=") for setting in (form["settings"] or "").split("&"))
    hidden = [form["password"], *(value for name, _, value in settings if "pass" in name)]
    return {words for secret in hidden if secret for words in (secret, unquote(secret))}
