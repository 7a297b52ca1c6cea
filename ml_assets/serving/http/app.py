"""The server: an ASGI application over the champions of some models.

POST is answered on ASGI itself, as a framework's request and response objects would take as long as the prediction;
Starlette has the rest.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.serving.access.admission import Admission, credential
from ml_assets.serving.access.audit import AuditTrail
from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest, failed
from ml_assets.serving.grpc.transport import MESSAGE
from ml_assets.serving.http.body import BodyReader, Receive
from ml_assets.serving.http.compression import (
    APART_FROM,
    COMPRESSED_FROM,
    accepted_encoding,
    compress,
    decompress,
)
from ml_assets.serving.http.endpoints import Endpoints
from ml_assets.serving.http.exchange import Endpoint, Exchange, LargeRequests, answer_at_once, summed
from ml_assets.serving.http.information import Information, no_such_route, refusal_body
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.observability.telemetry import request_id
from ml_assets.serving.http.observability.tracing import Tracing
from ml_assets.serving.http.observation import Observation
from ml_assets.serving.http.push import PushHandler, TablePushHandler
from ml_assets.serving.http.together import PushesTogether, Together
from ml_assets.serving.log.drain_report import DrainWatch
from ml_assets.serving.log.group_commit import GroupCommit
from ml_assets.serving.log.keeping import Keeping, OpenLog
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.prediction.messages import PredictionResponse
from ml_assets.serving.prediction.readiness import Readiness
from ml_assets.serving.protocols.adapter import JSON, ProtocolLimits
from ml_assets.serving.protocols.registry import served_protocols
from ml_assets.serving.rollout.champions import Champions, Versions
from ml_assets.serving.rollout.choice import Choosing

log = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_KEPT_AT_ONCE = 64  # rows that take a fraction of a millisecond

_EVERY = 1.0
"""Seconds after which a key that is revoked is let in no more."""

_SENT_AT_ONCE = 64 << 10
"""Bytes of a body that are sent before others have their turn."""

_JSON = (b"content-type", JSON.encode())
_WITH_BODY = ("POST", "PUT")
_CLOSE = (b"connection", b"close")


class Server:
    """The ASGI application over the champions of some models.

    Attributes:
        grpc_bindings: how gRPC carries its protocols, for a `GrpcTransport` before it.

    Args:
        clock: microseconds since the epoch; read once a request.
        open_log: makes the log of responses; None for none.
        admission: who is let in; by default whoever has one of `limits.keys`.
        audit: what keys are used for is recorded there; None for nothing.
        drained: how far the lake is behind the log; None where nothing is logged.
        counted: folder in which processes that serve together count; None for one process.
        tracing: records each request; None for nothing.
        large: answers what has `limits.large` bytes or more; None for threads of this process.
    """

    def __init__(
        self,
        champions: Champions,
        limits: Limits,
        declared: Declarations,
        store: OnlineStore | None,
        *,
        clock: Callable[[], int],
        open_log: OpenLog | None = None,
        admission: Admission | None = None,
        audit: AuditTrail | None = None,
        drained: DrainWatch | None = None,
        counted: Path | None = None,
        tracing: Tracing | None = None,
        large: LargeRequests | None = None,
    ) -> None:
        self._large = large
        self._champions = champions
        self._limits = limits
        self._tracing = tracing
        self._clock = clock
        self._admission = admission or Admission(limits.keys)
        self._audit = audit
        self._drained = drained
        self._bodies = BodyReader(limits.body, limits.body_seconds, limits.reading)
        self._observation = Observation(champions, tracing, counted)
        self._keeping = None if open_log is None else Keeping(champions, declared, open_log, replayed=limits.replay)
        self._commits = GroupCommit(self._commit)
        self._together = Together()
        self._pushes = PushesTogether(store)
        self._answering = 0
        answering = Answering(Choosing(champions), declared, store, most=limits.rows, replay=limits.replay)
        protocols = served_protocols(ProtocolLimits(limits.rows, limits.replay))
        self.grpc_bindings = [protocol.grpc for protocol in protocols if protocol.grpc is not None]
        self._endpoints = Endpoints(
            answering,
            protocols,
            PushHandler(declared.online, store, limits),
            TablePushHandler(declared.tables, store, limits),
        )
        self._endpoints.remember([*(served.name for served in champions), *declared.online])
        self._readiness = Readiness(declared, store)
        information = Information(
            champions,
            answering,
            protocols,
            declared,
            limits,
            self._observation,
            admission=self._admission,
            readiness=self._readiness,
            look=self._look_at_views,
            unready=self._unready,
        )
        self._rest = Starlette(
            routes=information.routes(self._endpoints.routes),
            lifespan=self._lifespan,
            exception_handlers={HTTPException: no_such_route},
        )
        if self._keeping is not None:
            counters = self._keeping.counters
            self._observation.measured.counters |= counters if large is None else summed(counters, large)
        self._observation.tell_versions()
        self.scopes = {**self._endpoints.scopes, **information.scopes}
        """Every route with its method and what it needs of a key, None for nothing."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer an ASGI request: predictions, pushes and messages here, all other routes by Starlette."""
        if scope["type"] == "http" and scope["method"] in _WITH_BODY:
            endpoint = self._endpoints.find(scope["path"])
            if endpoint is not None and scope["method"] in endpoint.methods:
                await self._post(endpoint, scope, receive, send)
                return
        elif scope["type"] == MESSAGE:
            await self._post(self._endpoints.find_message(scope["path"]), scope, receive, send)
            return
        await self._rest(scope, receive, send)

    async def _post(self, endpoint: Endpoint, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        identity = request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        exchange = Exchange(
            endpoint, headers, identity, self._clock(), scope["method"], path=scope["path"], began=began
        )
        kept = False
        try:
            exchange.key = self._admission.admit(credential(scope["headers"]), endpoint.scope)
            exchange.body = await self._bodies.read(receive)
            status, body = 200, await self._answer(exchange)
            kept = await self._keep_durably(exchange, began)
        except BadRequest as error:
            status, body = error.status, refusal_body(error)
            exchange.reply_headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        except Exception:
            # Whatever went wrong with one request, its client is told so and the others are answered.
            log.exception("%s %s failed", endpoint.route, identity)
            status, body = 500, refusal_body(failed(identity))
        plain = body
        if len(body) >= COMPRESSED_FROM and b"accept-encoding" in headers:
            body = await _compressed(exchange, body)
        seconds = time.perf_counter() - began
        kind = _JSON if status != 200 or exchange.media_type is JSON else _content_type(exchange.media_type)
        reply = [kind, (b"content-length", b"%d" % len(body)), (b"x-request-id", identity.encode())]
        if status in (408, 413):
            # What is left of a body that was given up must not be taken for the next request.
            reply.append(_CLOSE)
        await send({"type": "http.response.start", "status": status, "headers": reply + exchange.reply_headers})
        in_parts = len(body) > _SENT_AT_ONCE
        if not in_parts:
            await send({"type": "http.response.body", "body": body})
        self._observation.posted(exchange, status, seconds)
        if self._audit is not None and exchange.key and endpoint.scope == "push":
            self._audit.pushed(exchange.at, exchange.key, identity, scope["path"], status, plain)
        if self._keeping is not None and exchange.response is not None and not kept and status == 200:
            exchange.response.key = exchange.key
            await _keep(self._keeping, exchange.response, seconds)
        if in_parts:
            await _send_in_parts(send, body)

    async def _keep_durably(self, exchange: Exchange, began: float) -> bool:
        """Log an answer before it is sent where its model wants that; returns whether it does."""
        keeping, response = self._keeping, exchange.response
        if keeping is None or response is None or not keeping.is_durable(response.champion.name):
            return False
        seconds = time.perf_counter() - began
        response.key = exchange.key
        if _is_large(response):
            await asyncio.to_thread(keeping.keep, response, seconds)
        elif self._answering:
            keeping.keep(response, seconds, commit=False)
            await self._commits.wait()
        else:
            keeping.keep(response, seconds)
        return True

    def _commit(self) -> None:
        if self._keeping is not None:
            self._keeping.commit()

    def _unready(self) -> str:
        """Return why no requests should come here now; empty if they may."""
        faults = [each.fault for each in (self._keeping, self._large) if each is not None]
        faults.append(self._readiness.reason())
        if self._drained is not None:
            faults.append(self._drained.fault(served.name for served in self._champions))
        return "; ".join(fault for fault in faults if fault)

    async def _look_at_views(self) -> None:
        """Look how the views stand that models look up."""
        at = None if self._limits.replay else self._clock()
        await asyncio.to_thread(self._readiness.look, at)
        self._observation.tell_views(self._readiness)

    async def _answer(self, exchange: Exchange) -> bytes:
        """Answer a request whose body is whole; raises BadRequest if too many are being answered."""
        if self._answering >= self._limits.waiting:
            raise BadRequest("too many requests at once: try again", 503)
        self._answering += 1
        endpoint = exchange.endpoint
        try:
            if b"content-encoding" in exchange.headers:
                await self._decompress(exchange)
            body = exchange.body
            pushing = self._pushes.handler(exchange)
            if pushing is not None:
                return await self._pushes.push(exchange, pushing)
            if len(body) > endpoint.at_once or (endpoint.slow is not None and endpoint.slow in body):
                return await self._answer_apart(exchange)
            question = endpoint.handler.begin(exchange)
            if isinstance(question, bytes):
                return question
            answers = [
                await self._together.predict(part.served.predictor, part.matrix) for part in question.response.parts
            ]
            return endpoint.handler.finish(exchange, question.finish(answers))
        finally:
            self._answering -= 1

    async def _answer_apart(self, exchange: Exchange) -> bytes:
        """Answer a request that takes milliseconds by another process, or by a thread where it is none of the
        largest."""
        large, most = self._large, self._limits.large
        if large is not None and exchange.endpoint.scope == "predict" and len(exchange.body) >= most:
            # It counts those that wait for it itself: smaller requests are not turned away for them.
            self._answering -= 1
            try:
                answer = await large.answer(exchange, self._champions.serving)
            finally:
                self._answering += 1
            if answer is not None:
                return answer
        return await asyncio.to_thread(answer_at_once, exchange)

    async def _decompress(self, exchange: Exchange) -> None:
        encoding, most = exchange.headers[b"content-encoding"].decode("latin-1"), self._limits.body
        exchange.body = await asyncio.to_thread(decompress, exchange.body, encoding, most)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette):  # noqa: ARG002
        behind = [
            asyncio.create_task(coroutine)
            for coroutine in (self._look_for_champions(), self._bodies.give_up_late(), self._look_around())
        ]
        await self._look_at_views()
        yield
        for task in behind:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for closing in (self._pushes, self._large, self._keeping, self._audit, self._tracing):
            if closing is not None:
                await asyncio.to_thread(closing.close)
        self._observation.measured.publish()

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._admission.look()
            if self._large is not None:
                self._large.look()
            if self._drained is not None:
                self._observation.tell_behind(self._drained.behind(served.name for served in self._champions))
            self._observation.measured.publish()

    async def _look_for_champions(self) -> None:
        # One thread for all versions: each thread keeps the memory that it took to load one.
        thread = ThreadPoolExecutor(1, "champions")
        try:
            while True:
                await asyncio.sleep(self._limits.look_every)
                await self._look_at_views()
                await self._refresh_champions(thread)
        finally:
            thread.shutdown(wait=False)

    async def _refresh_champions(self, thread: ThreadPoolExecutor) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._champions.refresh)
        except Exception:
            # A registry out of reach must not end the looking.
            log.exception("no look for champions: those that serve go on")
        else:
            self._observation.tell_versions()


