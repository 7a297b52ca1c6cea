"""Databases, known by the environment variable that holds their connection URL. What the URL holds is never told."""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import polars as pl

from ml_assets.sources.errors import DeliveryFault

CONNECT_SECONDS = 10
"""How long to wait for a PostgreSQL server: a sensor must not hang on one that is gone."""

_HOST = r"(?:[^@/?#:,\[\]\s]*|\[[^\]\s]*\])(?::\d+)?"
# A character that a URL must escape makes it no URL here: drivers would take a part of the password for the host,
# and tell it.
_URL = re.compile(
    rf"(?P<scheme>[a-z]+)(?:\+[a-z0-9]+)?://(?:[^:@/?#\s]*(?::(?P<password>[^:@/?#\s]*))?@)?"
    rf"{_HOST}(?:,{_HOST})*(?:/[^?#@\s]*)?(?:\?(?P<settings>[^#\s]*))?"
)
_SQLITE = re.compile(r"sqlite(?:\+[a-z0-9]+)?:///(?P<file>[^?\s][^?]*)")
_SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_DRIVERS = {"postgresql": "adbc-driver-postgresql", "mysql": "ml_assets[mysql]"}
_EXAMPLES = "postgresql://user:password@host:5432/database, mysql://... or sqlite:////folder/file.db"
_REFUSED = re.compile(r"connect|access denied|unknown database", re.IGNORECASE)


@dataclass(frozen=True)
class Database:
    """One database to run queries on.

    Attributes:
        dialect: postgresql, mysql or sqlite.
        variable: name of the environment variable with its URL.
    """

    dialect: str
    variable: str
    _target: str = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)

    def run(self, query: str) -> pl.DataFrame:
        """The rows of a query, in the types that the driver gives.

        Raises:
            DeliveryFault: "unreachable" or "query failed", without what the URL keeps secret.
        """
        reached = self.dialect == "mysql"  # connectorx connects and asks in one call
        try:
            if self.dialect == "mysql":
                return _ask_mysql(self._target, query)
            with closing(_CONNECT[self.dialect](self._target)) as connection:
                reached = True
                return _ASK[self.dialect](connection, query)
        except Exception as error:  # noqa: BLE001 - raised below: a driver's own error, or one that refers to it, tells the URL
            fault = self._fault(error, reached and not (self.dialect == "mysql" and _REFUSED.search(str(error))))
        raise fault

    def _fault(self, error: Exception, reached: bool) -> DeliveryFault:
        if isinstance(error, ModuleNotFoundError):
            return DeliveryFault(
                "unreachable",
                f"the driver of {self.dialect} is not installed",
                f"install {_DRIVERS[self.dialect]}",
            )
        told = " ".join(str(error).split("\n\nQuery was:")[0].split())
        for secret in self._secrets:
            told = told.replace(secret, "***")
        if reached:
            return DeliveryFault(
                "query failed", f"the database of {self.variable} answers: {told}", "correct `where.query`"
            )
        return DeliveryFault(
            "unreachable",
            f"the database of {self.variable} cannot be reached ({told})",
            f"check the network, and address and credentials in {self.variable}",
        )


def open_database(variable: str) -> Database:
    """The database whose URL the environment variable holds; nothing is connected yet.

    Raises:
        DeliveryFault: the variable is not set, or holds no URL of a known kind.
    """
    url = os.environ.get(variable, "").strip()
    if not url:
        raise DeliveryFault(
            "unreachable", f"the environment variable {variable} is not set", f"set it to a URL such as {_EXAMPLES}"
        )
    file = _SQLITE.fullmatch(url)
    if file:
        return Database("sqlite", variable, file["file"], ())
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"] not in _SCHEMES:
        raise DeliveryFault(
            "unreachable",
            f"the environment variable {variable} holds no connection URL",
            f"write it as {_EXAMPLES}, with / : @ ? # and blanks in user and password percent-encoded",
        )
    dialect = _SCHEMES[parts["scheme"]]
    target = dialect + url[url.index("://") :]
    settings = parts["settings"] or ""
    if dialect == "postgresql" and "connect_timeout=" not in settings:
        target += f"{'&' if '?' in target else '?'}connect_timeout={CONNECT_SECONDS}"
    given = (setting.partition("=") for setting in settings.split("&"))
    hidden = [parts["password"], *(value for name, _, value in given if "pass" in name)]
    secrets = {form for secret in hidden if secret for form in (secret, unquote(secret))}
    return Database(dialect, variable, target, tuple(sorted({url, target} | secrets, key=len, reverse=True)))


def _connect_postgresql(url: str) -> Any:
    from adbc_driver_postgresql import dbapi

    return dbapi.connect(url, autocommit=True)


def _connect_sqlite(file: str) -> sqlite3.Connection:
    if not os.path.exists(file):
        raise FileNotFoundError(f"there is no file {file}")
    return sqlite3.connect(f"file:{file.replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode=ro", uri=True)


def _ask_postgresql(connection: Any, query: str) -> pl.DataFrame:
    frame = pl.read_database(query, connection)
    # Types that Arrow has no word for, such as numeric and json, come as texts with a label.
    labelled = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.datatypes.BaseExtension)]
    return frame.with_columns(pl.col(labelled).ext.storage()) if labelled else frame


def _ask_sqlite(connection: sqlite3.Connection, query: str) -> pl.DataFrame:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    # A column of SQLite may hold values of any type, so all rows decide what its type is.
    return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None, strict=False)


def _ask_mysql(url: str, query: str) -> pl.DataFrame:
    return pl.read_database_uri(query, url, engine="connectorx")


_CONNECT: dict[str, Callable[[str], Any]] = {"postgresql": _connect_postgresql, "sqlite": _connect_sqlite}
_ASK: dict[str, Callable[[Any, str], pl.DataFrame]] = {"postgresql": _ask_postgresql, "sqlite": _ask_sqlite}
