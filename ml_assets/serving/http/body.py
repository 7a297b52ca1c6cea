"""The body of a request: so many bytes, within so many seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ml_assets.serving.errors import BadRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyReader:
    """Reads bodies side by side; one that stalls keeps nobody else waiting and is given up.

    A timer for each body would cost more than reading it: `give_up_late` is to be called now and then.

    Args:
        most: bytes of a body.
        seconds: from the request's head to the last byte.
        readers: bodies that may be on their way at once; further requests are turned away.
    """

    def __init__(self, most: int, seconds: float, readers: int) -> None:
        self._most = most
        self._seconds = seconds
        self._readers = readers
        self._reading: dict[asyncio.Task, float] = {}
        self._late: set[asyncio.Task] = set()

    async def read(self, receive: Receive) -> bytes:
        """Read the whole body.

        Args:
            receive: ASGI's, of a request.

        Raises:
            BadRequest: it is too large (413), late or cut off (408), or too many are on their way (503).
        """
        if len(self._reading) >= self._readers:
            raise BadRequest("too many requests at once: try again", 503)
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        self._reading[task] = time.monotonic()
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise BadRequest(f"the body did not arrive within {self._seconds:g} seconds", 408) from None
        finally:
            del self._reading[task]
            self._late.discard(task)

    async def give_up_late(self) -> None:
        """Cancel the reading of bodies that are late, until the server ends."""
        while True:
            await asyncio.sleep(min(1.0, self._seconds / 4))
            latest = time.monotonic() - self._seconds
            for task, began in list(self._reading.items()):
                if began < latest and task not in self._late:
                    self._late.add(task)
                    task.cancel()

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client left before its body was whole", 408)
            body = message.get("body", b"")
            size += len(body)
            if size > self._most:
                raise BadRequest(f"the body is larger than {self._most} bytes: send fewer rows at once", 413)
            if not message.get("more_body", False):
                return b"".join((*parts, body)) if parts else body
            parts.append(body)
