"""What a message says, and to which table it says it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from ml_assets.online.facts.values import value_type
from ml_assets.online.values.record import microseconds
from ml_assets.streams.protocol import Message

ROUTING = ("table", "field", "map")
"""Options of an address that say which table a message is for."""

_LISTS = ("rows", "retract")
_COMPLETE_UNTIL = "complete_until"
_SAYING = {*_LISTS, _COMPLETE_UNTIL}
"""Fields of which one makes a message something else than a row."""


@dataclass(frozen=True)
class Facts:
    """What a message says of a table.

    Attributes:
        rows: JSON objects with its columns.
        retract: such rows that are taken back.
        complete_until: with this message, all facts of the table were sent that were known by then, microseconds; None
            where it does not say.
    """

    table: str
    rows: list[dict[str, Any]]
    retract: list[dict[str, Any]] = field(default_factory=list)
    complete_until: int | None = None


class BadMessage(ValueError):
    """A message that says nothing that can be pushed.

    Attributes:
        table: whose quarantine it belongs to; empty where no table is named.
    """

    def __init__(self, reason: str, table: str = "") -> None:
        super().__init__(reason)
        self.table = table


class Routes:
    """Which table a message is for.

    Args:
        tables: those that take facts.
        options: `table` names the table of all messages; `field` the field of a row that names its table, and is none
            of its columns; `map` says `name:table,name:table` for names that are not those of the tables. Without
            `table` and `field` a message is for the table that it is named, as in its topic.

    Raises:
        ValueError: an option names no such table, or is none.
    """

    def __init__(self, tables: Collection[str], options: Mapping[str, str]) -> None:
        self._tables = tables
        self._names = {spelling: table for table in tables for spelling in _spellings(table)}
        self._field = options.get("field", "")
        for pair in filter(None, options.get("map", "").split(",")):
            name, separator, table = pair.partition(":")
            if not separator:
                raise ValueError(f"map={pair}: write name:table")
            self._names[name] = self._declared("map", table)
        self._table = self._declared("table", options["table"]) if options.get("table") else ""
        if self._table and self._field:
            raise ValueError("table and field: give one of them")

    def read(self, message: Message) -> Facts:
        """Read a message: a JSON object that is a row, a list of rows, or an object with some of `rows`, `retract` and
        `complete_until`, and maybe `table`.

        Raises:
            BadMessage: it is none of these, or no table is named that takes facts.
        """
        table = self._table or self._names.get(message.name, "")
        try:
            said = orjson.loads(message.body)
        except orjson.JSONDecodeError as error:
            raise BadMessage(f"no JSON: {error}", table) from None
        if isinstance(said, dict) and said.keys() <= {"table", *_SAYING} and not said.keys().isdisjoint(_SAYING):
            rows, retract = (_objects(said.get(part, []), part, table) for part in _LISTS)
            named, until = said.get("table"), _moment(said, table)
        else:
            rows, retract = _objects(said if isinstance(said, list) else [said], "a message", table), []
            named = until = None
        if self._field and (rows or retract):
            named = self._take_field([*rows, *retract])
        if named is not None:
            table = self._names.get(named, "") if isinstance(named, str) else ""
        if not table:
            name = message.name if named is None else named
            raise BadMessage(f"{name!r} is no table that takes facts; there are {', '.join(self._tables)}")
        if not rows and not retract and until is None:
            raise BadMessage("it holds no rows", table)
        return Facts(table, rows, retract, until)

    def _take_field(self, rows: list[dict[str, Any]]) -> Any:
        """Take the field that names the table out of rows, and return what it says: all must say the same."""
        named = [row.pop(self._field, None) for row in rows]
        if any(name != named[0] for name in named):
            raise BadMessage(f"{self._field}: rows of one message name several tables")
        return named[0] if named and named[0] is not None else ""

    def _declared(self, option: str, table: str) -> str:
        if table not in self._names:
            raise ValueError(f"{option}: {table!r} is no table that takes facts; there are {', '.join(self._tables)}")
        return self._names[table]


def _spellings(table: str) -> list[str]:
    """Return how a table is named where a name can have no slash, or is one word."""
    return [table, table.replace("/", "."), table.replace("/", "_")]


def _moment(said: Mapping[str, Any], table: str) -> int | None:
    if _COMPLETE_UNTIL not in said:
        return None
    moment = value_type(pl.Datetime("us", "UTC"))
    try:
        return microseconds(moment.read(said[_COMPLETE_UNTIL]))
    except (ValueError, TypeError, OverflowError):
        raise BadMessage(f"{_COMPLETE_UNTIL}: {moment.must_be}", table) from None


def _objects(values: Any, part: str, table: str) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise BadMessage(f"{part}: must be objects with the columns of a table", table)
    return values
