"""A folder of NDJSON files: files that grow, and files that come."""

import time
from collections.abc import Iterator, Sequence
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from ml_assets.streams.opening import StreamAddress
from ml_assets.streams.protocol import Message, Position, Stream, StreamError, StreamUnavailable

_LOOK, _REST = 0.2, 9.0
"""Seconds between two looks for new lines at least, and in how many times what the last took: many files take long."""

_LONGEST = 1 << 26
"""Most bytes of a line: what is longer is no NDJSON."""

_ANEW = "files may grow and come, and not be written anew"


class FolderStream(Stream):
    """The lines of files in a folder and those within it: `file:///folder?pattern=**/*.ndjson`.

    A part is a file, by its path within the folder; an offset is a byte. Files are read in the order of their paths,
    and a line once it has ended. A message is named as the folder that the file lies in, within the stream's own;
    directly there as the file up to its first `.` or `-`.
    """

    def __init__(self, address: StreamAddress) -> None:
        self._pattern = address.take(pattern="**/*.ndjson")["pattern"]
        if address.server:
            raise ValueError(f"stream {address.name}: write file:///folder, with three slashes before an absolute path")
        self._folder = Path("/") / address.path

    def check(self, position: Position) -> Sequence[str]:
        there = dict(self._files())
        for part, (offset,) in position.items():
            if part in there:
                _size_from(there[part], offset)
        return [
            f"{file}: its last line has no end yet, and is read once it has"
            for file in there.values()
            if _is_unfinished(file)
        ]

    def read(self, position: Position, limit: int, wait: float) -> Sequence[Message]:
        until = time.monotonic() + wait
        while True:
            began = time.monotonic()
            messages = self._read(position, limit)
            now = time.monotonic()
            if messages or now >= until:
                return messages
            time.sleep(min(until - now, max(_LOOK, _REST * (now - began))))

    def acknowledge(self, position: Position) -> None:
        pass

    def waiting(self, position: Position) -> int | None:
        """Count the lines after a position that have ended."""
        return sum(_lines_after(file, position.get(part, (0,))[0]) for part, file in self._files())

    def close(self) -> None:
        pass

    def _files(self) -> Iterator[tuple[str, Path]]:
        if not self._folder.is_dir():
            raise StreamUnavailable(f"{self._folder}: there is no such folder")
        for file in sorted(self._folder.glob(self._pattern)):
            if file.is_file():
                yield file.relative_to(self._folder).as_posix(), file

    def _read(self, position: Position, limit: int) -> list[Message]:
        messages: list[Message] = []
        for part, file in self._files():
            (begin,) = position.get(part, (0,))
            if not _size_from(file, begin):
                continue
            name, sent_at = _name_of(part), file.stat().st_mtime_ns // 1000
            with file.open("rb") as lines:
                _go_behind(lines, begin, file)
                line = b""
                # A line that has not ended is still being written.
                while len(messages) < limit and (line := lines.readline(_LONGEST)).endswith(b"\n"):
                    if line.strip():
                        messages.append(Message(part, (lines.tell(),), name, line.strip(), sent_at))
                if len(messages) < limit and len(line) == _LONGEST:
                    raise StreamError(
                        f"{file}: has a line of more than {_LONGEST:,} bytes, before byte {lines.tell():,}"
                    )
            if len(messages) == limit:
                break
        return messages


def _name_of(part: str) -> str:
    folder, _, file = part.rpartition("/")
    return folder or file.partition(".")[0].partition("-")[0]


def _size_from(file: Path, offset: int) -> int:
    """Return how many bytes a file has behind an offset; raises StreamError where it ends before."""
    size = file.stat().st_size
    if size < offset:
        raise StreamError(f"{file}: has {size:,} bytes and was read up to {offset:,}: {_ANEW}")
    return size - offset


def _go_behind(lines: BinaryIO, offset: int, file: Path) -> None:
    """Go to where a line was read to; raises StreamError where none ends there."""
    lines.seek(max(offset - 1, 0))
    if offset and lines.read(1) != b"\n":
        raise StreamError(f"{file}: was read up to {offset:,}, and no line ends there now: {_ANEW}")


def _lines_after(file: Path, offset: int) -> int:
    if not _size_from(file, offset):
        return 0
    with file.open("rb") as lines:
        _go_behind(lines, offset, file)
        return sum(1 for line in lines if line.endswith(b"\n") and line.strip())


def _is_unfinished(file: Path) -> bool:
    """Return whether a file ends in a line that has not ended."""
    with file.open("rb") as content:
        if not content.seek(0, SEEK_END):
            return False
        content.seek(-1, SEEK_END)
        return content.read(1) != b"\n"
