"""Redis Streams."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_assets.streams.doors.missing import require_library
from ml_assets.streams.opening import StreamAddress
from ml_assets.streams.protocol import Message, Offset, Position, Stream, StreamError, StreamUnavailable

_ANSWER = 10.0
"""Seconds that the server has to answer."""

_PAGE = 10_000
"""Entries that are looked through at most to know how many wait."""


class RedisStream(Stream):
    """The entries of one key: `redis://host:port/number/key`.

    Each entry has a field with JSON (`?body=data`), and may have a field `table` that names its table. The stream is
    read from the position that the online store has; a consumer group (`?group=ml-assets`) shows how far that is, and
    where it may be trimmed. `?password_file=` names a file with the password. Redis 7 or later.
    """

    def __init__(self, address: StreamAddress) -> None:
        redis = require_library("redis", "redis")
        options = address.take(body="data", group="ml-assets", password_file="")
        number, _, key = address.path.partition("/")
        if not number.isdecimal() or not key:
            raise ValueError(
                f"stream {address.name}: write redis://host:port/number/key, such as redis://host:6379/0/orders"
            )
        self._key, self._group, self._body = key, options["group"], options["body"].encode()
        secret = {"password": Path(file).read_text().strip()} if (file := options["password_file"]) else {}
        self._server = redis.Redis.from_url(
            f"{address.scheme}://{address.server}/{number}",
            socket_timeout=_ANSWER,
            socket_connect_timeout=_ANSWER,
            **secret,
        )
        self._errors = redis.exceptions
        self._given: list[Offset] = []
        self._entries_read: int | None = None

    def check(self, position: Position) -> Sequence[str]:
        offset = position.get(self._key)
        with self._reaching():
            there = self._server.xinfo_stream(self._key) if self._server.exists(self._key) else None
            self._given, self._entries_read = [], self._count_entries_read(there, offset)
        if there is None or offset is None:
            return ()
        if _offset(there["last-generated-id"]) < offset:
            raise StreamError(f"{self._key}: ends before {_id(offset)}, up to which it was read: it was made anew")
        with self._reaching():
            return self._gone(there, offset)

    def read(self, position: Position, limit: int, wait: float) -> Sequence[Message]:
        after = _id(position.get(self._key, _BEGIN))
        with self._reaching():
            block = max(1, int(min(wait, _ANSWER / 2) * 1000))
            answer = self._server.xread({self._key: after}, count=limit, block=block)
        messages = [self._message(identity, fields) for _, entries in answer or () for identity, fields in entries]
        self._given += [message.offset for message in messages]
        return messages

    def acknowledge(self, position: Position) -> None:
        offset = position.get(self._key)
        if offset is None:
            return
        if self._entries_read is not None:
            self._entries_read += sum(given <= offset for given in self._given)
        self._given = [given for given in self._given if given > offset]
        with self._reaching():
            if self._group_info() is None:
                self._server.xgroup_create(self._key, self._group, id=_id(offset), entries_read=self._entries_read)
            else:
                self._server.xgroup_setid(self._key, self._group, _id(offset), entries_read=self._entries_read)

    def waiting(self, position: Position) -> int | None:
        offset = position.get(self._key, _BEGIN)
        with self._reaching():
            mine = self._group_info()
            if mine is not None and mine["lag"] is not None and _offset(mine["last-delivered-id"]) == offset:
                return mine["lag"]
            return self._count(offset, None)

    def close(self) -> None:
        self._server.close()

    def _message(self, identity: bytes, fields: dict[bytes, bytes] | None) -> Message:
        fields, offset = fields or {}, _offset(identity)
        name = fields.get(b"table", self._key.encode()).decode(errors="replace")
        return Message(self._key, offset, name, fields.get(self._body, b""), offset[0] * 1000)

    def _group_info(self) -> dict[str, Any] | None:
        groups = self._server.xinfo_groups(self._key) if self._server.exists(self._key) else []
        return next((group for group in groups if group["name"].decode() == self._group), None)

    def _count_entries_read(self, there: dict[str, Any] | None, offset: Offset | None) -> int | None:
        """Return how many entries were ever added up to an offset, by which Redis knows how many wait; None where that
        is not known."""
        if there is None or offset is None:
            return 0 if there is None else there["entries-added"] - there["length"]
        mine = self._group_info()
        if mine is None or mine["entries-read"] is None or _offset(mine["last-delivered-id"]) > offset:
            return None
        since = self._count(_offset(mine["last-delivered-id"]), offset)
        return None if since is None else mine["entries-read"] + since

    def _gone(self, there: dict[str, Any], offset: Offset) -> list[str]:
        """Say what was trimmed after an offset; what is trimmed is the oldest."""
        if self._server.xrange(self._key, _id(offset), _id(offset)):
            return []
        removed = there["entries-added"] - there["length"]
        if self._entries_read is None:
            return [f"{self._key}: {_id(offset)}, up to which it was read, is gone, and maybe entries after it"]
        gone = removed - self._entries_read
        return [f"{self._key}: {gone:,} entries after {_id(offset)} are gone, and were not read"] if gone > 0 else []

    def _count(self, after: Offset, to: Offset | None) -> int | None:
        """Count the entries after an offset; None for more than a page of them."""
        last = "+" if to is None else _id(to)
        entries = self._server.xrange(self._key, f"({_id(after)}", last, count=_PAGE + 1)
        return len(entries) if len(entries) <= _PAGE else None

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (self._errors.ConnectionError, self._errors.TimeoutError) as error:
            raise StreamUnavailable(f"Redis: {error}") from error
        except self._errors.ResponseError as error:
            raise StreamError(f"{self._key}: {error}") from error


_BEGIN: Offset = (0, 0)


def _id(offset: Offset) -> str:
    return "-".join(map(str, offset))


def _offset(identity: bytes) -> Offset:
    milliseconds, _, number = identity.partition(b"-")
    return int(milliseconds), int(number)
