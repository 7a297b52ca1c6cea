"""A column as a database keeps it, and how it is read: as a value of its own, as text, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.errors import DeliveryFault


@dataclass(frozen=True)
class Reading:
    """How one of a database's types is read.

    Attributes:
        sql: expression with {0} in place of the column, or None where the type is left out.
        reason: why it is left out, and what to choose in its place.
        decode: makes of what the expression gives what a contract can hold.
    """

    sql: str | None = "{0}"
    reason: str = ""
    decode: Callable[[pl.Series], pl.Series] | None = None


@dataclass(frozen=True)
class StoredColumn:
    """One column of a query: its name, the database's name of its type, and how that is read."""

    name: str
    type: str
    reading: Reading

    @property
    def left_out(self) -> str | None:
        """Why it is not read; None if it is."""
        return f"{self.type}: {self.reading.reason}" if self.reading.sql is None else None

    def expression(self, quoted: str) -> str:
        """Return the expression to select in place of the column.

        Raises:
            DeliveryFault: its type is left out.
        """
        if self.reading.sql is None:
            raise DeliveryFault(
                "wrong type", f"the database keeps it as {self.type}", self.reading.reason, column=self.name
            )
        return f"{self.reading.sql.format(quoted)} AS {quoted}"

    def decoded(self, values: pl.Series) -> pl.Series:
        return self.reading.decode(values) if self.reading.decode else values
