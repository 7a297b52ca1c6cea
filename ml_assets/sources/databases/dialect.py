"""How a database writes conditions on moments, and what its rows are selected by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ml_assets.sources.drops.cut import Span

BUCKET_SECONDS = 900
"""Rows are counted by quarters of an hour: days and hours of every time zone begin with one."""


@dataclass(frozen=True)
class Dialect:
    """The words of a database.

    Attributes:
        quote: around a column's name.
        text: the type of texts in a cast.
        seconds: whole seconds since 1970 of a date or moment.
        zoned: begins a literal of a moment with a zone; None where a session in UTC makes it needless.
        compares: whether moments compare as such; else their seconds do.
        beyond: where the database has moments that no calendar has: whether a value is one.
    """

    quote: str
    text: str
    seconds: str
    zoned: str | None = None
    compares: bool = True
    beyond: str | None = None

    def column(self, name: str) -> str:
        """Return the quoted name."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def moment(self, name: str) -> str:
        """Return the expression by which moments of a column are compared."""
        quoted = self.column(name)
        return quoted if self.compares else self.seconds.format(quoted)

    def bucket(self, name: str) -> str:
        """Return the second since 1970 at which the quarter of an hour of a column's moment begins."""
        seconds = self.seconds.format(self.column(name))
        return f"{seconds} - (({seconds} % {BUCKET_SECONDS}) + {BUCKET_SECONDS}) % {BUCKET_SECONDS}"

    def within(self, name: str, dtype: pl.DataType, spans: Sequence[Span]) -> str:
        """Return the condition that a moment lies in one of the spans, or is none: no such row may get lost."""
        return " OR ".join([self.unknown(name), *(f"({self.inside(name, dtype, span)})" for span in spans)])

    def inside(self, name: str, dtype: pl.DataType, span: Span) -> str:
        """Return the condition that a moment lies in the span."""
        value = self.moment(name)
        lower = f"{value} >= {self.literal(dtype, span.lower)}"
        return lower if span.upper is None else f"{lower} AND {value} < {self.literal(dtype, span.upper)}"

    def unknown(self, name: str) -> str:
        """Return the condition that a value is no moment."""
        missing = f"{self.moment(name)} IS NULL"
        return f"{missing} OR {self.beyond.format(self.column(name))}" if self.beyond else missing

    def real(self, name: str) -> str:
        """Return the clause that restricts a condition to moments of the calendar."""
        return f" AND NOT ({self.beyond.format(self.column(name))})" if self.beyond else ""

    def literal(self, dtype: pl.DataType, moment: datetime) -> str:
        """Return a moment as it is compared with a column of this type."""
        if not self.compares:
            return str(int(moment.replace(tzinfo=UTC).timestamp()))
        if dtype == pl.Date:
            return f"DATE '{moment:%Y-%m-%d}'"
        written = f"{moment:%Y-%m-%d %H:%M:%S}"
        return f"{self.zoned} '{written}+00:00'" if moment.tzinfo and self.zoned else f"TIMESTAMP '{written}'"
