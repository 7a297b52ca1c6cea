"""Some facts of an entity, in the order in which they were known."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import orjson

from ml_assets.online.running.scaled import scaled


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact, as features see it.

    Attributes:
        known_at: microseconds.
        digest: of its row; two facts are the same exactly if moment and digest are.
        values: what each aggregate summarises of it; None for a missing value.
        row: ranks, latest and lagged values of it.
    """

    known_at: int
    digest: int
    values: Sequence[Any]
    row: Sequence[Any]


@dataclass(frozen=True, slots=True)
class AggregateColumn:
    """The values of one aggregate over items in order: facts of a leaf, or leaves of an entity.

    Attributes:
        exponent: of two, of `sums`; that of `squares` is twice as large.
        counts: how many values the first 0, 1, ... n items have.
        sums: their exact sums.
        squares: the exact sums of their squares; empty where nothing needs them.
        lows: smallest value of each item; None for none.
        highs: largest value of each item; for facts these are the same list.
    """

    exponent: int
    counts: list[int]
    sums: list[int]
    squares: list[int]
    lows: list[Any]
    highs: list[Any]


class Leaf:
    """Distinct facts by moment, and of equal moment from the smallest row to the largest.

    Attributes:
        known: moments, microseconds.
        digests: of the rows.
        delivered: how often the table has each.
        pushed: how often each was pushed and not taken back.
        retracted: how often each was taken back and not pushed again.
        values: aggregate -> fact -> value.
        rows: fact -> ranks, latest and lagged values.
    """

    def __init__(self, parts: Sequence[list]) -> None:
        self.known, self.digests, self.delivered, self.pushed, self.retracted, self.values, self.rows = parts
        self._times: list[int] = []
        self._columns: dict[int, AggregateColumn] = {}

    @classmethod
    def empty(cls, aggregates: int) -> "Leaf":
        """Make a leaf without facts."""
        return cls([[], [], [], [], [], [[] for _ in range(aggregates)], []])

    @classmethod
    def decode(cls, text: str | bytes) -> "Leaf":
        """Decode what `encode` gives."""
        return cls(orjson.loads(text))

    def encode(self) -> str:
        """Encode the facts as text that gives them back exactly."""
        return orjson.dumps(self._parts()).decode()

    def place(self, entry: Entry) -> int:
        """Return the place of a fact, which is made for it where it is not there yet: so far it counts 0 times."""
        first = bisect_left(self.known, entry.known_at)
        last = bisect_right(self.known, entry.known_at, first)
        for place in range(first, last):
            if self.digests[place] == entry.digest:
                return place
        place = last
        if last > first:
            mine = _in_order(entry.row)
            while place > first and mine < _in_order(self.rows[place - 1]):
                place -= 1
        self.known.insert(place, entry.known_at)
        self.digests.insert(place, entry.digest)
        for counted in (self.delivered, self.pushed, self.retracted):
            counted.insert(place, 0)
        for values, value in zip(self.values, entry.values, strict=True):
            values.insert(place, value)
        self.rows.insert(place, entry.row)
        self.changed(place)
        return place

    def count(self, place: int) -> int:
        """Return how often a fact counts: as often as in the channel that has most of it, without what was taken
        back."""
        return max(self.delivered[place] - self.retracted[place], self.pushed[place])

    @property
    def times(self) -> list[int]:
        """How often each fact counts."""
        first = len(self._times)
        if first < len(self.known):
            self._times.extend(map(self.count, range(first, len(self.known))))
        return self._times

    def changed(self, place: int) -> None:
        """Forget what was derived of the facts from a place on, after one was placed there or counted anew."""
        del self._times[place:]
        for column in self._columns.values():
            for summed in (column.counts, column.sums, column.squares):
                del summed[place + 1 :]
            del column.lows[place:]

    def column(self, aggregate: int, *, floats: bool, squared: bool) -> AggregateColumn:
        """Return the column of an aggregate; it is extended by what came behind its facts."""
        column = self._columns.get(aggregate)
        if column is None:
            column = self._columns[aggregate] = self._extended(_nothing(0), aggregate, floats, squared)
        elif len(column.lows) < len(self.known):
            column = self._columns[aggregate] = self._extended(column, aggregate, floats, squared)
        return column

    def _extended(self, column: AggregateColumn, aggregate: int, floats: bool, squared: bool) -> AggregateColumn:
        first = len(column.lows)
        times, values = self.times[first:], self.values[aggregate][first:]
        present = [0 if value is None else often for value, often in zip(values, times, strict=True)]
        seen = [value if often else None for value, often in zip(values, present, strict=True)]
        numbers, exponent = scaled(seen, floats)
        if not first:
            column = _nothing(exponent)
        elif exponent < column.exponent:
            return self._extended(_nothing(0), aggregate, floats, squared)
        elif exponent > column.exponent:
            numbers = [number << (exponent - column.exponent) for number in numbers]
        sums = [number * often for number, often in zip(numbers, present, strict=True)]
        accumulate_onto(column.counts, present)
        accumulate_onto(column.sums, sums)
        if squared:
            accumulate_onto(column.squares, [number * total for number, total in zip(numbers, sums, strict=True)])
        column.lows.extend(seen)
        return column

    def split(self) -> "Leaf | None":
        """Move the later half into a leaf of its own, moments kept together; None where there is one moment alone."""
        middle = len(self.known) // 2
        first = bisect_left(self.known, self.known[middle])
        cut = first or bisect_right(self.known, self.known[middle])
        if cut == len(self.known):
            return None
        *plain, values, rows = self._parts()
        later = Leaf([*(part[cut:] for part in plain), [column[cut:] for column in values], rows[cut:]])
        for part in (*plain, *values, rows):
            del part[cut:]
        self.changed(cut)
        return later

    def _parts(self) -> list[list]:
        return [self.known, self.digests, self.delivered, self.pushed, self.retracted, self.values, self.rows]


def _nothing(exponent: int) -> AggregateColumn:
    seen: list[Any] = []
    return AggregateColumn(exponent, [0], [0], [0], seen, seen)


def accumulate_onto(sums: list[int], numbers: Sequence[int]) -> None:
    """Go on with sums of the first 0, 1, ... numbers."""
    sums.extend(accumulate(numbers, initial=sums.pop()))


def _in_order(row: Sequence[Any]) -> list[tuple]:
    """Return what sorts rows as the engine does: nulls first, NaN last."""
    return [(0,) if value is None else (2,) if value != value else (1, value) for value in row]
