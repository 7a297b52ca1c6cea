"""What changes are decided from: the server as it is, and what is gone that it should have."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ml_assets.online.stores.errors import EntityLost
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityState, PushedRow
from ml_assets.online.stores.redis.members import HEADER, PUSHED, RUNNING, WHOLE, pushed_row
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.values.record import Build


class RedisSnapshot(StoreSnapshot):
    """The server as it is; with `watching`, what is read is as it was until that pipeline is executed, or it is not.

    Raises EntityLost for what was thrown away and is needed.
    """

    def __init__(self, server: RedisServer, watching: Any = None) -> None:
        self._server, self._watching = server, watching
        self._redis, self._key = server.client, server.key
        self._whole: dict[tuple[int, str], dict[int, bytes]] = {}
        self._headers: dict[tuple[int, str], bytes | None] = {}
        self._listed: dict[str, int] = {}

    def built(self, view: str) -> CurrentBuild | None:
        self._watch(self._key("view", view), self._key("seq", view))
        fields = ("number", "record", "schema", "listed")
        number, record, schema, listed = self._redis.hmget(self._key("view", view), *fields)
        if number is None:
            return None
        if listed is not None:
            self._listed[view] = int(number)
        return CurrentBuild(_record(record), int(number), schema)

    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:
        keys = [self._key("state", number, entity) for entity in entities]
        self._watch(*keys)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key) if whole else pipe.hget(key, HEADER)
        self._ask_for(pipe, number, [RUNNING + entity for entity in entities])
        *found, listed = pipe.execute()
        states = {}
        for entity, kept in zip(entities, found, strict=True):
            if whole:
                header = kept.pop(HEADER.encode(), None)
                self._whole[number, entity] = {int(leaf): text for leaf, text in kept.items()}
            else:
                header = kept
            self._headers[number, entity] = header
            seq, _, text = (b"", b"", None) if header is None else header.partition(b" ")
            states[entity] = EntityState(None if header is None else int(seq), text)
        self._refuse_lost(number, entities, listed, {entity for entity in entities if states[entity].header is None})
        return states

    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> Mapping[int, str | bytes]:
        there = self._whole.get((number, entity))
        if there is not None:
            return there
        header, *texts = self._redis.hmget(self._key("state", number, entity), HEADER, *leaves)
        # A state of which the header is older than its leaves must not be kept for the next push.
        if self._watching is not None and header != self._headers.get((number, entity)):
            raise self._server.written_meanwhile
        if None in texts:
            raise self._lost(entity)
        return dict(zip(leaves, texts, strict=True))

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        if not entities:
            return {}
        pipe = self._redis.pipeline(transaction=False)
        pipe.mget([self._key("facts", number, entity) for entity in entities])
        self._ask_for(pipe, number, entities)
        values, listed = pipe.execute()
        found = dict(zip(entities, values, strict=True))
        self._refuse_lost(number, entities, listed, {entity for entity in entities if found[entity] is None})
        return {entity: rows for entity, rows in found.items() if rows}

    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        if not entities:
            return []
        keys = [self._key("pushed", view, entity) for entity in entities]
        self._watch(*keys)
        pipe = self._redis.pipeline(transaction=False)
        for key in keys:
            pipe.zrange(key, 0, -1)
        number = self._listed.get(view)
        if number is None:
            found = pipe.execute()
        else:
            self._ask_for(pipe, number, [PUSHED + entity for entity in entities])
            *found, listed = pipe.execute()
            gone = {entity for entity, members in zip(entities, found, strict=True) if not members}
            self._refuse_lost(number, entities, listed, gone)
        return [pushed_row(member) for members in found for member in members]

    def note(self, key: str) -> str | None:
        self._watch(self._key("note", key))
        text = self._redis.get(self._key("note", key))
        return None if text is None else text.decode()

    def _ask_for(self, pipe: Any, number: int, members: Sequence[str]) -> None:
        pipe.smismember(self._key("entities", number), [WHOLE, *members])

    def _refuse_lost(
        self, number: int, entities: Sequence[str], listed: Sequence[int], missing: Collection[str]
    ) -> None:
        """Refuse what is missing although it is listed, or where the list itself is gone."""
        whole, *each = listed
        for entity, there in zip(entities, each, strict=True):
            if entity in missing and (there or (not whole and number in self._listed.values())):
                raise self._lost(entity)

    def _lost(self, entity: str) -> EntityLost:
        return EntityLost(
            f"online store {self._server.url}: what it had of entity {entity} was thrown away: build its views again"
        )

    def _watch(self, *keys: str) -> None:
        if self._watching is not None and keys:
            self._watching.watch(*keys)


@lru_cache(maxsize=256)
def _record(text: bytes) -> Build:
    return Build.model_validate_json(text)
