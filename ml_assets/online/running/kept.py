"""Running states that were written last, kept for the next push: it need not decode what it wrote itself."""

import threading
from collections import OrderedDict
from itertools import count

from ml_assets.online.running.history import FactHistory, LoadLeaves
from ml_assets.online.running.view import RunningView

_BYTES = 32 << 20
"""Memory of the states that are kept, about, of all views of a process."""

_STATE_BYTES, _FACT_BYTES = 7_000, 650
"""About what a state takes by itself, and a fact or a line of its header."""

_FACTS_OF_ENTITY = 4_000
"""Facts of one entity beyond which its leaves are read again."""


class KeptStates:
    """The running states of a view over one schema, by entity.

    A state is used again only where the store has the one with its stamp, which says all that is in it, or one that
    goes on from it. So it does not matter whether what was written was committed, who else has written, or which store
    it is of.
    """

    def __init__(self) -> None:
        self._number = next(_NUMBERS)

    def open(self, running: RunningView, entity: str, header: str | bytes, load: LoadLeaves) -> FactHistory:
        """Open an entity's state, decoded as far as it is kept; nobody else has it then."""
        kept = _KEPT.take((self._number, entity))
        if kept is not None:
            kept.reopen(load)
            if kept.catch_up(header):
                return kept
        history = running.history(header, load)
        if kept is not None:  # somebody else has written the index
            history.adopt(kept)
        return history

    def keep(self, entity: str, history: FactHistory) -> None:
        """Keep a state that is being written."""
        size = _STATE_BYTES + _FACT_BYTES * history.written(_FACTS_OF_ENTITY)
        _KEPT.put((self._number, entity), history, size)


class _States:
    """The states of all views, those that were used last.

    Attributes:
        bytes: about what they take.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._states: OrderedDict[tuple[int, str], tuple[FactHistory, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: tuple[int, str]) -> FactHistory | None:
        with self._lock:
            kept, size = self._states.pop(key, (None, 0))
            self.bytes -= size
        return kept

    def put(self, key: tuple[int, str], history: FactHistory, size: int) -> None:
        with self._lock:
            _, before = self._states.pop(key, (None, 0))
            self._states[key] = history, size
            self.bytes += size - before
            while self.bytes > _BYTES and len(self._states) > 1:
                _, (_, gone) = self._states.popitem(last=False)
                self.bytes -= gone


_NUMBERS = count()
_KEPT = _States()
