"""Changes that several threads want at once, made by one of them: so they wait for the disk once."""

import threading
from collections.abc import Callable, Sequence

from ml_assets.online.stores.protocol import Decide, WantedChange

_MOST = 64
"""Changes that are made at once: whoever reads them waits for the last."""


class ChangeQueue:
    """Gathers changes while others are made.

    Args:
        make: makes changes, and sets `last` or `error` of each; what it raises holds for all of them.
    """

    def __init__(self, make: Callable[[Sequence[WantedChange]], None]) -> None:
        self._make = make
        self._waiting: list[WantedChange] = []
        self._turn = threading.Lock()

    def do(self, decide: Decide, arrived_at: int) -> list[int]:
        """Make a change, alone or with others; raises what `decide` raises, or what kept all of them."""
        mine = WantedChange(decide, arrived_at)
        self.do_all([mine])
        return mine.result()

    def do_all(self, wanted: Sequence[WantedChange]) -> None:
        """Make changes in their order, with others that wait; what became of each is in it."""
        self._waiting.extend(wanted)
        for each in wanted:
            while not each.done:
                with self._turn:
                    if not each.done:
                        self._make_some()

    def _make_some(self) -> None:
        some = self._waiting[:_MOST]
        del self._waiting[: len(some)]
        try:
            self._make(some)
        except BaseException as error:
            interrupts = not isinstance(error, Exception)
            for each in some:
                each.last, each.error = None, None if interrupts else error
            # An interruption is of the thread that makes the changes, and none of the others'.
            if interrupts:
                raise
        finally:
            for each in some:
                each.done = True
