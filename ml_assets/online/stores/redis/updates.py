"""How the entities of an update take the place of those of the build that is read, which has its number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_assets.online.stores.redis.entities import batches
from ml_assets.online.stores.redis.members import PARTS, PUSHED, WHOLE
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.stores.redis.snapshot import RedisSnapshot

# Keys are the list of entities and, of each entity, its moments and facts in the update, and its moments, facts and
# state in the build; entities are the arguments behind the number of those that have facts, which come first. What is
# listed and was thrown away meanwhile is missing then.
_PUT_IN_PLACE = """
local function move(from, to)
    if redis.call('EXISTS', from) == 1 then
        redis.call('RENAME', from, to)
    else
        redis.call('DEL', to)
    end
end
for i = 2, #ARGV do
    local at, entity = 5 * i - 8, ARGV[i]
    redis.call('SREM', KEYS[1], 'pushed ' .. entity, 'state ' .. entity)
    redis.call('DEL', KEYS[at + 4])
    move(KEYS[at], KEYS[at + 2])
    move(KEYS[at + 1], KEYS[at + 3])
    redis.call(i <= 1 + ARGV[1] and 'SADD' or 'SREM', KEYS[1], entity)
end
"""


@dataclass(frozen=True)
class StagedUpdate:
    """An update that is staged whole.

    Attributes:
        base, base_build: number and text of the build that it updates.
        changed: entities that have facts.
        gone: those that have none.
        there: how many of either the build that is updated has.
    """

    server: RedisServer
    number: int
    base: int
    base_build: str
    changed: Sequence[str]
    gone: Sequence[str]
    there: int

    @classmethod
    def find(cls, server: RedisServer, number: int) -> "StagedUpdate | None":
        """Look at what is staged; None where it is no update."""
        key = server.key
        with server.reached():
            redis = server.client
            base, base_build = redis.hmget(key("staged", number), "base", "base_build")
            if base is None:
                return None
            of_update = [redis.smembers(key(kind, number)) for kind in ("entities", "gone")]
            changed, gone = (sorted({member.decode() for member in members} - {WHOLE}) for members in of_update)
            there = sum(
                sum(redis.smismember(key("entities", int(base)), batch)) for batch in batches([*changed, *gone])
            )
        return cls(server, number, int(base), base_build.decode(), changed, gone, there)

    def put_in_place(self, pipe: Any) -> None:
        """Write into a transaction what puts the entities in place of those of the build."""
        key, put = self.server.key, self.server.client.register_script(_PUT_IN_PLACE)
        listed = key("entities", self.base).encode()
        for entities, with_facts in ((self.changed, True), (self.gone, False)):
            for batch in batches(entities):
                keys = [
                    key(part, number, entity).encode()
                    for entity in batch
                    for number, parts in ((self.number, ("moments", "facts")), (self.base, PARTS))
                    for part in parts
                ]
                put(keys=[listed, *keys], args=[len(batch) if with_facts else 0, *batch], client=pipe)
        pipe.unlink(key("entities", self.number), key("gone", self.number))

    def snapshot(self) -> "UpdatedSnapshot":
        """Return the server as it will be when the entities are in their place."""
        return UpdatedSnapshot(self)


class UpdatedSnapshot(RedisSnapshot):
    """The facts of a build as an update makes them."""

    def __init__(self, update: StagedUpdate) -> None:
        super().__init__(update.server)
        self._number, self._changed = update.number, set(update.changed)
        self._left = self._changed.union(update.gone).isdisjoint

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        changed = [entity for entity in entities if entity in self._changed]
        left = [entity for entity in entities if self._left([entity])]
        return super().facts(self._number, changed) | super().facts(number, left)


def forget_pushes(pipe: Any, server: RedisServer, number: int, entities: Sequence[str]) -> None:
    """Take entities off the list of those that facts were pushed of since the build."""
    for batch in batches(entities):
        pipe.srem(server.key("entities", number), *(PUSHED + entity for entity in batch))
