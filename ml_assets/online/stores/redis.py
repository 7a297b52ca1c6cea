"""Values of entities in Redis: shared by servers on many machines, one round trip a read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from ml_assets.online.stores.protocol import (
    CurrentBuild,
    Decide,
    EntityChange,
    EntityState,
    NoBuild,
    OnlineStore,
    OutcomeUnknown,
    PushedRow,
    Reapply,
    RefusedRow,
    StaleBuild,
    Stored,
    StoreSnapshot,
    StoreUnavailable,
)
from ml_assets.online.values.record import Build

PREFIX = "ml_assets:online:"

KEPT = 2
"""How long Redis keeps values, in times `max_age`: a replay may lag behind, and what is gone counts as expired."""

_GRACE = timedelta(hours=1)
"""How much longer values are kept than the sign that they are there: they are written before it."""

_BATCH = 1000
_HEADER = "header"
"""Field of a running state beside those of its leaves."""

_PARTS = ("moments", "facts", "state")
"""What is kept of each entity of a build."""
_COMMIT_ATTEMPTS = 1000

# One script, so that all values are of one moment of the store, in one round trip. A moment's member is its time and
# its values, so that equal values at two moments are two members. Every key is declared: the view, whether its build is
# alive, and the moments of each entity in that build; a build that is not the one the keys are of is told instead.
_READ = """
local at, count = ARGV[1], tonumber(ARGV[2])
local views, found = {}, {}
for i = 1, count do
    local view = redis.call('HMGET', KEYS[i], 'number', 'build', 'begins', 'valid_until', 'unseen')
    if (view[1] or '') ~= ARGV[2 + i] then
        return 'another build'
    end
    if view[1] and view[4] ~= '' and redis.call('EXISTS', KEYS[count + i]) == 0 then
        view[4] = view[3]
    end
    views[i] = view