async def _send_in_parts(send: Send, body: bytes) -> None:
    """Send a large body as fast as it is read; others have their turn between its parts."""
    for at in range(0, len(body), _SENT_AT_ONCE):
        end = at + _SENT_AT_ONCE
        await send({"type": "http.response.body", "body": body[at:end], "more_body": end < len(body)})
        await asyncio.sleep(0)


async def _compressed(exchange: Exchange, body: bytes) -> bytes:
    """Return a large body as the client takes it, with the header that says so."""
    encoding = accepted_encoding(exchange.headers[b"accept-encoding"].decode("latin-1"))
    if encoding is None:
        return body
    exchange.reply_headers += [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
    if len(body) < APART_FROM:
        return compress(body, encoding)
    return await asyncio.to_thread(compress, body, encoding)


def _content_type(media_type: str) -> tuple[bytes, bytes]:
    return b"content-type", media_type.encode()


async def _keep(keeping: Keeping, response: PredictionResponse, seconds: float) -> None:
    if _is_large(response):
        await asyncio.to_thread(keeping.keep, response, seconds)
    else:
        keeping.keep(response, seconds)


def _is_large(response: PredictionResponse) -> bool:
    return sum(len(part.matrix) for part in response.parts) > _KEPT_AT_ONCE


def now() -> int:
    """Read the machine's clock: microseconds since the epoch."""
    return time.time_ns() // 1000


def make_app(
    registry: Versions,
    names: Sequence[str],
    limits: Limits,
    declared: Declarations | None = None,
    store: OnlineStore | None = None,
    *,
    clock: Callable[[], int] = now,
    open_log: OpenLog | None = None,
    admission: Admission | None = None,
    audit: AuditTrail | None = None,
    drained: DrainWatch | None = None,
    counted: Path | None = None,
    tracing: Tracing | None = None,
    large: LargeRequests | None = None,
) -> Server:
    """Make the app over a registry's champions; raises LookupError for a model without one."""
    declared = declared or Declarations()
    champions = Champions(registry, names, declared.tried)
    return Server(
        champions,
        limits,
        declared,
        store,
        clock=clock,
        open_log=open_log,
        admission=admission,
        audit=audit,
        drained=drained,
        counted=counted,
        tracing=tracing,
        large=large,
    )
