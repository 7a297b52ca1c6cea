"""Facts of a stream, pushed until there are no more or until told to end."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import typer

from ml_assets.commands.exits import ExitCode
from ml_assets.declarations.project import DeclaredProject
from ml_assets.disk_faults import describe_fault
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.export import export_refused
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.tables import PushedTable
from ml_assets.streams.connector import Connector, stream_quarantine
from ml_assets.streams.metrics import StreamMetrics
from ml_assets.streams.opening import StreamAddress, open_stream
from ml_assets.streams.routing import Routes
from ml_assets.streams.running import LONGEST_PAUSE, SHORTEST_PAUSE, Batches, Lag, Running, Wait
from ml_assets.streams.state import StreamState, state_of, write_state

_PRINT_EVERY = 10.0
"""Seconds between two lines about progress."""


Say = Callable[[str], None]


@dataclass(frozen=True)
class StreamJob:
    """What is read, and where it goes.

    Attributes:
        use_case: whose tables take facts.
        once: whether to end where the stream does.
    """

    home: Home
    use_case: str
    address: StreamAddress
    tables: Mapping[str, PushedTable]
    batches: Batches = field(default_factory=Batches)
    once: bool = False


def tables_of(project: DeclaredProject, use_case: str, lake: Lake) -> dict[str, PushedTable]:
    """Return the tables that take facts for a use case.

    Raises:
        ValueError: there is no such use case, or none of its tables takes facts.
    """
    from ml_assets.commands.serving.served import declarations
    from ml_assets.serving.contract_gate import pushed_table

    views = {view.name for view in project.only(use_case).views}
    declared = declarations(project, lake, []).tables
    tables = {
        name: pushed_table(table) for name, table in declared.items() if any(view.name in views for view in table.views)
    }
    if not tables:
        raise ValueError(
            f"{use_case}: no table takes facts: declare `online:` on a feature view with a table, and materialize that"
        )
    return tables


def stream_facts(job: StreamJob, say: Say, metrics: StreamMetrics) -> StreamState:
    """Push the facts of a stream; a signal to end is heard between two batches.

    Args:
        say: hears of progress, and of what is wrong and passes.

    Raises:
        RuntimeError: the stream is not what it must be, or another connector reads it.
        OSError: with `once`, the store or the stream is away.
        Exit: a signal came before there was a store.
    """
    routes = Routes(list(job.tables), job.address.routing)
    stream = open_stream(job.address)
    try:
        with _ending() as wait:
            store = _open_store(job, wait, say)
            connector = Connector(job.address.name, store, job.tables, routes)
            said = _Said(job, connector, say, metrics)
            running = Running(stream, connector, job.batches, _now, said.tell, lambda text: say(f"warning: {text}"))
            try:
                if job.once:
                    running.run_to_end()
                else:
                    running.run(wait)
            finally:
                state = said.end()
            export_refused(store, Lake(job.home.lake), stream_quarantine(connector.name))
            return state
    finally:
        stream.close()


class _Said:
    """Says how far a connector is: to the home, to metrics and to whoever watches."""

    def __init__(self, job: StreamJob, connector: Connector, say: Say, metrics: StreamMetrics) -> None:
        self._job, self._connector, self._say, self._metrics = job, connector, say, metrics
        self._lag = Lag()
        self._printed = "", -float("inf")
        self._fault = ""

    def tell(self, lag: Lag) -> None:
        self._lag = lag
        text, now = self._write().summary(), time.monotonic()
        if text != self._printed[0] and now - self._printed[1] >= _PRINT_EVERY:
            self._printed = text, now
            self._say(text)

    def end(self) -> StreamState:
        return self._write(ended=True)

    def _write(self, *, ended: bool = False) -> StreamState:
        state = state_of(self._connector, self._job.use_case, self._lag, _now(), ended=ended)
        self._metrics.state = state
        try:
            write_state(self._job.home.streams, state)
            self._fault = ""
        except OSError as error:
            # Facts are taken all the same: what looks from outside does not see how far, and is not to stop them.
            self._warn(f"{self._job.home.streams}: how far the stream is cannot be written: {describe_fault(error)}")
        return state

    def _warn(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            self._say(f"warning: {fault}")


def _open_store(job: StreamJob, wait: Wait, say: Say) -> OnlineStore:
    pause = SHORTEST_PAUSE
    while True:
        try:
            return open_store(job.home.online_store)
        except StoreUnavailable as error:
            if job.once:
                raise
            say(f"warning: {error}; the next try is in {pause:.0f} s")
            if wait(pause):
                raise typer.Exit(ExitCode.DONE) from None
            pause = min(2 * pause, LONGEST_PAUSE)


@contextmanager
def _ending() -> Iterator[Wait]:
    """Hear signals to end; gives what waits for them."""
    ending = threading.Event()
    before = {number: signal.signal(number, lambda *_: ending.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending.wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _now() -> int:
    return time.time_ns() // 1000
