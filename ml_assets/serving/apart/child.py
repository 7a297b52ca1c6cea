"""A process that a server has started, and with which it exchanges messages; each exchange has a time limit."""

import logging
import multiprocessing.connection
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

from ml_assets.serving.apart.messages import END, NO_REQUEST, READY, Asked, Reply, encode_serving
from ml_assets.serving.rollout.champions import Serving

log = logging.getLogger(__name__)

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
    """A process that is connected; it is killed where an exchange takes too long.

    Each exchange raises EOFError or OSError where the process has ended, TimeoutError where it was killed.
    """

    connection: Connection
    process: Process

    def greet(self, serving: Serving, limit: float) -> None:
        """Say what serves, and wait until requests can be answered.

        Args:
            limit: seconds.
        """
        with self._killed_after(limit):
            self.connection.send_bytes(encode_serving(serving))
            if self.connection.recv_bytes() != READY:
                raise ConnectionError("it does not say that it is ready")

    def exchange(self, asked: Asked | None, body: bytes, limit: float) -> tuple[Reply, bytes]:
        """Send a request, or None for what is counted, and wait for what becomes of it."""
        # A stopped process takes no more than a part of a large body: also the sending may have no end.
        with self._killed_after(limit):
            self.connection.send_bytes(NO_REQUEST if asked is None else asked.encode())
            self.connection.send_bytes(body)
            return Reply.decode(self.connection.recv_bytes()), self.connection.recv_bytes()

    def finish(self, limit: float) -> Reply:
        """Let it write its log; returns what it has counted in all."""
        with self._killed_after(limit):
            self.connection.send_bytes(END)
            return Reply.decode(self.connection.recv_bytes())

    def end(self, limit: float = GRACE) -> int:
        """Let it end by itself, as it does once nobody is connected; kill it where that takes too long.

        Returns:
            Its exit code.
        """
        self.connection.close()
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            log.error("what answers large requests, process %d, does not end: it is killed", self.process.pid)
            self.process.kill()
            return self.process.wait()

    @contextmanager
    def _killed_after(self, limit: float) -> Iterator[None]:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(limit, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError) as error:
            if late.is_set():
                raise TimeoutError(f"it took more than {limit:g} seconds and was killed") from error
            raise
        finally:
            timer.cancel()


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
