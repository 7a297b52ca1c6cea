"""The files of a spool: answers of one model by one writer, a line of JSON each, cut into segments.

A segment is locked by its writer as long as that lives and may add to it. It begins with the types of the versions
whose answers follow, so that it can be read by itself.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from ml_assets.serving.log.request_log import FIELD_TYPES, LogSchema

SUFFIX = ".ndjson"

SHIFT = 32
"""A position is the number of a segment shifted by this many bits, plus bytes in it."""

_NUMBERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64)

_TYPES: dict[str, pl.DataType] = {
    str(dtype): dtype for dtype in [*FIELD_TYPES.values(), *(each() for each in _NUMBERS)]
}
"""What requests, features and answers are made of; the class of an answer has its label's type."""


@dataclass(frozen=True, order=True)
class Segment:
    """One file of a spool.

    Attributes:
        model: whose answers it holds.
        writer: who writes it, the same in all of its segments and nowhere else.
        number: from 0, in the order in which the writer made them.
    """

    model: str
    writer: str
    number: int
    path: Path

    def position(self, offset: int) -> int:
        """Return the place of a byte among all bytes of the writer, in their order."""
        return (self.number << SHIFT) + offset


def segment_path(folder: Path, model: str, writer: str, number: int) -> Path:
    """Return the file of a segment in the folder of a spool."""
    return folder / model / f"{writer}-{number:08}{SUFFIX}"


def find_segments(folder: Path) -> list[Segment]:
    """List the segments of a spool by model, writer and number; what is being made is not among them."""
    found = []
    for path in folder.rglob(f"*{SUFFIX}"):
        writer, _, number = path.stem.rpartition("-")
        found.append(Segment(path.parent.relative_to(folder).as_posix(), writer, int(number), path))
    return sorted(found)


def make_segment(path: Path, head: bytes) -> int:
    """Make a segment that is locked and holds its head from the moment that others see it; returns its descriptor.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unseen = path.with_suffix(".new")
    descriptor = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.write(descriptor, head) != len(head):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        unseen.rename(path)
    except OSError:
        os.close(descriptor)
        unseen.unlink(missing_ok=True)
        raise
    return descriptor


def is_sealed(path: Path) -> bool:
    """Return whether nobody can add to a segment any more."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def schema_line(version: str, schema: LogSchema) -> bytes:
    """Render the types of a version's answers as a line.

    Raises:
        TypeError: a type that no request, feature or answer has.
    """
    parts = {"given": schema.given, "features": schema.features, "answer": schema.answer}
    named = {part: {name: _name(dtype) for name, dtype in types.items()} for part, types in parts.items()}
    return orjson.dumps({"schema": version, **named}, option=orjson.OPT_APPEND_NEWLINE)


def read_schema(line: Mapping[str, Any]) -> LogSchema:
    """Read the types that `schema_line` rendered; raises KeyError for what it does not render."""
    types = ({name: _TYPES[dtype] for name, dtype in line[part].items()} for part in ("given", "features", "answer"))
    return LogSchema(*types)


def whole_lines(chunk: bytes) -> Iterator[bytes]:
    """Yield the lines of some bytes that end, without the last one that does not."""
    yield from chunk.splitlines(keepends=True) if chunk.endswith(b"\n") else chunk.splitlines(keepends=True)[:-1]


def _name(dtype: pl.DataType) -> str:
    name = str(dtype)
    if name not in _TYPES:
        raise TypeError(f"the log has no {name}")
    return name
