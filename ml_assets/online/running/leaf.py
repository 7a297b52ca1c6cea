"""Some facts of an entity, in the order in which they were known."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
        highs: largest value of each item.
    """

    exponent: int
    counts: list[int]
    sums: list[int]
    squares: list[int]
    lows: Sequence[Any]
    highs: Sequence[Any]


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
        return place

    def count(self, place: int) -> int:
        """Return how often a fact counts: as often as in the channel that has most of it, without what was taken
        back."""
        return max(self.delivered[place] - self.retracted[place], self.pushed[place])

    @cached_property
    def times(self) -> list[int]:
        """How often each fact counts."""
        if any(self.retracted):
            return list(map(self.count, range(len(self.known))))
        return list(map(max, self.delivered, self.pushed))

    def changed(self) -> None:
        """Forget what was derived, after a fact was placed or counted anew."""
        self.__dict__.pop("times", None)
        self.__dict__.pop("_columns", None)

    def column(self, aggregate: int, *, floats: bool, squared: bool) -> AggregateColumn:
        """Return the column of an aggregate."""
        if aggregate not in self._columns:
            self._columns[aggregate] = self._column(aggregate, floats, squared)
        return self._columns[aggregate]

    @cached_property
    def _columns(self) -> dict[int, AggregateColumn]:
        return {}

    def _column(self, aggregate: int, floats: bool, squared: bool) -> AggregateColumn:
        times, values = self.times, self.values[aggregate]
        if times.count(1) == len(times) and None not in values:
            seen, counts = values, list(range(len(values) + 1))
            numbers, exponent = scaled(values, floats)
            sums, squares = numbers, [number * number for number in numbers] if squared else []
        else:
            present = [0 if value is None else often for value, often in zip(values, times, strict=True)]
            seen = [value if often else None for value, often in zip(values, present, strict=True)]
            counts = list(accumulate(present, initial=0))
            numbers, exponent = scaled(seen, floats)
            sums = [number * often for number, often in zip(numbers, present, strict=True)]
            squares = [number * total for number, total in zip(numbers, sums, strict=True)] if squared else []
        squares = list(accumulate(squares, initial=0))
        return AggregateColumn(exponent, counts, list(accumulate(sums, initial=0)), squares, seen, seen)

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
        self.changed()
        return later

    def _parts(self) -> list[list]:
        return [self.known, self.digests, self.delivered, self.pushed, self.retracted, self.values, self.rows]


def _in_order(row: Sequence[Any]) -> list[tuple]:
    """Return what sorts rows as the engine does: nulls first, NaN last."""
    return [(0,) if value is None else (2,) if value != value else (1, value) for value in row]
