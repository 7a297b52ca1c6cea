"""A challenger tried on real requests: it answers for some keys, or scores beside the champion, unseen."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

CHAMPION, CANARY, SHADOW, FALLBACK = "champion", "canary", "shadow", "fallback"
"""Who said what stands in the request log."""

NOT_THE_MODELS = (SHADOW, FALLBACK)
"""Roles whose answers are not what the model has answered somebody."""

_WHOLE = 1 << 64

Job = TypeVar("Job")


def position(model: str, key: Sequence[Any]) -> float:
    """Place a key between 0 and 1: spread evenly, the same at every time and in every process.

    Args:
        key: values of the columns that identify a row, in a fixed order. A moment counts as what it is in UTC, a whole
            number is the same with and without a decimal point.
    """
    text = json.dumps([model, *map(_plain, key)], separators=(",", ":"), default=str)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") / _WHOLE


def is_canary(model: str, key: Sequence[Any], share: float) -> bool:
    """Return whether the challenger answers for a key.

    A key keeps its side as long as the share is the same; a larger share takes keys from the champion and gives it
    none. Each model splits keys in its own way, so that no key is always the one to try new versions.
    """
    return position(model, key) < share


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Shadow(Generic[Job]):
    """Work done behind the answers, on a thread of its own: whoever hands it over never waits.

    Args:
        work: does one job; what it raises is counted and logged, and goes no further.
        capacity: jobs that may wait; further ones are dropped and counted.
    """

    def __init__(self, work: Callable[[Job], object], *, capacity: int = 1_000) -> None:
        self.done = 0
        self.dropped = 0
        self.failed = 0
        self._work = work
        self._waiting: queue.Queue[Job | None] = queue.Queue(capacity)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs not yet begun, roughly."""
        return self._waiting.qsize()

    def put(self, job: Job) -> bool:
        """Queue a job; returns False if it was dropped."""
        if not self._closed:
            try:
                self._waiting.put_nowait(job)
                return True
            except queue.Full:
                pass
        self.dropped += 1
        return False

    def close(self, timeout: float = 5.0) -> None:
        """Take no more jobs, do those that wait, and end; those not begun after ``timeout`` seconds are dropped."""
        self._closed = True
        with suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
            self._thread.join(timeout)
        with suppress(queue.Empty):
            while True:
                self.dropped += self._waiting.get_nowait() is not None
        self._waiting.put(None)

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._work(job)
            except Exception:
                self.failed += 1
                # The first of a series tells enough: a challenger that takes no row would fill the log.
                if self.failed & (self.failed - 1) == 0:
                    log.exception("the shadow failed, %d times so far", self.failed)
            else:
                self.done += 1
