"""Answers given in the same turn of the event loop are written together: a write costs much more than a line."""

import asyncio
from collections.abc import Callable


class GroupCommit:
    """Calls `write` once for all who wait in a turn of the event loop; used on it only."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        # Each waits by itself: one who is cancelled must not take the others along.
        self._waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None]:
        """Return what is done once that which is there to be written has been, or failed as `write` failed."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._commit)
        written = loop.create_future()
        self._waiting.append(written)
        return written

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        done = False
        try:
            self._write()
            done = True
        finally:
            for each in waiting:
                if not each.done() and done:
                    each.set_result(None)
                elif not each.done():
                    each.set_exception(RuntimeError("the answers of this turn were not written"))
