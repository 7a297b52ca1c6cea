"""gRPC before an ASGI application: each call becomes a request to it, so that keys, limits, counts and logs are one."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.grpc.replies import CallReply, status_code
from ml_assets.serving.grpc.signals import before_ending
from ml_assets.serving.grpc.watching import Watching
from ml_assets.serving.protocols.adapter import GrpcBinding, GrpcRead

log = logging.getLogger("uvicorn.error")  # beside the line that says where HTTP runs

MESSAGE = "message"
"""Type of an ASGI scope whose body is a message that names its model, and whose path is a call's."""

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]

_NOT_LET_IN = (401, 403)

_HEADERS = ("authorization", "x-request-id", "traceparent")
"""Metadata that become headers of the request."""


@dataclass(frozen=True)
class GrpcSettings:
    """Where and how gRPC is served.

    Attributes:
        address: host and port, such as `127.0.0.1:8081`; port 0 takes a free one.
        shared: whether other processes serve the same port, one beside the other.
        most: bytes of a message.
        calls: calls that may be under way at once.
        credentials: private key and certificate chain, PEM; None for no encryption.
        idle: seconds after which a stream that gives no request, or a connection without a call, is ended.
        grace: seconds that calls under way have to end when the server stops.
        watchers: calls that may watch something at once; they need no key, and last as long as their clients want.
    """

    address: str
    shared: bool = False
    most: int = 8 << 20
    calls: int = 1024
    credentials: tuple[bytes, bytes] | None = None
    idle: float = 75.0
    grace: float = 10.0
    watchers: int = 64


