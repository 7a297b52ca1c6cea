"""Databases, known by the environment variable that holds their connection URL. What the URL holds is never told."""

import os
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

import polars as pl

from ml_assets.sources.databases import mysql, postgresql, sqlite
from ml_assets.sources.databases.stored import StoredColumn
from ml_assets.sources.errors import DeliveryFault

_Answer = TypeVar("_Answer")

_HOST = r"(?:[^@/?#:,\[\]\s]*|\[[^\]\s]*\])(?::\d+)?"
# A character that a URL must escape makes it no URL here: drivers would take a part of the password for the host,
# and tell it.
_URL = re.compile(
    rf"(?P<scheme>[a-z]+)(?:\+[a-z0-9]+)?://(?:[^:@/?#\s]*(?::(?P<password>[^:@/?#\s]*))?@)?"
    rf"{_HOST}(?:,{_HOST})*(?:/[^?#@\s]*)?(?:\?(?P<settings>[^#\s]*))?"
)
_SQLITE = re.compile(r"sqlite(?:\+[a-z0-9]+)?:///(?P<file>[^?\s][^?]*)")
_SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_DRIVERS = {"postgresql": "adbc-driver-postgresql", "mysql": "pymysql"}
_EXAMPLES = "postgresql://user:password@host:5432/database, mysql://... or sqlite:////folder/file.db"
_KINDS = {"postgresql": postgresql, "mysql": mysql, "sqlite": sqlite}


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
        return self._within(lambda connection: _KINDS[self.dialect].ask(connection, query))

    def columns(self, rows: str) -> list[StoredColumn]:
        """The columns of `rows`, a table or a query in brackets with a name; raises as `run` does."""
        return self._within(lambda connection: _KINDS[self.dialect].stored_columns(connection, rows))

    def _within(self, ask: Callable[[Any], _Answer]) -> _Answer:
        reached = False
        try:
            with closing(_KINDS[self.dialect].connect(self._target)) as connection:
                reached = True
                return ask(connection)
        except DeliveryFault:
            raise
        # A panic inside Polars derives from BaseException.
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - raised below: a driver's own error, or one that refers to it, tells the URL
            fault = self._fault(error, reached)
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
        target += f"{'&' if '?' in target else '?'}connect_timeout={postgresql.CONNECT_SECONDS}"
    given = (setting.partition("=") for setting in settings.split("&"))
    hidden = [parts["password"], *(value for name, _, value in given if "pass" in name)]
    secrets = {form for secret in hidden if secret for form in (secret, unquote(secret))}
    return Database(dialect, variable, target, tuple(sorted({url, target} | secrets, key=len, reverse=True)))
