"""The connector at work: batch after batch, and patience where the store or the stream is away."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ml_assets.online.stores.errors import NoBuild, StoreUnavailable
from ml_assets.streams.connector import Connector
from ml_assets.streams.protocol import Message, Stream, StreamUnavailable, advance

Clock = Callable[[], int]
"""Says the present moment, microseconds."""

Wait = Callable[[float], bool]
"""Waits some seconds; returns whether to end."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the first new try and at most before a later one, while the store or the stream is away."""

_AT_END = 0.2
"""Seconds that nothing comes at the end of a stream that is read to its end."""

_EMPTY = 50
"""Reads in a row that give nothing, while messages wait, after which a stream gives none."""

AWAY = (StoreUnavailable, StreamUnavailable, NoBuild)
"""What passes: nothing is pushed or acknowledged meanwhile."""


@dataclass(frozen=True)
class Batches:
    """How messages are gathered.

    Attributes:
        most: messages that are pushed at once at most.
        linger: how long a batch that is not full waits for more, seconds.
        look: how often, at least, somebody asks whether to end, and how far behind the stream is; seconds.
    """

    most: int = 500
    linger: float = 0.05
    look: float = 1.0


@dataclass(frozen=True)
class Lag:
    """How far what counts is behind the stream.

    Attributes:
        messages: how many wait; None where it cannot be known.
        seconds: how long ago the newest message that counts was sent, 0 where none waits; None where it cannot be
            known.
        away: why nothing is read; empty where something is.
    """

    messages: int | None = None
    seconds: float | None = None
    away: str = ""


Tell = Callable[[Lag], None]
"""Hears how far behind it is, now and then."""


class Running:
    """A connector and its stream.

    Args:
        warn: hears of what is wrong, and no reason to end.
    """

    def __init__(
        self,
        stream: Stream,
        connector: Connector,
        batches: Batches,
        clock: Clock,
        tell: Tell,
        warn: Callable[[str], None],
    ) -> None:
        self._stream, self._connector = stream, connector
        self._batches, self._clock, self._tell, self._warn = batches, clock, tell, warn
        self._told_at = -float("inf")

    def run_to_end(self) -> None:
        """Push what is there, until nothing more comes.

        Raises:
            StoreUnavailable, StreamUnavailable, NoBuild: one of both is away; what was pushed counts.
            RuntimeError: messages wait, and the stream gives none.
        """
        self._open()
        empty = 0
        while empty < _EMPTY:
            if self._step(_AT_END, linger=0):
                empty = 0
                continue
            empty += 1
            if self._stream.waiting(self._connector.progress.position) == 0:
                self._look(at_once=True)
                return
        raise RuntimeError(f"stream {self._connector.name}: messages wait, and it gives none")

    def run(self, wait: Wait) -> None:
        """Push what comes, until told to end; while the store or the stream is away, try again."""
        pause, opened = SHORTEST_PAUSE, False
        while not wait(0):
            try:
                if not opened:
                    self._open()
                    opened = True
                self._step(self._batches.look, linger=self._batches.linger)
                self._look()
                pause = SHORTEST_PAUSE
            except AWAY as error:
                # Whether the last change was made is in the store.
                opened = False
                self._warn(f"{error}; the next try is in {pause:.0f} s")
                self._tell(replace(self._lag(), away=str(error)))
                if wait(pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)

    def _open(self) -> None:
        self._connector.load()
        for sentence in self._stream.check(self._connector.progress.position):
            self._warn(sentence)

    def _step(self, wait: float, linger: float) -> int:
        """Push the next batch; gives how many messages it had."""
        messages = self._gather(wait, linger)
        if messages:
            self._connector.push(messages, self._clock())
            self._stream.acknowledge(self._connector.progress.position)
        return len(messages)

    def _gather(self, wait: float, linger: float) -> Sequence[Message]:
        position, most = self._connector.progress.position, self._batches.most
        messages = list(self._stream.read(position, most, wait))
        until = time.monotonic() + linger
        while messages and len(messages) < most and (left := until - time.monotonic()) > 0:
            messages += self._stream.read(advance(position, messages), most - len(messages), left)
        return messages

    def _look(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._told_at >= self._batches.look:
            self._told_at = now
            self._tell(self._lag(self._stream.waiting(self._connector.progress.position)))

    def _lag(self, waiting: int | None = None) -> Lag:
        sent_at = self._connector.progress.sent_at
        behind = None if sent_at is None else max(0.0, (self._clock() - sent_at) / 1_000_000)
        return Lag(waiting, 0.0 if waiting == 0 else behind)
