"""Calls that watch what HTTP tells: answered at once, and again at each change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.grpc.replies import CallReply, status_code
from ml_assets.serving.protocols.adapter import GrpcWatch

EVERY = 1.0
"""Seconds between two looks at what is watched."""


class Watching:
    """Answers the calls that watch something in this process; one look serves all of them.

    Args:
        ask: kind of scope, method, path, context of a call and body -> what the application replies.
        ending: is set when the server ends, and they with it.
        most: calls that may watch at once.
    """

    def __init__(
        self, ask: Callable[[str, str, str, Any, bytes], Awaitable[CallReply]], ending: asyncio.Event, most: int
    ) -> None:
        self._ask = ask
        self._ending = ending
        self._most = most
        self._calls = 0
        self._looks: dict[str, tuple[float, asyncio.Future[CallReply]]] = {}

    def answering(self, watch: GrpcWatch) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        """Return what answers a call: by what there is to see, and at last that the server ends."""

        async def answer(message: bytes, context: Any) -> AsyncIterator[bytes]:
            if self._calls >= self._most:
                await context.abort(status_code(429), f"{self._calls} calls are watching: ask now and then instead")
            self._calls += 1
            last = None
            try:
                while last is None or not await self._ends_within(EVERY):
                    now = await self._look(watch, message, context)
                    if now != last:
                        yield now
                    last = now
                if last != (unready := watch.read.unready() or b""):
                    yield unready
            finally:
                self._calls -= 1

        return answer

    async def _ends_within(self, seconds: float) -> bool:
        """Wait; returns whether the server ends."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _look(self, watch: GrpcWatch, message: bytes, context: Any) -> bytes:
        try:
            method, path = watch.read.ask(message)
        except BadRequest as error:
            if error.status != 404:
                await context.abort(status_code(error.status), str(error))
            return watch.unknown
        looked = self._looks.get(path)
        moment = asyncio.get_running_loop().time()
        if looked is None or moment - looked[0] >= EVERY:
            looked = moment, asyncio.ensure_future(self._ask("http", method, path, context, b""))
            self._looks[path] = looked
        reply = await asyncio.shield(looked[1])
        return watch.read.write(reply.body) if reply.status == 200 else watch.read.unready() or b""
