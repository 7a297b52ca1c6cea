"""How many requests a key may make."""

import logging
import math
import mmap
import os
from pathlib import Path

log = logging.getLogger(__name__)

_MINUTE = 60_000_000_000  # nanoseconds
_AT_ONCE = 6
"""A burst may take a sixth of what a minute allows."""


class Allowance:
    """Some requests a minute, spread evenly; up to a sixth of them, and one at least, may come at once.

    The generic cell rate algorithm (ITU-T I.371): one number says when the last request would have come, had all come
    at their pace. It costs a few operations on integers, and may be shared by processes: two that count in the same
    instant may take one request for two, never more.

    Args:
        per_minute: more than 0.
        kept: one number, 0 at first; shared memory for an allowance that processes share.
    """

    __slots__ = ("_ahead", "_kept", "_pace")

    def __init__(self, per_minute: int, kept: "list[int] | memoryview[int]") -> None:
        self._pace = _MINUTE // per_minute
        self._ahead = self._pace * max(1, per_minute // _AT_ONCE)
        self._kept = kept

    def take(self, now: int) -> int:
        """Count a request if it may be made; returns the seconds to wait otherwise, 0 for none.

        Args:
            now: nanoseconds of a clock that only moves forward.
        """
        due = max(self._kept[0], now) + self._pace
        if due - now > self._ahead:
            return math.ceil((due - now - self._ahead) / 1e9)
        self._kept[0] = due
        return 0


def shared_number(folder: Path, name: str) -> "memoryview[int]":
    """Return a number in memory that all processes share that give this folder and name; 0 at first.

    Where the disk is full it is this process's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, 8)
        return memoryview(mmap.mmap(descriptor, 8)).cast("q")
    except OSError as error:
        log.error("requests of a key are counted by this process alone: %s (%s)", error, folder)
        return memoryview(bytearray(8)).cast("q")
    finally:
        os.close(descriptor)
