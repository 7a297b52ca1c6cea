"""Values that each cover a range of moments, summarised moment by moment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml_assets.features.engine.packing import Packing
from ml_assets.features.engine.windows import exact
from ml_assets.features.engine.windows.observations import Observations
from ml_assets.features.engine.windows.summarise import Window


class PlanMoments:
    """Distinct (entity, time) pairs, sorted; int64 both."""

    def __init__(self, entities: np.ndarray, times: np.ndarray, codes: int) -> None:
        """Prepare the pairs to be found.

        Args:
            codes: the largest entity code there is.
        """
        self.size = times.size
        self._packing = Packing.for_ticks(times, codes) if times.size else None
        self._keys = times if self._packing is None else self._packing.pack(entities, times)

    def places(self, entities: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the place of the first pair of each entity that is not before a time."""
        if self._packing is None:
            return np.zeros(times.size, np.int64)
        return np.searchsorted(self._keys, self._packing.pack(entities, times - 1), side="right")


@dataclass(frozen=True)
class Cover(Window):
    """Observations that each cover the moments from `start` up to, not including, `end`: none covers nothing.

    Attributes:
        observations: one value per range.
        size: how many moments there are.
    """

    observations: Observations
    start: np.ndarray
    end: np.ndarray
    size: int

    @cached_property
    def count(self) -> np.ndarray:
        """How many values cover each moment."""
        return self._added(np.ones(self.start.size, np.int64))

    @cached_property
    def sums(self) -> exact.Limbs:
        """Exact sums of the values that cover each moment."""
        return self._summed(exact.split(self.observations.values))

    @cached_property
    def squares(self) -> exact.Limbs:
        """Exact sums of their squares."""
        return self._summed(exact.square(exact.split(self.observations.values)))

    def extremes(self, pick: np.ufunc) -> np.ndarray:
        """Take `pick` (np.minimum or np.maximum) over the values that cover each moment; 0 where none does."""
        covered = covered_extremes(self.observations.values, self.start, self.end, self.size, pick)
        return np.where(self.count > 0, covered, 0)

    def _added(self, values: np.ndarray) -> np.ndarray:
        # Entities do not share ranges, so what is added at one's first moments is taken off by its last.
        steps = np.zeros(self.size + 1, np.int64)
        np.add.at(steps, self.start, values)
        np.subtract.at(steps, self.end, values)
        return np.cumsum(steps)[:-1]

    def _summed(self, limbs: exact.Limbs) -> exact.Limbs:
        return exact.normal({place: self._added(limb) for place, limb in limbs.items()})


def covered_extremes(values: np.ndarray, start: np.ndarray, end: np.ndarray, size: int, pick: np.ufunc) -> np.ndarray:
    """Take `pick` over the values whose range [start, end) holds each of `size` places; ranges are not empty.

    The mirror image of a sparse table: a range is covered by two overlapping blocks whose length is a power of two, and
    a block hands its extreme on to its two halves. Only one block length is kept at a time, so memory stays linear.
    """
    limits = np.iinfo(values.dtype) if values.dtype == np.int64 else np.finfo(values.dtype)
    blocks = np.full(size, limits.max if pick is np.minimum else limits.min, values.dtype)
    doublings = np.frexp((end - start).astype(np.float64))[1] - 1
    for doubling in range(int(doublings.max(initial=0)), -1, -1):
        own = np.flatnonzero(doublings == doubling)
        pick.at(blocks, start[own], values[own])
        pick.at(blocks, end[own] - (1 << doubling), values[own])
        if doubling:
            half = 1 << (doubling - 1)
            halves = blocks.copy()
            halves[half:] = pick(halves[half:], blocks[:-half])
            blocks = halves
    return blocks
