"""The server's side of the process that answers large requests: it is started at the first of them."""

import asyncio
import logging
import math
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor

from ml_assets.serving.apart.child import GRACE, Start, Started
from ml_assets.serving.apart.messages import Asked, Reply
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.rollout.champions import Serving

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds within which the process must be ready: it loads libraries and models first."""

PAUSE = 5.0
"""Seconds between two starts of a process that cannot begin."""

LIMIT = 60.0
"""Seconds that a request may take, once it is its turn: the largest take one or two, and proxies wait for a minute."""

WAITING = 64
"""Large requests at the same time: the last of as many of 10,000 rows waits for half a minute, and bodies of 8 MiB take
512."""

RETRY = 5
"""Seconds after which a client is to try again: about as long as a process takes to be ready."""

LOSSES, WITHIN, REST = 3, 60.0, 60.0
"""Losses within so many seconds after which the process is not started for as long as this."""


class LargeRequestProcess:
    """Answers large requests, one after the other, by a process that is started when the first one comes.

    Until it is ready for the first time, requests are left to the server. Where it ends, or takes too long for one of
    them and is killed, that request is refused (503), and so are all others until a new one is ready, which is started
    at once: the request may have been what ended it, and would end the server if that answered it. One that is lost
    again and again is not started for a while.

    Attributes:
        fault: why it cannot log now; empty while it can.
    """

    def __init__(self, start: Start) -> None:
        self.fault = ""
        self._start = start
        self._serving: Serving = {}
        self._lock = threading.Lock()
        """Of what follows, up to `_not_before`."""
        self._closing = False
        self._started: Started | None = None
        self._starting: threading.Thread | None = None
        self._begun: Started | None = None
        self._not_before = 0.0
        self._lost = False
        self._losses = deque[float](maxlen=LOSSES)
        self._waiting = 0
        self._looking: Future[None] | None = None
        self._line = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        self._before: Counter[str] = Counter()
        self._counters: dict[str, float] = {}

    def counted(self, name: str) -> float:
        """Return what the process, and those before it, have counted."""
        return self._before[name] + self._counters.get(name, 0)

    @property
    def ready(self) -> bool:
        """Whether the next request is answered by the process."""
        return self._started is not None

    async def answer(self, exchange: Exchange, serving: Serving) -> bytes | None:
        """Answer a request; see `LargeRequests`."""
        self._serving = serving
        if self._started is None and not self._closing:
            self._begin()
            if self._lost:
                raise self._refusal("what answers large requests has ended, and begins again")
            return None
        if self._waiting >= WAITING:
            raise self._refusal("too many large requests at once")
        with self._lock:
            if self._closing:
                raise self._refusal("the server ends")
            answer = self._line.submit(self._ask, exchange, serving)
        self._waiting += 1
        try:
            return await asyncio.wrap_future(answer)
        finally:
            self._waiting -= 1

    def look(self) -> None:
        """Let the process tell what it has counted since its last answer, or begin after a loss; waits for neither."""
        if self._started is None:
            if self._lost:
                self._begin()
            return
        with self._lock:
            if not self._closing and (self._looking is None or self._looking.done()):
                self._looking = self._line.submit(self._look)

    def close(self) -> None:
        """End the process once it has answered what it was asked, and written its log; kill one that only begins."""
        deadline = time.monotonic() + GRACE
        with self._lock:
            self._closing = True
            starting, begun = self._starting, self._begun
        if begun is not None:
            begun.process.kill()
        if starting is not None:
            starting.join()
        idle = self._line.submit(_nothing)
        try:
            idle.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            if self._started is not None:
                self._started.process.kill()
        self._line.shutdown()
        started, self._started = self._started, None
        if started is not None:
            self._finish(started, deadline)

    def _finish(self, started: Started, deadline: float) -> None:
        try:
            self._count(started.finish(max(deadline - time.monotonic(), 0.0)))
        except (EOFError, OSError) as error:
            log.error("what answered large requests last may be logged and is not counted: %s", _reason(error))
        started.end(max(deadline - time.monotonic(), 1.0))

    def _begin(self) -> None:
        with self._lock:
            under_way = self._started is not None or self._starting is not None
            if self._closing or under_way or time.monotonic() < self._not_before:
                return
            self._starting = threading.Thread(target=self._connect, args=(self._serving,), name="large-requests-start")
            self._starting.daemon = True
            self._starting.start()

    def _connect(self, serving: Serving) -> None:
        started, reason = None, ""
        try:
            started = self._start()
            with self._lock:
                self._begun = started
                if self._closing:
                    started.process.kill()
            started.greet(serving, PATIENCE)
        except (EOFError, OSError) as error:
            reason = _reason(error)
        with self._lock:
            self._starting = self._begun = None
            closing = self._closing
            if not reason and not closing:
                self._started = started
                return
            self._not_before = time.monotonic() + PAUSE
        if not closing:
            meanwhile = "they are refused" if self._lost else "threads answer them"
            log.error("what answers large requests cannot begin, %s: %s", meanwhile, reason)
        if started is not None:
            started.end()

    def _ask(self, exchange: Exchange, serving: Serving) -> bytes | None:
        started = self._started
        if started is None:
            raise self._refusal("what answers large requests has ended, and begins again")
        asked = Asked(
            exchange.path, exchange.method, exchange.headers, exchange.request_id, exchange.at, exchange.key,
            exchange.began, serving,
        )  # fmt: skip
        try:
            reply, body = started.exchange(asked, exchange.body, LIMIT)
        except (EOFError, OSError) as error:
            self._lose(started, error)
            what = "has taken too long, and is killed" if isinstance(error, TimeoutError) else "has ended"
            raise self._refusal(f"what answers large requests {what}") from error
        return self._take(exchange, reply, body)

    def _look(self) -> None:
        started = self._started
        if started is None:
            return
        try:
            reply, _ = started.exchange(None, b"", LIMIT)
        except (EOFError, OSError) as error:
            self._lose(started, error)
            return
        self._count(reply)

    def _take(self, exchange: Exchange, reply: Reply, body: bytes) -> bytes | None:
        if not reply.able:
            return None
        self._count(reply)
        exchange.elsewhere, exchange.counts, exchange.media_type = reply.elsewhere, reply.counts, reply.media_type
        exchange.reply_headers += reply.headers
        if reply.refusal is not None:
            raise BadRequest(*reply.refusal)
        return body

    def _count(self, reply: Reply) -> None:
        self._counters, self.fault = dict(reply.counters), reply.fault

    def _lose(self, started: Started, error: Exception) -> None:
        now = time.monotonic()
        self._losses.append(now)
        often = len(self._losses) == LOSSES and now - self._losses[0] <= WITHIN
        with self._lock:
            self._started, self._lost = None, True
            self._not_before = now + REST if often else now
        self.fault = ""
        self._before.update(self._counters)
        self._counters = {}
        self._begin()
        code = started.end()
        log.error(
            "what answers large requests, process %d, has ended (exit code %d): %s", started.process.pid, code,
            _reason(error),
        )  # fmt: skip
        if often:
            log.error(
                "it has ended %d times within %g seconds, perhaps for want of memory: large requests are refused for "
                "%g seconds before it is started again; ML_ASSETS_LARGE_BYTES=0 would leave them to the server",
                LOSSES, WITHIN, REST,
            )  # fmt: skip

    def _refusal(self, message: str) -> BadRequest:
        seconds = max(RETRY, math.ceil(self._not_before - time.monotonic()))
        return BadRequest(f"{message}: try again", 503, {"retry-after": str(seconds)})


def _reason(error: Exception) -> str:
    return str(error) or "the connection is closed"


def _nothing() -> None:
    pass
