"""The facts of a day in the order in which they became known, as a stream and as pushes over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from flights_served import SPINE, Flights

STREAMED = {"departure_board": "happened_at", "hourly_weather": "observed_at"}
"""Tables whose facts come by a stream, and when each was known."""

LEFT, LANDED = "departed_at", "arrived_at"
KNOWN_WHEN_LANDED = ("arrived_at", "arrival_delay", "is_late", "air_minutes")

AT_ONCE = timedelta(minutes=10)
"""Less than any flight takes."""


@dataclass(frozen=True)
class News:
    """What is known of a moment: rows, and those that they replace."""

    at: datetime
    rows: list[Mapping[str, Any]]
    retract: list[Mapping[str, Any]]


def streamed(flights: Flights, table: str, begin: datetime, end: datetime) -> list[News]:
    """Return the facts of a table in (begin, end]."""
    moment = STREAMED[table]
    rows = _rows(flights, table, pl.col(moment), begin, end)
    return [News(row[moment], [row], []) for row in sorted(rows, key=lambda row: row[moment])]


def flown(flights: Flights, begin: datetime, end: datetime) -> list[News]:
    """Return what became known of flights in (begin, end]: that one has left, and once it has landed all of it, as a
    correction of the former."""
    left = [
        News(row[LEFT], [row | dict.fromkeys(KNOWN_WHEN_LANDED)], [])
        for row in _rows(flights, SPINE, pl.col(LEFT), begin, end)
    ]
    landed = [
        News(row[LANDED], [row], [row | dict.fromkeys(KNOWN_WHEN_LANDED)])
        for row in _rows(flights, SPINE, pl.col(LANDED), begin, end)
    ]
    # A flight that lands at the moment at which it left is none; of the same moment those that leave come first.
    return sorted([*left, *landed], key=lambda news: (news.at, len(news.retract)))


def _rows(flights: Flights, table: str, known: pl.Expr, begin: datetime, end: datetime) -> list[dict[str, Any]]:
    columns = [field.name for field in flights.declared.tables[table].fields]
    within = known.is_between(begin, end, closed="right")
    return flights.lake.scan(table).filter(within).select(columns).collect().to_dicts()


class Told:
    """News told bit by bit.

    Attributes:
        until: the moment up to which all is told.
    """

    def __init__(self, news: list[News], until: datetime) -> None:
        self._news, self._at, self.until = news, 0, until

    def up_to(self, moment: datetime) -> dict[str, Any]:
        """Return what became known since the last time, and that this is all, as the body of a push.

        At most AT_ONCE of it: what is taken back must have been told by an earlier push.
        """
        self.until, begun = min(moment, self.until + AT_ONCE), self._at
        while self._at < len(self._news) and self._news[self._at].at <= self.until:
            self._at += 1
        new = self._news[begun : self._at]
        rows, retract = [row for news in new for row in news.rows], [row for news in new for row in news.retract]
        return {"rows": rows, "retract": retract, "complete_until": self.until}


class Files:
    """A folder of NDJSON files, one for each table, that grow."""

    def __init__(self, folder: Path, told: Mapping[str, Told]) -> None:
        folder.mkdir()
        self._folder, self._told = folder, told

    def write(self, moment: datetime) -> None:
        """Add what became known up to a moment."""
        for table, told in self._told.items():
            line = told.up_to(moment)
            with (self._folder / f"{table}.ndjson").open("ab") as file:
                file.write(orjson.dumps(line | {"table": table}, option=orjson.OPT_APPEND_NEWLINE))