end
for i = 2 * count + 1, #KEYS do
    local view = views[tonumber(ARGV[2 - count + i])]
    if view[1] and tonumber(view[3]) <= tonumber(at) then
        local last = redis.call('ZREVRANGEBYSCORE', KEYS[i], at, '-inf', 'LIMIT', 0, 1)
        found[#found + 1] = {view[2], view[4], last[1] or false, view[5]}
    else
        found[#found + 1] = false
    end
end
return found
"""


class RedisStore(OnlineStore):
    """The store in the Redis database at `url`; keys begin with PREFIX.

    Raises:
        ValueError: the package `redis` is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise ValueError(f"online store {_shown(url)}: needs the package redis: install ml_assets[redis]") from None
        self._url = _shown(url)
        self._errors = redis.RedisError
        self._watch_error = redis.WatchError
        self._lost = (redis.ConnectionError, redis.TimeoutError)
        # Untyped: what it gives depends on options, and is bytes here.
        self._redis: Any = redis.Redis.from_url(url)
        self._read = self._redis.register_script(_READ)
        self._numbers: dict[str, str] = {}

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        places = {view: place for place, view in enumerate(dict.fromkeys(view for view, _ in keys), 1)}
        with self._reached():
            for _ in range(_COMMIT_ATTEMPTS):
                numbers = {view: self._numbers.get(view) or self._number(view) for view in places}
                rows = self._read(
                    keys=[
                        *(_key("view", view) for view in places),
                        *(_key("alive", numbers[view]) for view in places),
                        *(_key("moments", numbers[view], entity) for view, entity in keys),
                    ],
                    args=[at, len(places), *numbers.values(), *(places[view] for view, _ in keys)],
                )
                if isinstance(rows, list):
                    return [None if row is None else _stored(*row) for row in rows]
                self._numbers = {}
        raise StoreUnavailable(f"online store {self._url}: builds were published {_COMMIT_ATTEMPTS} times meanwhile")

    def _number(self, view: str) -> str:
        """Look up the number of the build of a view that is read; empty for none."""
        number = self._redis.hget(_key("view", view), "number")
        if number is None:
            return ""
        self._numbers[view] = number.decode()
        return self._numbers[view]

    def build(self, view: str) -> Build | None:
        with self._reached():
            record = self._redis.hget(_key("view", view), "record")
        return None if record is None else Build.model_validate_json(record)

    def schema(self, view: str) -> bytes:
        with self._reached():
            schema = self._redis.hget(_key("view", view), "schema")
        if schema is None:
            raise NoBuild(view)
        return schema

    def stage(self, view: str, max_age: timedelta | None) -> int:
        with self._reached():
            number = self._redis.incr(_key("numbers"))
            kept = 0 if max_age is None else _milliseconds(KEPT * max_age)
            self._redis.hset(_key("staged", number), mapping={"view": view, "kept": kept})
            self._redis.sadd(_key("builds", view), number)
        return number

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
    ) -> None:
        with self._reached():
            kept = self._redis.hget(_key("staged", number), "kept")
            if kept is None:
                raise StaleBuild(view)
            pipe = self._redis.pipeline(transaction=False)
            for entity, rows in facts:
                pipe.set(_key("facts", number, entity), rows)
                self._keep(pipe, number, entity, int(kept))
                _flush(pipe)
            by_entity: dict[str, dict[str, int]] = {}
            for entity, moment, values in moments:
                by_entity.setdefault(entity, {})[_member(moment, seq, values)] = moment
            for entity, members in by_entity.items():
                pipe.zadd(_key("moments", number, entity), members)
                self._keep(pipe, number, entity, int(kept))
                _flush(pipe)
            pipe.execute()

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> None:
        view = build.view
        fields = {
            "number": number, "build": build.build, "begins": build.begin,
            "valid_until": "" if build.end is None else build.end,
            "unseen": f"[{build.pushed_seq},{unseen}]", "record": build.model_dump_json(), "schema": schema,
        }  # fmt: skip

        def change(pipe: Any) -> None:
            pipe.watch(_key("seq", view), _key("view", view), _key("staged", number))
            kept, current = pipe.hget(_key("staged", number), "kept"), self.build(view)
            if kept is None or (current is not None and current.pushed_seq > build.pushed_seq):
                raise StaleBuild(view)
            pushed = self.pushed_since(view, 0)
            later = [row for row in pushed if row.seq > build.pushed_seq]
            changes = reapply(_RedisSnapshot(self), CurrentBuild(build, number, schema), later) if later else []
            last = max(int(pipe.get(_key("seq", view)) or 0), build.pushed_seq)
            older = [int(each) for each in pipe.smembers(_key("builds", view)) if int(each) < number]
            pipe.multi()
            self._write(pipe, number, changes, int(kept), {})
            pipe.hset(_key("view", view), mapping=fields)
            if build.valid_until is not None:
                pipe.set(_key("alive", number), 1, px=int(kept))
            pipe.set(_key("seq", view), last)
            pipe.zremrangebyscore(_key("pushed", view), "-inf", build.pushed_seq)
            for entity in {row.entity for row in pushed}:
                pipe.zremrangebyscore(_key("pushed", view, entity), "-inf", build.pushed_seq)
            for each in (*older, number):
                pipe.delete(_key("staged", each))
            pipe.execute()

        self._committed(view, change)
        self._clear(view, number)

    @contextmanager
    def reading(self) -> Iterator[StoreSnapshot]:
        with self._reached():
            yield _RedisSnapshot(self)

    def change(self, decide: Decide, arrived_at: int) -> list[int]:
        def change(pipe: Any) -> list[int]:
            wanted = decide(_RedisSnapshot(self, pipe))
            names = [each.built.build.view for each in wanted.views]
            remaining = [max(pipe.pttl(_key("alive", each.built.number)), 0) for each in wanted.views]
            before = [int(pipe.get(_key("seq", name))) for name in names]
            pipe.multi()
            for each, last, kept in zip(wanted.views, before, remaining, strict=True):
                view, seqs = each.built.build.view, {}
                for seq, row in enumerate(each.rows, last + 1):
                    member = orjson.dumps([seq, arrived_at, row.known_at, row.entity, row.row, row.retracts])
                    pipe.zadd(_key("pushed", view), {member: seq})
                    pipe.zadd(_key("pushed", view, row.entity), {member: seq})
                    seqs[row.entity] = seq
                pipe.set(_key("seq", view), last + len(each.rows))
                self._write(pipe, each.built.number, each.entities, kept, seqs)
            for note in wanted.notes:
                length = None if note.until is None else max((note.until - arrived_at) // 1000, 1)
                pipe.set(_key("note", note.key), note.text, px=length)
            for row in wanted.refused:
                pipe.rpush(_key("refused", wanted.table), orjson.dumps([arrived_at, row.row, row.rules, row.columns]))
            pipe.execute()
            return [last + len(each.rows) for last, each in zip(before, wanted.views, strict=True)]

        return self._committed("what a push changes", change)

    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        with self._reached():
            kept = [orjson.loads(row) for row in self._redis.lrange(_key("refused", table), seq, -1)]
        return [(number, arrived_at, RefusedRow(*row)) for number, (arrived_at, *row) in enumerate(kept, seq + 1)]

    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        with self._reached():
            return self._pushed(_key("pushed", view), seq)

    def close(self) -> None:
        self._redis.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise StoreUnavailable(f"online store {self._url}: {error}") from error

    def _committed(self, view: str, change: Callable[[Any], Any]) -> Any:
        """Run `change`, which reads and writes, again and again until nobody else wrote in between.

        Raises:
            OutcomeUnknown: the connection was lost while it was written, or before.
        """
        # No back-off, as somebody's write was done each time: a retry library would add to every push for nothing.
        for _ in range(_COMMIT_ATTEMPTS):
            with self._reached(), self._redis.pipeline() as pipe:
                try:
                    return change(pipe)
                except self._watch_error as error:
                    # The client says the same of a connection that was lost, also after all was written: to write
                    # again would count twice.
                    if isinstance(error.__context__, self._lost):
                        raise OutcomeUnknown(
                            f"online store {self._url}: {error.__context__}: {view} may be there or not"
                        ) from error
        raise StoreUnavailable(f"online store {self._url}: {view} was written by others {_COMMIT_ATTEMPTS} times")

    def _pushed(self, key: str, seq: int) -> list[PushedRow]:
        return [_pushed(member) for member in self._redis.zrangebyscore(key, f"({seq}", "+inf")]

    def _keep(self, pipe: Any, number: int, entity: str, kept: int) -> None:
        pipe.sadd(_key("entities", number), entity)
        if kept:
            until = kept + _milliseconds(_GRACE)
            for key in (*(_key(part, number, entity) for part in _PARTS), _key("entities", number)):
                pipe.pexpire(key, until)

    def _write(
        self,
        pipe: Any,
        number: int,
        changes: Sequence[EntityChange],
        kept: int,
        seqs: Mapping[str, int],
    ) -> None:
        for change in changes:
            seq = seqs[change.entity] if change.seq is None else change.seq
            key = _key("moments", number, change.entity)
            pipe.zremrangebyscore(key, change.since, "+inf")
            if change.moments:
                pipe.zadd(key, {_member(moment, seq, values): moment for moment, values in change.moments})
            if change.header is not None:
                fields = {_HEADER: f"{seq} {change.header}", **change.leaves}
                pipe.hset(_key("state", number, change.entity), mapping=fields)
            self._keep(pipe, number, change.entity, kept)

    def _clear(self, view: str, number: int) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        with self._reached():
            for each in sorted(int(each) for each in self._redis.smembers(_key("builds", view))):
                if each >= number:
                    continue
                pipe = self._redis.pipeline(transaction=False)
                for entity in self._redis.sscan_iter(_key("entities", each)):
                    text = entity.decode()
                    pipe.unlink(*(_key(part, each, text) for part in _PARTS))
                    _flush(pipe)
                pipe.unlink(_key("entities", each), _key("alive", each))
                pipe.srem(_key("builds", view), each)
                pipe.execute()


class _RedisSnapshot(StoreSnapshot):
    """The server as it is; with `watching`, what is read is as it was until that pipeline is executed, or it is not."""

    def __init__(self, store: RedisStore, watching: Any = None) -> None:
        self._redis, self._watching = store._redis, watching
        self._whole: dict[tuple[int, str], dict[int, bytes]] = {}

    def built(self, view: str) -> CurrentBuild | None:
        self._watch(_key("view", view), _key("seq", view))
        number, record, schema = self._redis.hmget(_key("view", view), "number", "record", "schema")
        return None if number is None else CurrentBuild(_record(record), int(number), schema)

    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:
        keys = [_key("state", number, entity) for entity in entities]
        self._watch(*keys)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key) if whole else pipe.hget(key, _HEADER)
        states = {}
        for entity, kept in zip(entities, pipe.execute(), strict=True):
            if whole:
                header = kept.pop(_HEADER.encode(), None)
                self._whole[number, entity] = {int(leaf): text for leaf, text in kept.items()}
            else:
                header = kept
            seq, _, text = (b"", b"", None) if header is None else header.partition(b" ")
            states[entity] = EntityState(None if header is None else int(seq), text)
        return states

    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> Mapping[int, str | bytes]:
        there = self._whole.get((number, entity))
        if there is not None:
            return there
        return dict(zip(leaves, self._redis.hmget(_key("state", number, entity), *leaves), strict=True))

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        if not entities:
            return {}
        values = self._redis.mget([_key("facts", number, entity) for entity in entities])
        return {entity: rows for entity, rows in zip(entities, values, strict=True) if rows is not None}

    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        keys = [_key("pushed", view, entity) for entity in entities]
        self._watch(*keys)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.zrange(key, 0, -1)
        return [_pushed(member) for members in (pipe.execute() if keys else ()) for member in members]

    def note(self, key: str) -> str | None:
        self._watch(_key("note", key))
        text = self._redis.get(_key("note", key))
        return None if text is None else text.decode()

    def _watch(self, *keys: str) -> None:
        if self._watching is not None and keys:
            self._watching.watch(*keys)


@lru_cache(maxsize=256)
def _record(text: bytes) -> Build:
    return Build.model_validate_json(text)


def _pushed(member: bytes) -> PushedRow:
    return PushedRow(*orjson.loads(member))


def _key(*parts: object) -> str:
    return PREFIX + ":".join(map(str, parts))


def _member(moment: int, seq: int | None, values: str) -> str:
    return f"{moment} [{seq},{values}]" if values else f"{moment} [{seq}]"


def _stored(build: bytes, valid_until: bytes, member: bytes | None, unseen: bytes) -> Stored:
    seq, *kept = orjson.loads(unseen if member is None else member.partition(b" ")[2])
    end = int(valid_until) if valid_until else None
    if not kept:
        return Stored([], None, end, build.decode(), seq, seen=True, ready=False)
    known_at, *values = kept
    return Stored(values, known_at, end, build.decode(), seq, member is not None)


def _flush(pipe: Any) -> None:
    if len(pipe) >= _BATCH:
        pipe.execute()


def _milliseconds(duration: timedelta) -> int:
    return max(duration // timedelta(milliseconds=1), 1)


def _shown(url: str) -> str:
    """Return the address without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
