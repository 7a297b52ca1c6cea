"""The side of Redis that builds are written to, apart from the one that is read."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from ml_assets.online.stores.errors import StaleBuild, StoreUnavailable
from ml_assets.online.stores.protocol import OnlineStore, Reapply
from ml_assets.online.stores.records import CurrentBuild
from ml_assets.online.stores.redis.entities import batches, list_entities, milliseconds, until, write_entities
from ml_assets.online.stores.redis.members import NOTHING, PARTS, WHOLE, entity_of, moment_member
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.stores.redis.snapshot import RedisSnapshot
from ml_assets.online.values.record import Build

KEPT = 2
"""How long Redis keeps values, in times `max_age`: a replay may lag behind, and what is gone counts as expired."""


class RedisBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _server: RedisServer

    def stage(self, view: str, max_age: timedelta | None) -> int:
        self._server.refuse_eviction()
        key = self._server.key
        with self._server.reached():
            redis = self._server.client
            number = redis.incr(key("numbers"))
            kept = 0 if max_age is None else milliseconds(KEPT * max_age)
            pipe = redis.pipeline(transaction=False)
            pipe.sadd(key("builds", view), number)
            list_entities(pipe, self._server, number, [WHOLE], kept)
            pipe.hset(key("staged", number), mapping={"view": view, "kept": kept})
            pipe.execute()
        return number

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
        part: int | None = None,  # noqa: ARG002 - it keeps no plans
    ) -> None:
        key = self._server.key
        by_entity: dict[str, dict[str, int]] = {}
        for entity, moment, values in moments:
            by_entity.setdefault(entity, {})[moment_member(moment, seq, values)] = moment
        with self._server.reached():
            redis = self._server.client
            told = redis.hget(key("staged", number), "kept")
            if told is None:
                raise StaleBuild(view)
            kept, pipe, of_facts = int(told), redis.pipeline(transaction=False), set()
            for batch in batches(facts):
                list_entities(pipe, self._server, number, [entity for entity, _ in batch], kept)
                for entity, rows in batch:
                    of_facts.add(entity)
                    pipe.set(key("facts", number, entity), rows, px=until(kept))
                pipe.execute()
            # Whoever is listed has both: what is not there later was thrown away.
            nothing: dict[str, float] = {NOTHING: float("-inf")}
            for batch in batches([*by_entity.items(), *((each, nothing) for each in of_facts - by_entity.keys())]):
                list_entities(pipe, self._server, number, [entity for entity, _ in batch], kept)
                for entity, members in batch:
                    if entity not in of_facts:
                        pipe.set(key("facts", number, entity), b"", px=until(kept), nx=True)
                    pipe.zadd(key("moments", number, entity), members)
                    if kept:
                        pipe.pexpire(key("moments", number, entity), until(kept))
                pipe.execute()

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> None:
        view, key = build.view, self._server.key
        fields = {
            "number": number, "build": build.build, "begins": build.begin,
            "valid_until": "" if build.end is None else build.end,
            "unseen": f"[{build.pushed_seq},{unseen}]", "record": build.model_dump_json(), "schema": schema,
            "listed": 1,
        }  # fmt: skip

        def change(pipe: Any) -> None:
            pipe.watch(key("seq", view), key("view", view), key("staged", number), key("entities", number))
            kept, current = pipe.hget(key("staged", number), "kept"), self.build(view)
            if kept is None or (current is not None and current.pushed_seq > build.pushed_seq):
                raise StaleBuild(view)
            if not pipe.sismember(key("entities", number), WHOLE):
                raise StoreUnavailable(
                    f"online store {self._server.url}: a part of the build of {view!r} was thrown away before it was "
                    "published: give the server more memory"
                )
            pushed = self.pushed_since(view, 0)
            later = [row for row in pushed if row.seq > build.pushed_seq]
            snapshot = RedisSnapshot(self._server)
            changes = reapply(snapshot, CurrentBuild(build, number, schema), later) if later else []
            last = max(int(pipe.get(key("seq", view)) or 0), build.pushed_seq)
            older = [int(each) for each in pipe.smembers(key("builds", view)) if int(each) < number]
            pipe.multi()
            write_entities(pipe, self._server, number, changes, int(kept), {})
            pipe.hset(key("view", view), mapping=fields)
            if build.valid_until is not None:
                pipe.set(key("alive", number), 1, px=int(kept))
            pipe.set(key("seq", view), last)
            pipe.zremrangebyscore(key("pushed", view), "-inf", build.pushed_seq)
            for entity in {row.entity for row in pushed}:
                pipe.zremrangebyscore(key("pushed", view, entity), "-inf", build.pushed_seq)
            for each in (*older, number):
                pipe.delete(key("staged", each))
            pipe.execute()

        self._server.committed(view, change)
        self._clear(view, number)

    def _clear(self, view: str, number: int) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        key = self._server.key
        with self._server.reached():
            redis = self._server.client
            for each in sorted(int(each) for each in redis.smembers(key("builds", view))):
                if each >= number:
                    continue
                pipe = redis.pipeline(transaction=False)
                for batch in batches(redis.sscan_iter(key("entities", each))):
                    for entity in {entity_of(member.decode()) for member in batch} - {WHOLE}:
                        pipe.unlink(*(key(part, each, entity) for part in PARTS))
                    pipe.execute()
                pipe.unlink(key("entities", each), key("alive", each))
                pipe.srem(key("builds", view), each)
                pipe.execute()
