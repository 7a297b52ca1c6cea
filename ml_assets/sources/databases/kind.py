"""What a kind of database is for the reader of queries: the interface that each implements."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.sources.databases.dialect import Dialect
from ml_assets.sources.databases.stored import StoredColumn

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 10
"""How long to wait for a server: a sensor must not hang on one that is gone."""


class DatabaseKind(ABC):
    """One kind of database.

    Attributes:
        name: what it is called in messages.
        schemes: of the URLs that mean it.
        driver: the package to install for it.
        dialect: how it writes conditions.
    """

    name: str
    schemes: tuple[str, ...]
    driver: str = ""
    dialect: Dialect

    @abstractmethod
    def target(self, text: str, url: "URL") -> str:
        """Return what `connect` takes, from the connection URL as it is written and as SQLAlchemy parses it."""

    @abstractmethod
    def connect(self, target: str) -> Any:
        """Return a new connection on which nothing can be written, as far as the database can forbid it."""

    @abstractmethod
    def run(self, connection: Any, query: str) -> pl.DataFrame:
        """Return the rows of a query, in the types that the driver gives."""

    @abstractmethod
    def stored_columns(self, connection: Any, rows: str) -> list[StoredColumn]:
        """Return the columns of `rows`, which stands after FROM; no row is fetched."""
