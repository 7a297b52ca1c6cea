"""HTTP/1.1 with limits of time and size on what comes before a body."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


@dataclass(frozen=True)
class ConnectionLimits:
    """What connections may take.

    Attributes:
        connections: that are open at once in a process; a further one takes the place of the one that has waited
            longest without a request, and is turned away where there is none.
        head_bytes: of a request's line and headers together.
        head_seconds: from the first byte of a request to the end of its headers.
        idle_seconds: without a request.
        framing_bytes: what may come with a body beside it: the frames of its chunks, and what trails it.
    """

    connections: int = 1000
    head_bytes: int = 64 << 10
    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    framing_bytes: int = 8 << 20


class GuardedProtocol(HttpToolsProtocol):
    """One connection; uvicorn's, which knows no limit of a head.

    A request costs it some additions. Time is looked at by one timer of each connection, now and then, instead of one
    for each request.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._beside = 0
        """Bytes that have come since the request began, without its body."""
        self._in_head = True
        self._begun = False
        self._since = 0.0
        """When the head began, or the wait for it; of no meaning while a request is answered."""
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._timer: TimerHandle | None = None
        self._unsent = -1
        """Bytes of answers that the client had not taken when a connection that closes was looked at last."""

    def connection_made(self, transport: Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the connection, if there is room for it."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections at once: try again")
        self._look_later(min(self._limits.head_seconds, self._limits.idle_seconds))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection go."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; refuse a head that is too large, also before it has an end."""
        if self._refusal is not None:
            return
        self._beside += len(data)
        super().data_received(data)
        most = self._limits.head_bytes if self._in_head else self._limits.framing_bytes
        if self._beside > most and self._refusal is None and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Note when a head begins."""
        super().on_message_begin()
        self._begun = True
        self._since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Answer the request, unless its head is too large."""
        self._in_head = False
        # What has come cannot be larger than the head, so most heads need not be measured.
        if self._beside > self._limits.head_bytes and self._head_size() > self._limits.head_bytes:
            self._refusal = _TOO_LARGE
            raise ValueError("the head is too large")  # ends the parser, which then has `send_400_response` called
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._beside -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._beside = 0
        self._in_head, self._begun = True, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        if not (self._begun and self._in_head):
            self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or what `on_headers_complete` refuses."""
        if self._answers:
            # Another answer cannot be put before the one that is on its way.
            self.transport.close()
        elif self._refusal is None:
            super().send_400_response(msg)
        else:
            self._send_refusal(*self._refusal)

    @property
    def _answers(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _head_size(self) -> int:
        fields = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        return len(self.url) + fields

    def _make_room(self) -> bool:
        """Close the connection that has waited longest; returns whether there is one."""
        waiting = [each for each in self.connections if isinstance(each, GuardedProtocol) and each.waits_beside(self)]
        if not waiting:
            return False
        min(waiting, key=lambda each: each._since).close_for_another()
        return True

    def waits_beside(self, other: "GuardedProtocol") -> bool:
        """Return whether this is another connection, open and without a request that is being answered."""
        return self is not other and not self._answers and not self.transport.is_closing()

    def close_for_another(self) -> None:
        """Close the connection, which has no request that is being answered, and count it no more."""
        self.connections.discard(self)
        self.transport.close()

    def _look_later(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        soon = self._limits.head_seconds
        if self.transport.is_closing():
            unsent = self.transport.get_write_buffer_size()
            if unsent == self._unsent:
                # The client takes nothing of its answer any more: the connection would wait for it for ever.
                self.transport.abort()
                return
            self._unsent = unsent
        elif not self._answers:
            soon = self._look_at_waiting()
        self._look_later(soon)

    def _look_at_waiting(self) -> float:
        """End a connection that has waited too long; returns the seconds after which to look again."""
        limits = self._limits
        left = self._since + (limits.head_seconds if self._begun else limits.idle_seconds) - self.loop.time()
        if left > 0:
            # A head that begins in between is looked at in time.
            return min(left, limits.head_seconds)
        if self._begun and self._in_head:
            late = f"the head of the request did not arrive within {limits.head_seconds:g} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, late)
        else:
            self.transport.close()
        return limits.head_seconds

    def _refuse_head(self) -> None:
        if self._answers:
            self._refusal = _TOO_LARGE
            self.transport.close()
        else:
            self._refuse(*_TOO_LARGE)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._refusal = status, why
        self._send_refusal(status, why)

    def _send_refusal(self, status: HTTPStatus, why: str) -> None:
        body = orjson.dumps({"error": why})
        lines = [
            f"HTTP/1.1 {status} {status.phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too large: send fewer headers"
