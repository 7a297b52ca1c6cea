"""The process that answers large requests: as its server does, from the same store, into the same log."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.serving.apart.following import Following
from ml_assets.serving.apart.messages import END, NO_REQUEST, READY, Asked, Reply, decode_serving
from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest, failed
from ml_assets.serving.http.endpoints import Endpoints
from ml_assets.serving.http.exchange import Elsewhere, Exchange, answer_at_once
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.push import PushHandler, TablePushHandler
from ml_assets.serving.log.keeping import Keeping, OpenLog
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.protocols.adapter import ProtocolLimits
from ml_assets.serving.protocols.registry import served_protocols
from ml_assets.serving.rollout.champions import Champions, Serving, Versions
from ml_assets.serving.rollout.choice import Choosing

log = logging.getLogger(__name__)

Later = Callable[[], None]
"""What is to be done once an answer is sent."""

MakeAnswers = Callable[[Serving], "LargeAnswers"]


class LargeAnswers:
    """Answers requests by the versions that the server serves at that moment.

    Args:
        registry: has these versions.
        serving: which these are at the start.
        open_log: makes the log of responses; None for none.
    """

    def __init__(
        self,
        registry: Versions,
        serving: Serving,
        limits: Limits,
        declared: Declarations,
        store: OnlineStore | None,
        open_log: OpenLog | None = None,
    ) -> None:
        self._following = Following(registry, serving)
        self._champions = Champions(self._following, list(serving), declared.tried)
        answering = Answering(Choosing(self._champions), declared, store, most=limits.rows, replay=limits.replay)
        # Facts are pushed by the server itself.
        pushes = PushHandler({}, None, limits), TablePushHandler({}, None, limits)
        self._endpoints = Endpoints(answering, served_protocols(ProtocolLimits(limits.rows, limits.replay)), *pushes)
        self._keeping = (
            None if open_log is None else Keeping(self._champions, declared, open_log, replayed=limits.replay)
        )

    def answer(self, asked: Asked | None, body: bytes) -> tuple[Reply, bytes, Later]:
        """Answer a request, None for what is counted so far.

        Returns:
            The reply, the body of the answer, and what is to be done afterwards.
        """
        if asked is None:
            return self.counted(), b"", _nothing
        endpoint = self._endpoints.find_any(asked.path)
        if endpoint is None or not self._follow(asked.serving):
            return replace(self.counted(), able=False), b"", _nothing
        exchange = Exchange(
            endpoint, asked.headers, asked.request_id, asked.at, asked.method, path=asked.path, began=asked.began
        )
        exchange.body, exchange.key = body, asked.key
        answer, refusal, kept = b"", None, False
        try:
            answer = answer_at_once(exchange)
            kept = self._keep_durably(exchange)
        except BadRequest as error:
            refusal = error
        except Exception:
            # Whatever went wrong with one request, its client is told so and the others are answered.
            log.exception("%s %s failed", endpoint.route, asked.request_id)
            refusal = failed(asked.request_id)
        reply = self._reply(exchange, refusal)
        if refusal is not None:
            return reply, b"", _nothing
        return reply, answer, _nothing if kept else lambda: self._keep_late(exchange)

    def counted(self) -> Reply:
        """Return a reply that has only what is counted so far."""
        keeping = self._keeping
        if keeping is None:
            return Reply()
        counters = {name: value() for name, (_, value) in keeping.counters.items()}
        return Reply(counters=counters, fault=keeping.fault)

    def close(self) -> None:
        """Write what is left."""
        if self._keeping is not None:
            self._keeping.close()

    def _follow(self, serving: Serving) -> bool:
        """Serve what the server serves; returns whether that can be loaded."""
        if self._champions.serving != serving:
            self._following.serving = serving
            self._champions.refresh()
        return self._champions.serving == serving

    def _reply(self, exchange: Exchange, refusal: BadRequest | None) -> Reply:
        served, response = exchange.served, exchange.response
        roles = () if response is None else response.roles()
        return replace(
            self.counted(),
            refusal=None if refusal is None else (str(refusal), refusal.status, dict(refusal.headers)),
            media_type=exchange.media_type,
            headers=exchange.reply_headers,
            elsewhere=None if served is None else Elsewhere(served.name, served.version, roles),
            counts=exchange.counts,
        )

    def _keep_durably(self, exchange: Exchange) -> bool:
        """Log an answer before it is sent where its model wants that; returns whether it does."""
        response = exchange.response
        if self._keeping is None or response is None or not self._keeping.is_durable(response.champion.name):
            return False
        self._keep(exchange)
        return True

    def _keep_late(self, exchange: Exchange) -> None:
        try:
            self._keep(exchange)
        except Exception:
            log.exception("%s %s is answered and not logged", exchange.endpoint.route, exchange.request_id)

    def _keep(self, exchange: Exchange) -> None:
        response = exchange.response
        if self._keeping is not None and response is not None:
            response.key = exchange.key
            self._keeping.keep(response, time.perf_counter() - exchange.began)


def _nothing() -> None:
    pass


def serve_connection(connection: Connection, make: MakeAnswers) -> None:
    """Answer what a server sends until it ends or closes the connection."""
    try:
        answers = make(decode_serving(connection.recv_bytes()))
        try:
            connection.send_bytes(READY)
            while (message := connection.recv_bytes()) != END:
                asked = None if message == NO_REQUEST else Asked.decode(message)
                reply, body, later = answers.answer(asked, connection.recv_bytes())
                connection.send_bytes(reply.encode())
                connection.send_bytes(body)
                later()
                # Not kept until the next request comes.
                del reply, body, later
        finally:
            answers.close()
        connection.send_bytes(answers.counted().encode())
    except (EOFError, ConnectionError):
        log.debug("the server has ended")
