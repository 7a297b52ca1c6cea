"""One kept connection to a server of several workers, which knows by which of them it is answered."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PATIENCE = 30.0
"""Seconds within which a response must have come."""


class Lost(Exception):
    """A request has no response.

    Attributes:
        opened: when its connection was, on the monotonic clock.
        worker: process that the connection was to; 0 where it had answered nothing yet.
        reason: what came instead.
    """

    def __init__(self, opened: float, worker: int, reason: str) -> None:
        super().__init__(reason)
        self.opened, self.worker, self.reason = opened, worker, reason


class Connection:
    """Asks one request after the other; connects when it is asked, and anew after a fault and `most` requests.

    Args:
        workers: gives the processes that may hold the other end.
    """

    def __init__(self, port: int, workers: Callable[[], Iterable[int]], most: int = 200) -> None:
        self._port, self._workers, self._most = port, workers, most
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._opened, self._worker, self._asked = 0.0, 0, 0

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Return status and body of the response; raises Lost for none.

        Args:
            headers: by name, with `_` for `-`.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = self._streams or await self._open()
                writer.write(_head(method, path, body, headers) + body)
                answer = await _read(reader)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Lost(self._opened, self._worker, f"{type(error).__name__}: {error}") from error
        if not self._worker:
            self._worker = holder_of(self._port, writer.get_extra_info("sockname")[1], self._workers())
        self._asked += 1
        if self._asked >= self._most:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._opened, self._worker, self._asked = time.monotonic(), 0, 0
        self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 26)
        return self._streams


def _head(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def holder_of(port: int, client: int, among: Iterable[int]) -> int:
    """Return which of some processes holds the server's end of a connection; 0 where none does any more.

    Args:
        port: of the server.
        client: port of the client.
    """
    inode = next((at for local, remote, at in _connections() if (local, remote) == (port, client)), "")
    return next((pid for pid in among if f"socket:[{inode}]" in _sockets_of(pid)), 0)


def _connections() -> Iterator[tuple[int, int, str]]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        yield int(parts[1].rpartition(":")[2], 16), int(parts[2].rpartition(":")[2], 16), parts[9]


def _sockets_of(pid: int) -> set[str]:
    links = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        # It may have ended, or closed it, by now.
        with suppress(OSError):
            links.add(os.readlink(link))
    return links
