"""Changes that several threads want at once, made by one of them: so they wait for the disk once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ml_assets.online.stores.protocol import Decide

_MOST = 64
"""Changes that are made at once: whoever reads them waits for the last."""


@dataclass(eq=False)
class WantedChange:
    """A change that is wanted, and what became of it.

    Attributes:
        last: the numbers of its last facts; None while it is not made.
        error: why it is not made.
        done: whether it is made, or given up.
    """

    decide: Decide
    arrived_at: int
    last: list[int] | None = None
    error: Exception | None = None
    done: bool = False


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
        self._waiting.append(mine)
        while not mine.done:
            with self._turn:
                if not mine.done:
                    self._make_some()
        if mine.error is not None:
            raise mine.error
        if mine.last is None:
            raise RuntimeError("a change that was to be made with others was given up with them: try again")
        return mine.last

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
