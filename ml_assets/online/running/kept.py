"""Running states that were written last, kept for the next push: it need not decode what it wrote itself."""

import threading
from collections import OrderedDict

from ml_assets.online.running.history import FactHistory, LoadLeaves
from ml_assets.online.running.view import RunningView

_FACTS = 50_000
"""Facts and lines of headers that are kept of a view: about 500 bytes each."""

_FACTS_OF_ENTITY = 4_000
"""Facts of one entity beyond which its leaves are read again."""


class KeptStates:
    """The running states of a view over one schema, by entity.

    A state is used again only where the store has the one with its stamp, which says all that is in it, or one that
    goes on from it. So it does not matter whether what was written was committed, who else has written, or which store
    it is of.
    """

    def __init__(self) -> None:
        self._states: OrderedDict[str, tuple[FactHistory, int]] = OrderedDict()
        self._kept = 0
        self._lock = threading.Lock()

    def open(self, running: RunningView, entity: str, header: str | bytes, load: LoadLeaves) -> FactHistory:
        """Open an entity's state, decoded as far as it is kept; nobody else has it then."""
        with self._lock:
            kept, size = self._states.pop(entity, (None, 0))
            self._kept -= size
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
        size = history.written(_FACTS_OF_ENTITY)
        with self._lock:
            _, before = self._states.pop(entity, (None, 0))
            self._states[entity] = history, size
            self._kept += size - before
            while self._kept > _FACTS and len(self._states) > 1:
                _, (_, gone) = self._states.popitem(last=False)
                self._kept -= gone
