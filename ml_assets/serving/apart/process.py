"""The server's side of the process that answers large requests: it is started at the first of them."""

import asyncio
import logging
import multiprocessing.connection
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from ml_assets.serving.apart.messages import NO_REQUEST, READY, Asked, Reply, encode_serving
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.exchange import Exchange
from ml_assets.serving.rollout.champions import Serving

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds within which the process must be ready: it loads libraries and models first."""

PAUSE = 5.0
"""Seconds between two starts of a process that keeps ending, or cannot begin."""

GRACE = 10.0
"""Seconds that it has to write its log when the server ends."""


class Process(Protocol):
    """A process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


@dataclass(frozen=True)
class Started:
    """A process that is connected."""

    connection: Connection
    process: Process

    def end(self) -> None:
        """Let it end by itself, as it does once nobody is connected; kill it where that takes too long."""
        self.connection.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            log.error("what answers large requests, process %d, does not end: it is killed", self.process.pid)
            self.process.kill()
            self.process.wait()


Start = Callable[[], Started]


def start_command(command: Sequence[str]) -> Started:
    """Start a process whose last argument is the descriptor of its connection; raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        # In a session of its own: Ctrl-C is for the server, whose end it waits for.
        process = subprocess.Popen(
            [*command, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    log.info("large requests are answered by process %d", process.pid)
    return Started(multiprocessing.connection.Connection(ours.detach()), process)


class LargeRequestProcess:
    """Answers large requests, one after the other, by a process that is started when the first one comes.

    Until it is ready, and where it cannot be started, requests are left to the server. Where it ends, the request that
    it was answering is refused (503), and it is started anew by the next one.

    Attributes:
        fault: why it cannot log now; empty while it can.
    """

    def __init__(self, start: Start) -> None:
        self.fault = ""
        self._start = start
        self._started: Started | None = None
        self._starting: threading.Thread | None = None
        self._not_before = 0.0
        self._closing = False
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
        if self._started is None:
            self._begin(serving)
            return None
        return await asyncio.get_running_loop().run_in_executor(self._line, self._ask, exchange, serving)

    def look(self) -> None:
        """Let the process tell what it has counted since its last answer; nobody waits for it."""
        if self._started is not None and not self._closing and (self._looking is None or self._looking.done()):
            self._looking = self._line.submit(self._look)

    def close(self) -> None:
        """End the process once it has answered what it was asked, and written its log."""
        self._closing = True
        if self._starting is not None:
            self._starting.join()
        idle = self._line.submit(_nothing)
        try:
            idle.result(GRACE)
        except TimeoutError:
            if self._started is not None:
                self._started.process.kill()
        self._line.shutdown()
        started, self._started = self._started, None
        if started is not None:
            started.end()

    def _begin(self, serving: Serving) -> None:
        now = time.monotonic()
        if self._closing or now < self._not_before or (self._starting is not None and self._starting.is_alive()):
            return
        self._not_before = now + PAUSE
        self._starting = threading.Thread(target=self._connect, args=(serving,), name="large-requests-start")
        self._starting.daemon = True
        self._starting.start()

    def _connect(self, serving: Serving) -> None:
        started = None
        try:
            started = self._start()
            started.connection.send_bytes(encode_serving(serving))
            if not started.connection.poll(PATIENCE) or started.connection.recv_bytes() != READY:
                raise TimeoutError(f"it was not ready within {PATIENCE:g} seconds")
        except (EOFError, OSError) as error:
            log.error("what answers large requests cannot begin, threads answer them: %s", error or "it has ended")
            self._not_before = time.monotonic() + PAUSE
            if started is not None:
                started.end()
            return
        self._started = started

    def _ask(self, exchange: Exchange, serving: Serving) -> bytes | None:
        started = self._started
        if started is None:
            return None
        asked = Asked(
            exchange.path, exchange.method, exchange.headers, exchange.request_id, exchange.at, exchange.key,
            exchange.began, serving,
        )  # fmt: skip
        try:
            reply, body = _exchanged(started.connection, asked, exchange.body)
        except (EOFError, OSError) as error:
            self._lose(started)
            message = "what answers large requests has ended: try again"
            raise BadRequest(message, 503, {"retry-after": "1"}) from error
        return self._take(exchange, reply, body)

    def _look(self) -> None:
        started = self._started
        if started is None:
            return
        try:
            reply, _ = _exchanged(started.connection, None, b"")
        except (EOFError, OSError):
            self._lose(started)
            return
        self._counters, self.fault = dict(reply.counters), reply.fault

    def _take(self, exchange: Exchange, reply: Reply, body: bytes) -> bytes | None:
        if not reply.able:
            return None
        self._counters, self.fault = dict(reply.counters), reply.fault
        exchange.elsewhere, exchange.counts, exchange.media_type = reply.elsewhere, reply.counts, reply.media_type
        exchange.reply_headers += reply.headers
        if reply.refusal is not None:
            raise BadRequest(*reply.refusal)
        return body

    def _lose(self, started: Started) -> None:
        log.error("what answers large requests has ended: the next one starts it again")
        self._started, self.fault = None, ""
        self._before.update(self._counters)
        self._counters = {}
        started.end()


def _exchanged(connection: Connection, asked: Asked | None, body: bytes) -> tuple[Reply, bytes]:
    """Send a request, or None for what is counted, and wait for what becomes of it."""
    connection.send_bytes(NO_REQUEST if asked is None else asked.encode())
    connection.send_bytes(body)
    return Reply.decode(connection.recv_bytes()), connection.recv_bytes()


def _nothing() -> None:
    pass
