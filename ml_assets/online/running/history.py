"""All facts of an entity: leaves of facts, an index with a line that sums up each leaf, and a header with what came
since these were written.

A summary over a window is the difference of two places, each one leaf away from sums that the index has; a new fact
changes one leaf and its line. Either holds about the square root of the facts. A push writes neither: it adds its fact
to the header, until that has some dozens. So what a push writes does not grow with the history, whenever in it the fact
was known; what it takes to place it and sum up anew does, slowly (`benchmarks/online_pushes.py`).
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import lshift
from typing import Any, cast

import orjson

from ml_assets.online.running.leaf import AggregateColumn, Entry, Leaf, accumulate_onto

_ENTRIES = 64
"""Facts that a leaf may have; more where there are more leaves than that."""

_NUMBER, _FIRST, _LAST, _ENTRIES_OF, _OFTEN, _TOTALS, _SINCE = range(7)
_INT64 = 1 << 63
_STAMP = 16
"""Bytes of a stamp."""

_SHORT = 16
"""Characters of the stamp that a leaf is known by since it changed last."""

_FORMAT = 2
"""Begins a header. One that was written before there were formats begins with a Boolean, and is the index itself."""

_INDEX = -2
"""Stands in place of a leaf's number for the index."""

_STEPS = 32
"""Facts that a header may have: some 100 bytes each, and placed anew by whoever opens the state."""

_DELIVERED, _PUSHED, _RETRACTED = "delivered", "pushed", "retracted"

_Step = Sequence[Any]
"""How a fact came, and the fields of its entry; where its row has NaN, which JSON has not, also the places of it."""

Place = tuple[int, int]
"""Before how many leaves, and before how many facts of the next."""

LoadLeaves = Callable[[Sequence[int]], Mapping[int, str | bytes]]


class LeavesGone(LookupError):
    """Leaves are wanted of a history that is no longer that of the store."""


class NothingToTakeBack(ValueError):
    """A fact that is taken back is not there."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is kept of an aggregate's values: whether they are floats, and whether their squares are needed."""

    floats: bool
    squared: bool


@dataclass(frozen=True, slots=True)
class Total:
    """The values of an aggregate between two places, summed up exactly.

    Attributes:
        exponent: of two, of `sum`; that of `squares` is twice as large.
        low: the smallest; None for none, or if it is not wanted.
        high: the largest; None for none, or if it is not wanted.
    """

    count: int
    sum: int
    squares: int
    exponent: int
    low: Any
    high: Any


