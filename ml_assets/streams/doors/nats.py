"""NATS JetStream."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ml_assets.addresses import without_secrets
from ml_assets.streams.doors.missing import require_library
from ml_assets.streams.opening import StreamAddress
from ml_assets.streams.protocol import Message, Position, Stream, StreamError, StreamUnavailable

T = TypeVar("T")

_ANSWER = 10.0
"""Seconds that the server has to answer."""

_KEPT = 3600.0
"""Seconds that the server keeps a consumer that nobody asks."""


class NatsStream(Stream):
    """The messages of a JetStream stream, all or of a subject: `nats://host:port/STREAM?subject=facts.>`.

    An offset is a sequence number of the stream, and a message is named as the last token of its subject. It is read by
    a consumer of its own, which begins where the online store says; so the stream must keep messages by limits, and not
    until they are acknowledged. `?credentials=` names a file of credentials.
    """

    def __init__(self, address: StreamAddress) -> None:
        self._nats = require_library("nats", "nats")
        self._js = require_library("nats.js", "nats")
        options = address.take(subject=">", credentials="")
        self._url = f"nats://{address.server}"
        self._stream, self._options = address.path, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self._client: Any = None
        self._consumer: Any = None
        self._next = 0

    def check(self, position: Position) -> Sequence[str]:
        info = self._do(self._info())
        policy = info.config.retention
        if policy is not None and policy != self._js.api.RetentionPolicy.LIMITS:
            raise StreamError(
                f"stream {self._stream}: its retention is {policy.value}, so what was acknowledged is gone: make it "
                "limits, or a stream with limits that this one is a source of"
            )
        if self._stream not in position:
            return ()
        (read,) = position[self._stream]
        if info.state.last_seq < read:
            raise StreamError(
                f"stream {self._stream}: ends at {info.state.last_seq:,} and was read up to {read:,}: it was made anew"
            )
        lost = info.state.first_seq - read - 1
        return (
            [f"stream {self._stream}: {lost:,} messages after {read:,} are gone, and were not read"] if lost > 0 else ()
        )

    def read(self, position: Position, limit: int, wait: float) -> Sequence[Message]:
        (read,) = position.get(self._stream, (0,))
        return self._do(self._fetch(read + 1, limit, wait), wait)

    def acknowledge(self, position: Position) -> None:
        """Do nothing: the consumer is the connector's own, and what it has read is in the store."""

    def waiting(self, position: Position) -> int | None:
        (read,) = position.get(self._stream, (0,))
        return self._do(self._pending(read + 1))

    def close(self) -> None:
        if self._client is not None:
            self._end(self._client.close())
            self._client = None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER)
        self._loop.close()

    async def _info(self) -> Any:
        return await (await self._jetstream()).stream_info(self._stream)

    async def _jetstream(self) -> Any:
        if self._client is None or self._client.is_closed:
            more = {"user_credentials": self._options["credentials"]} if self._options["credentials"] else {}
            self._consumer = None
            self._client = await self._nats.connect(
                self._url,
                name="ml-assets",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=_ignore,
                **more,
            )
        return self._client.jetstream(timeout=_ANSWER)

    async def _consume(self, begin: int) -> Any:
        """Return a consumer that gives the message with number `begin` next, or the first after it."""
        jetstream = await self._jetstream()
        if self._consumer is not None and self._next != begin:
            await self._drop()
        if self._consumer is None:
            api = self._js.api
            self._consumer = await jetstream.pull_subscribe(
                self._options["subject"],
                stream=self._stream,
                config=api.ConsumerConfig(
                    deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=begin,
                    ack_policy=api.AckPolicy.NONE,
                    inactive_threshold=_KEPT,
                ),
            )
            self._next = begin
        return self._consumer

    async def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        await consumer.unsubscribe()

    async def _fetch(self, begin: int, limit: int, wait: float) -> list[Message]:
        consumer = await self._consume(begin)
        try:
            fetched = await consumer.fetch(limit, timeout=max(wait, 0.05))
        except TimeoutError:
            # Also what comes of a consumer that the server has forgotten.
            await consumer.consumer_info()
            return []
        messages = [self._message(each) for each in fetched]
        self._next = messages[-1].offset[0] + 1 if messages else begin
        return messages

    async def _pending(self, begin: int) -> int:
        consumer = await self._consume(begin)
        return (await consumer.consumer_info()).num_pending

    def _message(self, message: Any) -> Message:
        about = message.metadata
        name = message.subject.rpartition(".")[2]
        sent_at = round(about.timestamp.timestamp() * 1_000_000)
        return Message(self._stream, (about.sequence.stream,), name, message.data, sent_at)

    def _do(self, work: Coroutine[Any, Any, T], wait: float = 0) -> T:
        errors = self._nats.errors
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result(3 * _ANSWER + wait)
        except self._js.errors.NotFoundError as error:
            if self._consumer is None:
                raise StreamError(f"stream {self._stream}: {error.description}") from error
            self._consumer = None
            raise StreamUnavailable(f"NATS: the consumer is gone: {error.description}") from error
        except (errors.Error, OSError, TimeoutError) as error:
            doing.cancel()
            self._give_up()
            raise StreamUnavailable(
                f"NATS at {without_secrets(self._url).removeprefix('nats://')}: {error or type(error).__name__}"
            ) from error

    def _give_up(self) -> None:
        client, self._client, self._consumer = self._client, None, None
        if client is not None:
            self._end(client.close())

    def _end(self, closing: Coroutine[Any, Any, None]) -> None:
        done = asyncio.run_coroutine_threadsafe(closing, self._loop)
        try:
            done.result(_ANSWER)
        except (self._nats.errors.Error, OSError, TimeoutError):
            done.cancel()


async def _ignore(error: Exception) -> None:
    """Leave an error to the next call, which fails with it."""
