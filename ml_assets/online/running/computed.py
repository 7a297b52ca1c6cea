"""Running states that values were computed from, kept for the next request."""

from collections import OrderedDict
from dataclasses import dataclass

from ml_assets.online.running.history import FactHistory, LeavesGone
from ml_assets.online.running.view import RunningView
from ml_assets.online.stores.records import Stored

_MOST = 256
"""States that are kept: those of entities with many facts, each some hundred kilobytes at most."""


@dataclass(frozen=True, slots=True)
class ComputedState:
    """The state of an entity as it was after a pushed fact.

    Attributes:
        generation: of the store, when it was read.
        build: of which it is.
        seq: number of the last pushed fact in it.
    """

    generation: int
    build: str
    seq: int
    running: RunningView
    history: FactHistory


class ComputedStates:
    """The states that were read last, by view and entity."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[str, str], ComputedState] = OrderedDict()

    def keep(self, key: tuple[str, str], state: ComputedState) -> None:
        """Keep a state in place of the one before."""
        state.history.cut_off()
        self._states[key] = state
        self._states.move_to_end(key)
        while len(self._states) > _MOST:
            self._states.popitem(last=False)

    def values(self, key: tuple[str, str], entry: Stored, at: int, generation: int) -> Stored | None:
        """Compute an entity's values from its state; None where none is kept that is new enough.

        A fact that changes values at a moment rewrites what the store has of that moment, so that a state is new enough
        which has all facts up to the number that was read with it.
        """
        state = self._states.get(key)
        if state is None or state.seq < entry.seq or (state.generation, state.build) != (generation, entry.build):
            return None
        try:
            known_at, *values = state.running.values_at(state.history, at)
        except LeavesGone:
            return None
        return Stored(values, known_at, entry.valid_until, entry.build, entry.seq, seen=True)
