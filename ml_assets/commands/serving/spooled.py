"""The process that writes what servers have spooled to the lake: ``python -m`` this with the spool and the lake."""

import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_assets.home import Home
from ml_assets.serving.log.drain_report import DrainReport
from ml_assets.serving.log.draining import Drained, Draining, alone_with

log = logging.getLogger(__name__)

EVERY, REST = 1.0, 9.0
"""Seconds between two looks for new answers at least, and in how many times the processor time of the last: what keeps
a large table in step takes a tenth of a core at most."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries of a table that keeps failing, and between two starts of a process that keeps ending."""

PATIENCE = 60.0
"""Seconds that the end of a server waits for its answers to be in the lake; what is left then goes on by itself."""

_NICE = 5
"""How much the process gives way to the server, whose answers somebody waits for."""

Wait = Callable[[float], bool]
"""Waits some seconds; returns whether to end."""


def drain_spool(folder: Path, lake: str, *, follow: bool = False) -> Drained | None:
    """Write what is spooled to the lake, once or until a signal to end; None where another process does."""
    if not follow:
        return drain_until(folder, lake, lambda _: True)
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    return drain_until(folder, lake, ending.wait)


def drain_until(folder: Path, lake: str, wait: Wait) -> Drained | None:
    """Write what is spooled to the lake until told to end, then what is there, and return; stand by while another
    process does.

    Returns:
        What was written, None where it was another process's all the time.
    """
    from ml_assets.lake import Lake

    total, pause, ended = None, EVERY, False
    while not ended:
        with alone_with(folder) as alone:
            ended = wait(0 if alone else EVERY)
            if not alone:
                continue
            draining, total = Draining(folder, Lake(lake)), total or Drained()
            report = DrainReport(folder, time.time_ns() // 1000)
            while not ended:
                ended = wait(pause)
                began = time.process_time()
                done = draining.drain()
                report.write(done.failed, time.time_ns() // 1000)
                rest = max(EVERY, REST * (time.process_time() - began))
                pause = min(2 * pause if done.failed else rest, LONGEST_PAUSE)
                total.add(done)
            total.failed = []
            total.add(draining.drain())
    return total


@contextmanager
def draining_beside(home: Home, log_format: str) -> Iterator[None]:
    """Run the process beside a server: started again where it ends, and ended once it has written everything.

    It learns from its standard input that there is no server any more, however that ended.
    """
    command = [sys.executable, "-m", __name__, str(home.spool), home.lake, log_format]
    ending = threading.Event()
    watched = _Watched(command, ending)
    # Uvicorn takes the signal for itself and raises it again once it has ended: what comes after it must be reached.
    before = signal.signal(signal.SIGTERM, _end_later) if _in_main_thread() else None
    watching = threading.Thread(target=watched.keep_running, name="spool", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ending.set()
        watched.end()
        watching.join(PATIENCE)
        if before is not None:
            signal.signal(signal.SIGTERM, before)


class _Ended(SystemExit):
    """A signal to end that has been heard by the server already."""


def _end_later(number: int, frame: object) -> None:  # noqa: ARG001
    raise _Ended(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Watched:
    """The process, started again with growing pauses where it ends by itself."""

    def __init__(self, command: list[str], ending: threading.Event) -> None:
        self._command, self._ending = command, ending
        self._process = self._start()

    def keep_running(self) -> None:
        pause = EVERY
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._ending.is_set():
                return
            pause = EVERY if time.monotonic() - began > LONGEST_PAUSE else pause
            log.error("what writes the spool to the lake has ended with %d: started again in %.0f s", code, pause)
            if self._ending.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE)
            self._process = self._start()

    def end(self) -> None:
        """Let the process write what is there and end; where it takes too long, it goes on alone."""
        process = self._process
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            log.warning("the spool is still being written to the lake, by process %d", process.pid)

    def _start(self) -> subprocess.Popen[bytes]:
        # In a session of its own: Ctrl-C is for the server, whose end it waits for.
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)


def _input_ends(seconds: float) -> bool:
    """Wait; return whether the other end of standard input is closed, as it is once the server has ended."""
    readable, _, _ = select.select([0], [], [], seconds)
    return bool(readable) and not os.read(0, 1)


def _main(folder: str, lake: str, log_format: str) -> None:
    import logging.config

    from ml_assets.serving.http.observability.telemetry import logging_settings

    logging.config.dictConfig(logging_settings(log_format))
    os.nice(_NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    drain_until(Path(folder), lake, _input_ends)


if __name__ == "__main__":
    _main(*sys.argv[1:])
