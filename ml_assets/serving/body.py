"""The body of a request: so many bytes, within so many seconds."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ml_assets.serving.errors import BadRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyReader:
    """Reads bodies side by side; one that stalls keeps nobody else waiting and is given up.

    Args:
        most: bytes of a body.
        seconds: from the request's head to the last byte.
        readers: bodies that may be on their way at once; further requests are turned away.
    """

    def __init__(self, most: int, seconds: float, readers: int) -> None:
        self._most = most
        self._seconds = seconds
        self._readers = readers
        self._reading = 0

    async def read(self, receive: Receive) -> bytes:
        """The whole body.

        Args:
            receive: ASGI's, of a request.

        Raises:
            BadRequest: it is too large (413), late or cut off (408), or too many are on their way (503).
        """
        if self._reading >= self._readers:
            raise BadRequest("too many requests at once: try again", 503)
        self._reading += 1
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(receive)
        except TimeoutError as error:
            raise BadRequest(f"the body did not arrive within {self._seconds:g} seconds", 408) from error
        finally:
            self._reading -= 1

    async def _read(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("the client left before its body was whole", 408)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._most:
                raise BadRequest(f"the body is larger than {self._most} bytes: send fewer rows at once", 413)
            if not message.get("more_body", False):
                return b"".join(parts)
