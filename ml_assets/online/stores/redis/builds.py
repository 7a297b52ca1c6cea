"""The side of Redis that builds are written to, apart from the one that is read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from ml_assets.online.stores.errors import StaleBuild, StoreUnavailable
from ml_assets.online.stores.protocol import OnlineStore, Reapply
from ml_assets.online.stores.records import CurrentBuild, StagedBuild
from ml_assets.online.stores.redis.entities import GRACE, batches, list_entities, milliseconds, until, write_entities
from ml_assets.online.stores.redis.members import NOTHING, PARTS, WHOLE, entity_of, moment_member
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.stores.redis.snapshot import RedisSnapshot
from ml_assets.online.stores.redis.updates import StagedUpdate, forget_pushes
from ml_assets.online.values.record import Build

KEPT = 2
"""How long Redis keeps values, in times `max_age`: a replay may lag behind, and what is gone counts as expired."""

_FOR_EVER = -1
"""What Redis says of the time to live of a key that has none."""

_STAYS = 2
"""How long they stay in memory, in times of that: what updates leave as it was must stay until they expire."""


class RedisBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _server: RedisServer

    updated_at_once = 20_000

    def stage(self, view: str, max_age: timedelta | None) -> int:
        return self._stage(view, max_age, {})

    def updates(self, view: str, max_age: timedelta | None) -> bool:
        if self._server.evicts:
            return False  # What was thrown away comes back with a build of all entities only.
        key = self._server.key
        with self._server.reached():
            number, listed = self._server.client.hmget(key("view", view), "number", "listed")
            if number is None or listed is None:
                return False
            stays = self._server.client.pttl(key("entities", int(number)))
        return stays == _FOR_EVER if max_age is None else stays >= (until(milliseconds(KEPT * max_age)) or 0)

    def stage_planned(self, view: str, max_age: timedelta | None, plan: str, base: CurrentBuild | None = None) -> int:
        of_base = {} if base is None else {"base": base.number, "base_build": base.build.build}
        return self._stage(view, max_age, {"plan": plan, "parts": 0, "entities": 0, "moments": 0, **of_base})

    def unfinished(self, view: str) -> StagedBuild | None:
        key = self._server.key
        with self._server.reached():
            redis = self._server.client
            for number in sorted(map(int, redis.smembers(key("builds", view))), reverse=True):
                fields = redis.hmget(key("staged", number), "plan", "parts", "entities", "moments")
                plan, *counts = fields
                if plan is not None:
                    young = redis.exists(key("young", number))
                    return StagedBuild(number, plan.decode(), *map(int, counts)) if young else None
        return None

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
        part: int | None = None,
    ) -> None:
        kept, by_entity, count = dict(facts), {}, 0
        for entity, moment, values in moments:
            by_entity.setdefault(entity, {})[moment_member(moment, seq, values)] = moment
            count += 1
        # Whoever is listed has both: what is not there later was thrown away.
        nothing = {NOTHING: float("-inf")}
        there = [
            (entity, kept.get(entity, b""), by_entity.get(entity, nothing))
            for entity in kept | by_entity
            if kept.get(entity) or entity in by_entity
        ]
        gone = [entity for entity in kept if not kept[entity] and entity not in by_entity]
        for batch in batches(there):
            self._while_staged(view, number, part, partial(self._add_entities, number, batch))
        counts = {} if part is None else {"parts": 1, "entities": sum(map(bool, kept.values())), "moments": count}
        self._while_staged(view, number, part, partial(self._add_rest, number, gone, counts))

    def _while_staged(
        self, view: str, number: int, part: int | None, write: Callable[[Any, int | None], object]
    ) -> None:
        """Write to a build in one step; raises StaleBuild if it is staged no more, or the part is not the next."""
        staged = self._server.key("staged", number)

        def change(pipe: Any) -> None:
            pipe.watch(staged)
            kept, parts = pipe.hmget(staged, "kept", "parts")
            if kept is None or (None not in (part, parts) and int(parts) != part):
                raise StaleBuild(view)
            pipe.multi()
            write(pipe, _stays(int(kept)))
            pipe.execute()

        self._server.committed(f"a part of the build of {view!r}", change)

    def _add_entities(
        self, number: int, entities: Sequence[tuple[str, bytes, Mapping[str, float]]], pipe: Any, stays: int | None
    ) -> None:
        key = self._server.key
        list_entities(pipe, self._server, number, [entity for entity, *_ in entities], stays)
        for entity, rows, moments in entities:
            pipe.set(key("facts", number, entity), rows, px=stays)
            pipe.zadd(key("moments", number, entity), moments)
            if stays is not None:
                pipe.pexpire(key("moments", number, entity), stays)

    def _add_rest(
        self, number: int, gone: Sequence[str], counts: Mapping[str, int], pipe: Any, stays: int | None
    ) -> None:
        key = self._server.key
        if gone:
            pipe.sadd(key("gone", number), *gone)
            if stays is not None:
                pipe.pexpire(key("gone", number), stays)
        for field, more in counts.items():
            pipe.hincrby(key("staged", number), field, more)

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> Build:
        view, key = build.view, self._server.key
        update = StagedUpdate.find(self._server, number)
        into = number if update is None else update.base

        def change(pipe: Any) -> Build:
            pipe.watch(key("seq", view), key("view", view), key("staged", number), key("entities", number))
            current = self.build(view)
            kept = self._kept_if_whole(pipe, number, build, current)
            made, stays, snapshot = build, _stays(kept), RedisSnapshot(self._server)
            if update is not None:
                others = self._of_base(pipe, view, update, current).entities - update.there
                made, snapshot = build.model_copy(update={"entities": build.entities + others}), update.snapshot()
                stays = None if stays is None else max(pipe.pttl(key("entities", into)), 1)
            pushed = self.pushed_since(view, 0)
            entities = sorted({row.entity for row in pushed})
            later = [row for row in pushed if row.seq > build.pushed_seq]
            changes = reapply(snapshot, CurrentBuild(made, into, schema), later) if later else []
            last = max(int(pipe.get(key("seq", view)) or 0), build.pushed_seq)
            begun = [int(each) for each in pipe.smembers(key("builds", view)) if int(each) <= number]
            pipe.multi()
            if update is not None:
                update.put_in_place(pipe)
                forget_pushes(pipe, self._server, into, entities)
            write_entities(pipe, self._server, into, changes, stays, {})
            pipe.hset(key("view", view), mapping=_fields(into, made, unseen, schema))
            if made.valid_until is not None:
                pipe.set(key("alive", into), 1, px=kept)
            pipe.set(key("seq", view), last)
            for rows in (key("pushed", view), *(key("pushed", view, entity) for entity in entities)):
                pipe.zremrangebyscore(rows, "-inf", made.pushed_seq)
            for each in begun:
                pipe.delete(key("staged", each), key("young", each))
            pipe.execute()
            return made

        made = self._server.committed(view, change)
        self._clear(view, into, number)
        return made

    def _kept_if_whole(self, pipe: Any, number: int, build: Build, current: Build | None) -> int:
        """Return for how many milliseconds the values of a staged build are kept, 0 for ever; raises StaleBuild if it
        is staged no more or a newer one is read."""
        key, kept = self._server.key, pipe.hget(self._server.key("staged", number), "kept")
        if kept is None or (current is not None and current.pushed_seq > build.pushed_seq):
            raise StaleBuild(build.view)
        if not pipe.sismember(key("entities", number), WHOLE):
            raise StoreUnavailable(
                f"online store {self._server.url}: a part of the build of {build.view!r} was thrown away before it was "
                "published: give the server more memory"
            )
        return int(kept)

    def _stage(self, view: str, max_age: timedelta | None, fields: Mapping[str, str | int]) -> int:
        self._server.refuse_eviction()
        key = self._server.key
        with self._server.reached():
            redis = self._server.client
            number = redis.incr(key("numbers"))
            kept = 0 if max_age is None else milliseconds(KEPT * max_age)
            pipe = redis.pipeline(transaction=False)
            pipe.sadd(key("builds", view), number)
            list_entities(pipe, self._server, number, [WHOLE], _stays(kept))
            # What was written first must not be gone before the rest.
            pipe.set(key("young", number), 1, px=milliseconds(GRACE) if kept else None)
            pipe.hset(key("staged", number), mapping={"view": view, "kept": kept, **fields})
            pipe.execute()
        return number

    def _of_base(self, pipe: Any, view: str, update: StagedUpdate, current: Build | None) -> Build:
        """Return the record of the build that an update is of; raises StaleBuild if it is not the one that is read."""
        number = pipe.hget(self._server.key("view", view), "number")
        if current is None or (int(number), current.build) != (update.base, update.base_build):
            raise StaleBuild(view)
        return current

    def _clear(self, view: str, read: int, newest: int) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed.

        Args:
            newest: of the builds that may be.
        """
        key = self._server.key
        with self._server.reached():
            redis = self._server.client
            for each in sorted(int(each) for each in redis.smembers(key("builds", view))):
                if each == read or each > newest:
                    continue
                pipe = redis.pipeline(transaction=False)
                for batch in batches(redis.sscan_iter(key("entities", each))):
                    for entity in {entity_of(member.decode()) for member in batch} - {WHOLE}:
                        pipe.unlink(*(key(part, each, entity) for part in PARTS))
                    pipe.execute()
                pipe.unlink(*(key(kind, each) for kind in ("entities", "alive", "gone", "young")))
                pipe.srem(key("builds", view), each)
                pipe.execute()


def _fields(number: int, build: Build, unseen: str, schema: bytes) -> dict[str, Any]:
    """Return what is kept of the build of a view that is read."""
    return {
        "number": number, "build": build.build, "begins": build.begin,
        "valid_until": "" if build.end is None else build.end, "unseen": f"[{build.pushed_seq},{unseen}]",
        "record": build.model_dump_json(), "schema": schema, "listed": 1,
    }  # fmt: skip


def _stays(kept: int) -> int | None:
    """Return for how long what is written now stays, of a build whose values are kept for so long; None for ever.

    Args:
        kept: milliseconds; 0 for ever.
    """
    return until(_STAYS * kept)
