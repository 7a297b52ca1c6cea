"""Values of entities in Redis: shared by servers on many machines, one round trip a read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson

from ml_assets.online.stores.protocol import (
    EntityMoments,
    NewRow,
    NoBuild,
    OnlineStore,
    PushedRow,
    Snapshot,
    StaleBuild,
    Stored,
    StoreUnavailable,
)
from ml_assets.online.values.record import Build

PREFIX = "ml_assets:online:"

KEPT = 2
"""How long Redis keeps values, in times `max_age`: a replay may lag behind, and what is gone counts as expired."""

_GRACE = timedelta(hours=1)
"""How much longer values are kept than the sign that they are there: they are written before it."""

_BATCH = 1000
_COMMIT_ATTEMPTS = 1000

# One script, so that all values are of one moment of the store, in one round trip. A moment's member is its time and
# its values, so that equal values at two moments are two members.
_READ = f"""
local views, found = {{}}, {{}}
for i = 2, #ARGV, 2 do
    local view = views[ARGV[i]]
    if view == nil then
        view = redis.call('HMGET', '{PREFIX}view:' .. ARGV[i], 'number', 'build', 'begins', 'valid_until', 'unseen')
        if view[1] and view[4] ~= '' and redis.call('EXISTS', '{PREFIX}alive:' .. view[1]) == 0 then
            view[4] = view[3]
        end
        views[ARGV[i]] = view
    end
    if view[1] and tonumber(view[3]) <= tonumber(ARGV[1]) then
        local moments = '{PREFIX}moments:' .. view[1] .. ':' .. ARGV[i + 1]
        local last = redis.call('ZREVRANGEBYSCORE', moments, ARGV[1], '-inf', 'LIMIT', 0, 1)
        found[#found + 1] = {{view[2], view[4], last[1] or false, view[5]}}
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
        # Untyped: what it gives depends on options, and is bytes here.
        self._redis: Any = redis.Redis.from_url(url)
        self._read = self._redis.register_script(_READ)

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        with self._reached():
            rows = self._read(args=[at, *(part for key in keys for part in key)])
        return [None if row is None else _stored(*row) for row in rows]

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
        reapply: Callable[[Snapshot], Sequence[EntityMoments]],
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
            known = self._facts(number, sorted({row.entity for row in later}))
            changes = reapply(Snapshot(build, number, schema, known, later)) if later else []
            last = max(int(pipe.get(_key("seq", view)) or 0), build.pushed_seq)
            older = [int(each) for each in pipe.smembers(_key("builds", view)) if int(each) < number]
            pipe.multi()
            self._write(pipe, number, changes, int(kept))
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

    def snapshot(self, view: str, entities: Sequence[str]) -> Snapshot:
        with self._reached():
            number, record, schema = self._redis.hmget(_key("view", view), "number", "record", "schema")
            if number is None:
                raise NoBuild(view)
            pushed = [row for entity in entities for row in self._pushed(_key("pushed", view, entity), 0)]
            known = self._facts(int(number), entities)
        return Snapshot(Build.model_validate_json(record), int(number), schema, known, pushed)

    def apply(
        self, snapshot: Snapshot, rows: Sequence[NewRow], arrived_at: int, changes: Sequence[EntityMoments]
    ) -> int | None:
        view, entities = snapshot.build.view, sorted({row.entity for row in rows})
        last_known = {row.entity: row.seq for row in snapshot.pushed}

        def change(pipe: Any) -> int | None:
            pipe.watch(_key("seq", view), _key("view", view), *(_key("pushed", view, each) for each in entities))
            number = pipe.hget(_key("view", view), "number")
            if number is None or int(number) != snapshot.number:
                return None
            for entity in entities:
                last = pipe.zrevrange(_key("pushed", view, entity), 0, 0, withscores=True)
                if (int(last[0][1]) if last else None) != last_known.get(entity):
                    return None
            remaining = max(pipe.pttl(_key("alive", snapshot.number)), 0)
            before = int(pipe.get(_key("seq", view)))
            pipe.multi()
            seqs: dict[str, int] = {}
            for seq, row in enumerate(rows, before + 1):
                member = orjson.dumps([seq, arrived_at, row.known_at, row.entity, row.row])
                pipe.zadd(_key("pushed", view), {member: seq})
                pipe.zadd(_key("pushed", view, row.entity), {member: seq})
                seqs[row.entity] = seq
            last = before + len(rows)
            pipe.set(_key("seq", view), last)
            self._write(pipe, snapshot.number, changes, remaining, seqs)
            pipe.execute()
            return last

        return self._committed(view, change)

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
        """Run `change`, which reads and writes, again and again until nobody else wrote in between."""
        # No back-off, as somebody's write was done each time: a retry library would add to every push for nothing.
        for _ in range(_COMMIT_ATTEMPTS):
            with self._reached(), self._redis.pipeline() as pipe:
                try:
                    return change(pipe)
                except self._watch_error:
                    continue
        raise StoreUnavailable(f"online store {self._url}: {view} was written by others {_COMMIT_ATTEMPTS} times")

    def _pushed(self, key: str, seq: int) -> list[PushedRow]:
        return [PushedRow(*orjson.loads(member)) for member in self._redis.zrangebyscore(key, f"({seq}", "+inf")]

    def _facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        if not entities:
            return {}
        values = self._redis.mget([_key("facts", number, entity) for entity in entities])
        return {entity: rows for entity, rows in zip(entities, values, strict=True) if rows is not None}

    def _keep(self, pipe: Any, number: int, entity: str, kept: int) -> None:
        pipe.sadd(_key("entities", number), entity)
        if kept:
            until = kept + _milliseconds(_GRACE)
            for key in (_key("facts", number, entity), _key("moments", number, entity), _key("entities", number)):
                pipe.pexpire(key, until)

    def _write(
        self,
        pipe: Any,
        number: int,
        changes: Sequence[EntityMoments],
        kept: int,
        seqs: dict[str, int] | None = None,
    ) -> None:
        for change in changes:
            seq, key = change.seq if seqs is None else seqs[change.entity], _key("moments", number, change.entity)
            pipe.zremrangebyscore(key, change.since, "+inf")
            if change.moments:
                pipe.zadd(key, {_member(moment, seq, values): moment for moment, values in change.moments})
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
                    pipe.unlink(_key("moments", each, text), _key("facts", each, text))
                    _flush(pipe)
                pipe.unlink(_key("entities", each), _key("alive", each))
                pipe.srem(_key("builds", view), each)
                pipe.execute()


def _key(*parts: object) -> str:
    return PREFIX + ":".join(map(str, parts))


def _member(moment: int, seq: int | None, values: str) -> str:
    return f"{moment} [{seq},{values}]"


def _stored(build: bytes, valid_until: bytes, member: bytes | None, unseen: bytes) -> Stored:
    seq, known_at, *values = orjson.loads(unseen if member is None else member.partition(b" ")[2])
    end = int(valid_until) if valid_until else None
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