class FactHistory:
    """The facts of an entity, as far as they are loaded.

    Attributes:
        built: whether the build has facts of the entity, so that older ones may be left out.
        stamp: digest of all that was added and taken back, in its order: histories of one view with equal stamps are
            equal.
        indexed: the stamp as it was when index and leaves were written; empty where they are not, or in an old format.
        derived: what was computed of an aggregate between two places, until facts are added or taken back.
    """

    def __init__(self, kinds: Sequence[Kind], header: str | bytes | None, load: LoadLeaves, *, built: bool) -> None:
        self._kinds = kinds
        self._load = load
        self._leaves: dict[int, Leaf] = {}
        self._used: set[int] = set()
        self._unsettled: set[int] = set()
        self._dirty: set[int] = set()
        self._columns: dict[int, AggregateColumn] = {}
        self._firsts: list[int] = []
        self.derived: dict[tuple[int, Place, Place], Sequence[Any]] = {}
        self.indexed, steps = "", []
        if header is None:
            self.built, self._next, self._lines, self.stamp = built, 0, [], _digest(b"built" if built else b"")
        else:
            first, *kept = orjson.loads(header)
            if isinstance(first, bool):
                self.built, (self._next, self._lines, *stamp) = first, kept
                # One that was begun before there were stamps begins now.
                self.stamp: str = stamp[0] if stamp else _digest(_bytes(header))
            else:
                self.built, self.indexed, steps, stamp = kept
                self._next, self._lines = orjson.loads(load([_INDEX])[_INDEX])
                self.stamp = self.indexed
        self._steps: list[_Step] = []
        self._derive(0)
        self._go_on(steps)

    def catch_up(self, header: str | bytes) -> bool:
        """Go on to a header of the same entity, if it has all that came since; gives whether it has."""
        if stamp_of(header) == self.stamp and _indexed_of(header) == self.indexed:
            return True
        first, *kept = orjson.loads(header)
        if isinstance(first, bool) or not self.indexed or kept[1] != self.indexed:
            return False
        steps = kept[2]
        mine = len(self._steps)
        if steps[:mine] != self._steps:
            return False
        self._go_on(steps[mine:])
        return True

    def _go_on(self, steps: Sequence[_Step]) -> None:
        if not steps:
            return
        for how, known_at, digest, values, row, *nan in steps:
            entry = Entry(known_at, digest, values, _with_nan(row, *nan) if nan else row)
            if how == _DELIVERED:
                self.deliver(entry)
            else:
                self._counted(entry, pushed=how == _PUSHED)
        self.settle()

    @property
    def empty(self) -> bool:
        """Whether no fact counts."""
        return not any(line[_OFTEN] for line in self._lines)

    def push(self, entry: Entry) -> bool:
        """Add a fact; gives whether it counts more often than before."""
        return self._counted(entry, pushed=True)

    def retract(self, entry: Entry) -> None:
        """Take a fact back.

        Raises:
            NothingToTakeBack: it does not count as it is.
        """
        if not self._counted(entry, pushed=False):
            raise NothingToTakeBack

    def deliver(self, entry: Entry) -> None:
        """Add a fact of the table."""
        leaf, place = self._placed(entry)
        leaf.delivered[place] += 1
        leaf.changed(place)
        self._note(_DELIVERED, entry)

    def take_back_before(self, entry: Entry) -> None:
        """Apply a fact that was taken back before, whether or not it still counts."""
        self._counted(entry, pushed=False)

    def settle(self) -> None:
        """Bring the lines up to date, after facts were added or taken back."""
        unsettled = self._unsettled
        changed = [place for place, line in enumerate(self._lines) if line[_NUMBER] in unsettled] if unsettled else []
        for place in changed:
            number = self._lines[place][_NUMBER]
            self._lines[place] = self._line(number, self._leaf(place))
        self._dirty |= unsettled
        unsettled.clear()
        self._derive(changed[0] if changed else len(self._lines))

    def reopen(self, load: LoadLeaves) -> None:
        """Go on with a history that was written as it is; `load` reads leaves that are not here."""
        self._load = load

    def adopt(self, other: "FactHistory") -> None:
        """Take over what was decoded and summed up of a history of the same entity, as far as it is the same here."""
        theirs = {line[_NUMBER]: line[_SINCE] for line in other._lines if len(line) > _SINCE}
        for line in self._lines:
            number = line[_NUMBER]
            if number in other._leaves and number in theirs and line[_SINCE:] == [theirs[number]]:
                self._leaves[number] = other._leaves[number]
        same = 0
        for mine, their in zip(self._lines, other._lines, strict=False):
            if len(mine) <= _SINCE or mine != their:
                break
            same += 1
        self._columns = other._columns
        self._derive(same)

    def written(self, most: int) -> int:
        """Note that what has changed is written.

        Args:
            most: facts that are kept; beyond that, only leaves that are not written or were wanted since the last time.

        Returns:
            How many facts and leaves' lines are kept.
        """
        if self._writes_index:
            self._dirty.clear()
            self.indexed, self._steps = self.stamp, []
        kept = sum(len(leaf.known) for leaf in self._leaves.values())
        if kept > most:
            wanted = self._dirty | self._used
            self._leaves = {number: leaf for number, leaf in self._leaves.items() if number in wanted}
            kept = sum(len(leaf.known) for leaf in self._leaves.values())
        self._used.clear()
        return kept + len(self._lines)

    def cut_off(self) -> None:
        """Load no leaf from now on, as the store goes on; raises LeavesGone where one is missing."""
        self._load = _gone

    def encode(self) -> str:
        """Encode the header."""
        indexed, steps = (self.stamp, []) if self._writes_index else (self.indexed, self._steps)
        return orjson.dumps([_FORMAT, self.built, indexed, steps, self.stamp]).decode()

    def encode_changed(self) -> dict[int, str]:
        """Encode what is to be written beside the header, by number: nothing, or the index and the leaves that have
        changed."""
        if not self._writes_index:
            return {}
        index = orjson.dumps([self._next, self._lines]).decode()
        return {_INDEX: index} | {number: self._leaves[number].encode() for number in sorted(self._dirty)}

    @property
    def _writes_index(self) -> bool:
        return not self.indexed or len(self._steps) > _STEPS

    def locate(self, moment: int) -> Place:
        """Return the place behind all facts known by a moment."""
        leaf = bisect_right(self._firsts, moment) - 1
        if leaf < 0:
            return 0, 0
        if moment >= self._lines[leaf][_LAST]:
            return leaf + 1, 0
        return leaf, bisect_right(self._leaf(leaf).known, moment)

    def total(self, aggregate: int, start: Place, end: Place, *, ordered: bool) -> Total:
        """Sum up an aggregate's values between two places.

        Args:
            ordered: whether the smallest and largest are wanted.
        """
        column = self._column(aggregate)
        count_before, sum_before, squares_before = self._before(aggregate, column, start)
        count, total, squares = self._before(aggregate, column, end)
        low = high = None
        if ordered and count > count_before:
            low = min(map(min, self._parts(aggregate, column.lows, start, end)), default=None)
            high = max(map(max, self._parts(aggregate, column.highs, start, end)), default=None)
        return Total(count - count_before, total - sum_before, squares - squares_before, column.exponent, low, high)

    def last(self, place: Place) -> tuple[int, Sequence[Any]] | None:
        """Return the moment and the row of the last fact before a place that counts."""
        leaf, inside = place
        while leaf >= 0:
            if inside and self._lines[leaf][_OFTEN]:
                facts = self._leaf(leaf)
                for fact in range(inside - 1, -1, -1):
                    if facts.count(fact):
                        return facts.known[fact], facts.rows[fact]
            leaf -= 1
            inside = self._lines[leaf][_ENTRIES_OF] if leaf >= 0 else 0
        return None

    def moments_after(self, moment: int) -> Iterator[int]:
        """Yield the moments at which facts were known after a moment, in order."""
        leaf, inside = self.locate(moment)
        for place in range(leaf, len(self._lines)):
            known = self._leaf(place).known
            yield from known[inside if place == leaf else 0 :]

    def _counted(self, entry: Entry, *, pushed: bool) -> bool:
        leaf, place = self._placed(entry)
        before = leaf.count(place)
        more, less = (leaf.pushed, leaf.retracted) if pushed else (leaf.retracted, leaf.pushed)
        more[place] += 1
        less[place] = max(less[place] - 1, 0)
        leaf.changed(place)
        self._note(_PUSHED if pushed else _RETRACTED, entry)
        return leaf.count(place) != before

    def _note(self, how: str, entry: Entry) -> None:
        nan = [place for place, value in enumerate(entry.row) if value != value]
        row = [None if value != value else value for value in entry.row] if nan else list(entry.row)
        self._steps.append([how, entry.known_at, entry.digest, list(entry.values), row, *([nan] if nan else [])])
        self.stamp = _digest(b"%b %b %d %d" % (self.stamp.encode(), how.encode(), entry.known_at, entry.digest))

    def _placed(self, entry: Entry) -> tuple[Leaf, int]:
        if not self._lines:
            self._add_leaf(0, Leaf.empty(len(self._kinds)), entry.known_at)
        place = max(bisect_right(self._firsts, entry.known_at) - 1, 0)
        leaf, line = self._leaf(place), self._lines[place]
        if len(leaf.known) >= self._room():
            behind = place == len(self._lines) - 1 and entry.known_at > line[_LAST]
            later = Leaf.empty(len(self._kinds)) if behind else leaf.split()
            if later is not None:
                self._unsettled.add(line[_NUMBER])
                self._note_ends(place, leaf)
                self._add_leaf(place + 1, later, entry.known_at if behind else later.known[0])
                return self._placed(entry)
        fact = leaf.place(entry)
        self._unsettled.add(line[_NUMBER])
        self._note_ends(place, leaf)
        return leaf, fact

    def _note_ends(self, place: int, leaf: Leaf) -> None:
        line = self._lines[place]
        line[_FIRST], line[_LAST], line[_ENTRIES_OF] = leaf.known[0], leaf.known[-1], len(leaf.known)
        self._firsts[place] = leaf.known[0]

    def _add_leaf(self, place: int, leaf: Leaf, first: int) -> None:
        number, self._next = self._next, self._next + 1
        last = leaf.known[-1] if leaf.known else first
        self._leaves[number] = leaf
        self._unsettled.add(number)
        self._lines.insert(place, [number, first, last, len(leaf.known), 0, []])
        self._firsts.insert(place, first)

    def _room(self) -> int:
        return max(_ENTRIES, len(self._lines))

    def _leaf(self, place: int) -> Leaf:
        number = self._lines[place][_NUMBER]
        self._used.add(number)
        if number not in self._leaves:
            self._leaves[number] = Leaf.decode(self._load([number])[number])
        return self._leaves[number]

    def _line(self, number: int, leaf: Leaf) -> list:
        totals = []
        for aggregate, kind in enumerate(self._kinds):
            column = leaf.column(aggregate, floats=kind.floats, squared=kind.squared)
            seen = _present(column.lows)
            ends = [min(seen), max(seen)] if seen else [None, None]
            sums = [_text(column.sums[-1]), _text(column.squares[-1])]
            totals.append([column.counts[-1], column.exponent, *sums, *ends])
        since = self.stamp[:_SHORT]
        return [number, leaf.known[0], leaf.known[-1], len(leaf.known), sum(leaf.times), totals, since]

    def _derive(self, changed: int) -> None:
        """Derive what the lines give, of which those before `changed` are as they were."""
        self._firsts[changed:] = [line[_FIRST] for line in self._lines[changed:]]
        self.derived.clear()
        for aggregate, column in self._columns.items():
            self._columns[aggregate] = self._summed(aggregate, column, changed)

    def _column(self, aggregate: int) -> AggregateColumn:
        if aggregate not in self._columns:
            self._columns[aggregate] = self._summed(aggregate, AggregateColumn(0, [0], [0], [0], [], []), 0)
        return self._columns[aggregate]

    def _summed(self, aggregate: int, column: AggregateColumn, changed: int) -> AggregateColumn:
        """Sum up an aggregate's lines, of which those before `changed` are in the column already; which is used up."""
        counts, exponents, sums, squares, lows, highs = self._totals(aggregate, changed)
        if not changed or min(exponents, default=column.exponent) < column.exponent:
            changed = 0
            counts, exponents, sums, squares, lows, highs = self._totals(aggregate, 0)
            column = AggregateColumn(min(exponents, default=0), [0], [0], [0], [], [])
        shifts = [each - column.exponent for each in exponents]
        squared = (
            _aligned(squares, [2 * shift for shift in shifts]) if self._kinds[aggregate].squared else [0] * len(squares)
        )
        added = (counts, _aligned(sums, shifts), squared)
        for summed, numbers in zip((column.counts, column.sums, column.squares), added, strict=True):
            del summed[changed + 1 :]
            accumulate_onto(summed, numbers)
        for ends, of_lines in ((column.lows, lows), (column.highs, highs)):
            ends[changed:] = of_lines
        return column

    def _totals(self, aggregate: int, first: int) -> Sequence[Sequence[Any]]:
        totals = [line[_TOTALS][aggregate] for line in self._lines[first:]]
        return list(zip(*totals, strict=True)) if totals else [()] * 6

    def _own(self, place: int, aggregate: int) -> AggregateColumn:
        kind = self._kinds[aggregate]
        return self._leaf(place).column(aggregate, floats=kind.floats, squared=kind.squared)

    def _before(self, aggregate: int, column: AggregateColumn, place: Place) -> tuple[int, int, int]:
        leaf, inside = place
        count, total, squares = column.counts[leaf], column.sums[leaf], column.squares[leaf]
        if not inside:
            return count, total, squares
        own = self._own(leaf, aggregate)
        shift = own.exponent - column.exponent
        return (
            count + own.counts[inside],
            total + (own.sums[inside] << shift),
            squares + (own.squares[inside] << 2 * shift if self._kinds[aggregate].squared else 0),
        )

    def _parts(self, aggregate: int, of_leaves: Sequence[Any], start: Place, end: Place) -> list[Sequence[Any]]:
        """Return the extremes of what lies between two places, of whole leaves and of facts of the outer ones."""
        if start[0] == end[0]:
            parts = [self._own(start[0], aggregate).lows[start[1] : end[1]]]
        else:
            parts = [of_leaves[start[0] + (start[1] > 0) : end[0]]]
            if start[1]:
                parts.append(self._own(start[0], aggregate).lows[start[1] :])
            if end[1]:
                parts.append(self._own(end[0], aggregate).lows[: end[1]])
        return [part for part in map(_present, parts) if part]


