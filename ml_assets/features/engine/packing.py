"""One sortable integer for an entity and a moment."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Packing:
    """Maps (entity code, microseconds) to an int64 that sorts by entity, then time.

    A packing is made for certain ticks: two moments get the same key exactly if no tick lies in (earlier,
    later].
    """

    first: int
    last: int
    ranked: np.ndarray | None

    @classmethod
    def for_ticks(cls, ticks: np.ndarray, entities: int) -> "Packing":
        """Make a packing for int64 microseconds in any order (at least one) and entity codes 0 to `entities`."""
        first, last = int(ticks.min()), int(ticks.max())
        too_wide = (last - first + 2) * (entities + 1) > np.iinfo(np.int64).max
        # Beyond int64 a moment's rank among the ticks stands for its distance: dearer to find, never too
        # large.
        return cls(first, last, np.unique(ticks) if too_wide else None)

    def pack(self, entities: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Pack int64 pairs into keys; any times are allowed."""
        if self.ranked is not None:
            return entities * (self.ranked.size + 1) + np.searchsorted(self.ranked, times, side="right")
        return entities * (self.last - self.first + 2) + (np.clip(times, self.first - 1, self.last) - (self.first - 1))
