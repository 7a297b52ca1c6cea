"""Counts and distributions by their labels, of one process or of several that serve together."""

from bisect import bisect_left
from collections.abc import Sequence

from ml_assets.serving.http.observability.shared_cells import CellName, SharedCells


class Counts(dict[CellName, float]):
    """How many, by labels; what is not there is 0."""

    def __missing__(self, labels: CellName) -> float:
        """Return the count of labels that were not counted yet."""
        return 0


class SharedCounts(Counts):
    """Counts that other processes read."""

    def __init__(self, name: str, cells: SharedCells) -> None:
        super().__init__()
        self._name = name
        self._cells = cells
        self._by_labels: dict[CellName, memoryview[float]] = {}

    def __setitem__(self, labels: CellName, value: float) -> None:
        """Set a count, here and for the others."""
        super().__setitem__(labels, value)
        cell = self._by_labels.get(labels)
        if cell is None:
            cell = self._by_labels[labels] = self._cells.allocate((self._name, *labels), 1)
        cell[0] = value


def counts_of(name: str, cells: SharedCells | None) -> Counts:
    """Make counts, shared where there are cells for it."""
    return Counts() if cells is None else SharedCounts(name, cells)


class Buckets:
    """How many values lie in each part between some bounds, and their sum.

    Args:
        cells: one number more than there are parts, for the sum, all 0.
    """

    __slots__ = ("bounds", "cells")

    def __init__(self, bounds: Sequence[float], cells: "list[float] | memoryview[float] | None" = None) -> None:
        self.bounds = bounds
        self.cells = [0.0] * (len(bounds) + 2) if cells is None else cells

    def add(self, value: float, times: int = 1) -> None:
        """Count a value so many times; one that is a bound lies below it."""
        self.cells[bisect_left(self.bounds, value)] += times
        self.cells[-1] += value * times

    def merge(self, others: "Buckets") -> None:
        """Add what lies between the same bounds elsewhere."""
        for at, count in enumerate(others.cells):
            self.cells[at] += count

    @property
    def total(self) -> float:
        """The sum of the values."""
        return self.cells[-1]

    def cumulative(self) -> list[tuple[str, float]]:
        """Return each upper bound with how many values lie below it."""
        bounds, below = [], 0.0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.cells, strict=False):
            below += count
            bounds.append((bound, below))
        return bounds


class BucketsBy(dict[CellName, Buckets]):
    """Distributions by labels, shared where there are cells for it."""

    def __init__(self, name: str, bounds: Sequence[float], cells: SharedCells | None = None) -> None:
        super().__init__()
        self.name = name
        self.bounds = bounds
        self._cells = cells

    def __missing__(self, labels: CellName) -> Buckets:
        """Begin a distribution."""
        cells = None if self._cells is None else self._cells.allocate((self.name, *labels), len(self.bounds) + 2)
        made = self[labels] = Buckets(self.bounds, cells)
        return made


class Everywhere:
    """What this process and the others that serve with it have counted, as of now."""

    def __init__(self, cells: SharedCells | None) -> None:
        self._others = [] if cells is None else list(cells.others())

    def counts(self, name: str, own: Counts) -> dict[CellName, float]:
        """Return counts summed over all processes, those that have ended included."""
        total = dict(own)
        for _, numbers in self._others:
            for (what, *labels), (value, *_) in numbers.items():
                if what == name:
                    total[tuple(labels)] = total.get(tuple(labels), 0) + value
        return total

    def living(self, name: str, own: Counts) -> dict[CellName, list[float]]:
        """Return the values of all processes that live."""
        values = {labels: [value] for labels, value in own.items()}
        for lives, numbers in self._others:
            for (what, *labels), (value, *_) in numbers.items():
                if what == name and lives:
                    values.setdefault(tuple(labels), []).append(value)
        return values

    def buckets(self, own: BucketsBy) -> dict[CellName, Buckets]:
        """Return distributions summed over all processes, those that have ended included."""
        total = {labels: list(each.cells) for labels, each in list(own.items())}
        for _, numbers in self._others:
            for (what, *labels), values in numbers.items():
                if what == own.name:
                    before = total.get(tuple(labels), [0.0] * len(values))
                    total[tuple(labels)] = [a + b for a, b in zip(before, values, strict=True)]
        return {labels: Buckets(own.bounds, cells) for labels, cells in total.items()}