class GrpcTransport:
    """Serves an ASGI application's protocols by gRPC, and the application itself as it is.

    Args:
        app: takes scopes of type `MESSAGE` beside those of HTTP.
        bindings: how its protocols are carried.
    """

    def __init__(self, app: App, bindings: Sequence[GrpcBinding], settings: GrpcSettings) -> None:
        self._app = app
        self._settings = settings
        self._bindings = bindings
        self._server: Any = None
        self._ending = asyncio.Event()
        self._stopping: asyncio.Task[Any] | None = None
        self._watching = Watching(self._ask, self._ending, settings.watchers)
        self.port = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Pass a scope on; the life of the application is that of the gRPC server, which ends first.

        Once a signal tells the process to end, that is while HTTP still answers what is under way.
        """
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def received() -> Any:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await self._start()
            elif event["type"] == "lifespan.shutdown":
                await self._end()
            return event

        await self._app(scope, received, send)

    async def _start(self) -> None:
        import grpc

        settings = self._settings
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.most),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(settings.shared)),
                ("grpc.max_connection_idle_ms", round(settings.idle * 1000)),
                # A client that is gone without a word does not go on holding its calls.
                ("grpc.keepalive_time_ms", round(settings.idle * 1000)),
            ],
            maximum_concurrent_rpcs=settings.calls,
        )
        calls = {path: call for binding in self._bindings for path, call in self._calls(binding)}
        self._server.add_generic_rpc_handlers((_Calls(calls),))
        try:
            if settings.credentials is None:
                self.port = self._server.add_insecure_port(settings.address)
            else:
                secret = grpc.ssl_server_credentials([settings.credentials])
                self.port = self._server.add_secure_port(settings.address, secret)
        except RuntimeError as error:
            raise RuntimeError(f"gRPC cannot listen on {settings.address}") from error
        await self._server.start()
        log.info("gRPC running on %s (port %d)", settings.address, self.port)
        loop = asyncio.get_running_loop()
        before_ending(lambda: loop.call_soon_threadsafe(self._end))

    def _end(self) -> asyncio.Task[Any]:
        """Take no further call, and give those under way their grace; returns what ends with them."""
        if self._stopping is None:
            self._ending.set()
            self._stopping = asyncio.create_task(self._server.stop(self._settings.grace))
        return self._stopping

    def _calls(self, binding: GrpcBinding):
        import grpc

        yield binding.unary, grpc.unary_unary_rpc_method_handler(self._unary(binding))
        yield binding.stream, grpc.stream_stream_rpc_method_handler(self._stream(binding))
        for read in binding.reads:
            yield read.path, grpc.unary_unary_rpc_method_handler(self._read(read))
        for watch in binding.watches:
            yield watch.path, grpc.unary_stream_rpc_method_handler(self._watching.answering(watch))
        for path, why in binding.refused.items():
            yield path, grpc.unary_unary_rpc_method_handler(_refusing(why))

    def _unary(self, binding: GrpcBinding):
        async def answer(message: bytes, context: Any) -> bytes:
            return await _answered(context, await self._ask(MESSAGE, "POST", binding.unary, context, message))

        return answer

    def _stream(self, binding: GrpcBinding):
        idle = self._settings.idle

        async def answer(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            while True:
                coming = asyncio.ensure_future(anext(messages, None))
                ending = asyncio.ensure_future(self._ending.wait())
                try:
                    await asyncio.wait((coming, ending), timeout=idle, return_when=asyncio.FIRST_COMPLETED)
                    came = coming.done()
                finally:
                    for waiting in (coming, ending):
                        waiting.cancel()
                if not came:
                    ends = self._ending.is_set()
                    why = "the server ends" if ends else f"no request came for {idle:g} seconds"
                    await context.abort(status_code(503 if ends else 408), why)
                message = coming.result()
                if message is None:
                    return
                reply = await self._ask(MESSAGE, "POST", binding.unary, context, message)
                if reply.status in _NOT_LET_IN:
                    # Who is not let in does not go on holding a call that others wait for.
                    await context.abort(status_code(reply.status), reply.reason())
                yield binding.streamed(reply.body) if reply.status == 200 else binding.failed(reply.reason())

        return answer

    def _read(self, read: GrpcRead):
        async def answer(message: bytes, context: Any) -> bytes:
            try:
                method, path = read.ask(message)
            except BadRequest as error:
                await context.abort(status_code(error.status), str(error))
                return b""  # which abort never comes to
            reply = await self._ask("http", method, path, context, b"")
            if reply.status == 503 and (unready := read.unready()) is not None:
                return unready
            return read.write(await _answered(context, reply))

        return answer

    async def _ask(self, kind: str, method: str, path: str, context: Any, body: bytes) -> CallReply:
        """Put a request to the application."""
        given = [(name, value) for name, value in context.invocation_metadata() if name in _HEADERS]
        headers = [(name.encode(), value.encode()) for name, value in given]
        scope = {
            "type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "http_version": "2", "scheme": "grpc", "server": None, "client": None, "root_path": "",
        }  # fmt: skip
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: MutableMapping[str, Any]) -> None:
            sent.append(event)

        await self._app(scope, receive, send)
        start, *rest = sent
        return CallReply(start["status"], start["headers"], b"".join(event.get("body", b"") for event in rest))


class _Calls:
    """Finds what answers a call."""

    def __init__(self, calls: MutableMapping[str, Any]) -> None:
        self._calls = calls

    def service(self, call: Any) -> Any:
        """Return what answers a call; None for an unknown one, which gRPC then refuses."""
        return self._calls.get(call.method)


async def _answered(context: Any, reply: CallReply) -> bytes:
    """Return the body of an answer; end the call for a refusal."""
    if metadata := reply.metadata():
        await context.send_initial_metadata(metadata)
    if reply.status != 200:
        await context.abort(status_code(reply.status), reply.reason())
    return reply.body


def check_free(address: str) -> None:
    """Look whether gRPC can listen on an address, which processes that share it would not notice.

    Raises:
        OSError: it cannot; the message names the address.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, number, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen()
    except OSError as error:
        raise OSError(f"gRPC cannot listen on {address} ({error.strerror}): give another --grpc-port") from error


def _refusing(why: str):
    async def refuse(message: bytes, context: Any) -> bytes:  # noqa: ARG001
        await context.abort(status_code(501), why)
        return b""

    return refuse
