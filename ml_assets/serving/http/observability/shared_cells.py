"""Numbers of processes that serve together, in files that all of them map into memory.

Each process writes to a file of its own, so that none waits for another. What it has counted stays in the file however
it ends, up to the last request: a scrape that any process answers neither loses nor repeats a count.
"""

import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import orjson

log = logging.getLogger(__name__)

_SIZE = 64 << 20
"""Bytes of a file, of which only those that are used take room."""

_STEP = 64 << 10
"""Bytes of the disk that are taken at once."""

_USED = struct.Struct("<q")
_RECORD = struct.Struct("<ii")
"""Bytes of a name, and how many numbers follow it."""

CellName = tuple[str, ...]
"""What is counted, and its labels."""


class SharedCells:
    """The numbers of this process, and how to read those of the others.

    Args:
        folder: of all processes of a server.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._path = folder / f"{os.getpid()}-{os.urandom(4).hex()}"
        # Kept open: the lock says that the process lives.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.ftruncate(self._descriptor, _SIZE)
        self._memory = mmap.mmap(self._descriptor, _SIZE)
        self._numbers = memoryview(self._memory).cast("d")
        self._reserved, self._full = 0, False
        self._used = _USED.size
        if self._reserve(self._used):
            _USED.pack_into(self._memory, 0, self._used)

    def allocate(self, name: CellName, size: int) -> "memoryview[float]":
        """Return new numbers under a name, all 0; where the disk is full, of this process alone.

        Raises:
            MemoryError: there are more names than anybody would read.
        """
        text = orjson.dumps(name)
        text += b" " * (-len(text) % 8)
        begin = self._used + _RECORD.size + len(text)
        end = begin + 8 * size
        if end > _SIZE:
            raise MemoryError(f"no room to count {name}")
        if not self._reserve(end):
            return memoryview(bytearray(8 * size)).cast("d")
        _RECORD.pack_into(self._memory, self._used, len(text), size)
        self._memory[self._used + _RECORD.size : begin] = text
        # Others read it from now on, whole.
        _USED.pack_into(self._memory, 0, end)
        self._used = end
        return self._numbers[begin // 8 : end // 8]

    def _reserve(self, end: int) -> bool:
        """Take room on the disk before memory is written for which there is none, which would end the process."""
        if end <= self._reserved:
            return True
        if self._full:
            return False
        step = -(-(end - self._reserved) // _STEP) * _STEP
        try:
            os.posix_fallocate(self._descriptor, self._reserved, step)
        except OSError as error:
            self._full = True
            log.error("what this process counts anew is in its own metrics alone: %s (%s)", error, self._folder)
            return False
        self._reserved += step
        return True

    def others(self) -> Iterator[tuple[bool, dict[CellName, list[float]]]]:
        """Yield the numbers of each other process, and whether it lives."""
        for path in sorted(self._folder.iterdir()):
            if path != self._path:
                with path.open("rb") as file:
                    held = _is_held(file.fileno())
                    head = file.read(_USED.size)
                    used = _USED.unpack(head)[0] if len(head) == _USED.size else 0
                    yield held, dict(_records(file.read(max(used - _USED.size, 0))))

    def close(self) -> None:
        """Let go of the file, as the end of the process does."""
        os.close(self._descriptor)


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _records(content: bytes) -> Iterator[tuple[CellName, list[float]]]:
    at = 0
    while at < len(content):
        length, size = _RECORD.unpack_from(content, at)
        at += _RECORD.size
        name = tuple(orjson.loads(content[at : at + length]))
        at += length
        yield name, list(struct.unpack_from(f"<{size}d", content, at))
        at += 8 * size