def _present(values: Sequence[Any]) -> Sequence[Any]:
    return [value for value in values if value is not None] if None in values else values


def _with_nan(row: Sequence[Any], nan: Sequence[int]) -> Sequence[Any]:
    return [math.nan if place in nan else value for place, value in enumerate(row)]


def _gone(leaves: Sequence[int]) -> Mapping[int, str | bytes]:
    raise LeavesGone(*leaves)


def _aligned(numbers: Sequence[int | str], shifts: Sequence[int]) -> Sequence[int]:
    if str in map(type, numbers):
        numbers = [*map(_number, numbers)]
    whole = cast("Sequence[int]", numbers)
    return list(map(lshift, whole, shifts)) if any(shifts) else whole


def stamp_of(header: str | bytes) -> str:
    """Return the stamp in a header, without decoding it; empty where it has none."""
    end = header[-2 * _STAMP - 3 :]
    text = end.decode() if isinstance(end, bytes) else end
    return text[1:-2] if text[0] == text[-2] == '"' else ""


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _indexed_of(header: str | bytes) -> str:
    """Return the stamp of the index that a header goes on from, without decoding it; empty for one that is the
    index."""
    begin = header[:50]
    text = begin.decode() if isinstance(begin, bytes) else begin
    return text.split('"', 2)[1] if text.startswith(f"[{_FORMAT},") else ""


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=_STAMP).hexdigest()


def _text(number: int) -> int | str:
    """Return a number as JSON has it: beyond 64 bits as text."""
    return number if -_INT64 <= number < _INT64 else hex(number)


def _number(text: int | str) -> int:
    return int(text, 16) if isinstance(text, str) else text
