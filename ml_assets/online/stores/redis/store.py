"""Values of entities in Redis, and what is read of them for requests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ml_assets.online.stores.errors import NoBuild, StoreUnavailable
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import Stored
from ml_assets.online.stores.redis.builds import RedisBuilds
from ml_assets.online.stores.redis.members import stored_values
from ml_assets.online.stores.redis.pushes import RedisPushes
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.stores.redis.snapshot import RedisSnapshot
from ml_assets.online.values.record import Build

_READ_ATTEMPTS = 1000

# One script, so that all values are of one moment of the store, in one round trip. Every key is declared: of each view
# the view itself, whether its build is alive and the list of the build's entities, then the moments of each entity; a
# build that is not the one the keys are of is told instead. The list is looked at for an entity without moments: what
# is listed and not there was thrown away, and so was everything where the list itself is not whole.
_READ = """
local at, count, skip = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local views, found = {}, {}
for i = 1, count do
    local view = redis.call('HMGET', KEYS[i], 'number', 'build', 'begins', 'valid_until', 'unseen', 'listed')
    if (view[1] or '') ~= ARGV[3 + i] then
        return 'another build'
    end
    if view[1] and view[4] ~= '' and redis.call('EXISTS', KEYS[count + i]) == 0 then
        view[4], view[6] = view[3], false
    end
    views[i] = view
end
local function lost(view, list, key)
    if not view[6] or redis.call('EXISTS', key) == 1 then
        return false
    end
    local entity = string.sub(key, skip + #view[1])
    local listed = redis.call('SMISMEMBER', list, '', entity, 'pushed ' .. entity)
    return listed[1] == 0 or listed[2] == 1 or listed[3] == 1
end
for i = 3 * count + 1, #KEYS do
    local place = tonumber(ARGV[3 - 2 * count + i])
    local view = views[place]
    found[#found + 1] = false
    if view[1] and tonumber(view[3]) <= tonumber(at) then
        local last = redis.call('ZREVRANGEBYSCORE', KEYS[i], at, '-inf', 'LIMIT', 0, 1)[1]
        if last == '' then
            last = nil
        end
        if last or not lost(view, KEYS[2 * count + place], KEYS[i]) then
            found[#found] = {view[2], view[4], last or false, view[5]}
        end
    end
end
return found
"""


class RedisStore(RedisBuilds, RedisPushes):
    """The store in the Redis database, or on the shard of a Redis Cluster, at `url`; errors as of `RedisServer`."""

    def __init__(self, url: str) -> None:
        self._server = RedisServer(url)
        self._read: Any = None
        self._numbers: dict[str, str] = {}

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        return self._server.answer(lambda: self._answer(keys, at))

    def _answer(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        places = {view: place for place, view in enumerate(dict.fromkeys(view for view, _ in keys), 1)}
        key, redis = self._server.key, self._server.client
        if self._read is None:
            self._read = redis.register_script(_READ)
        # Where the entity begins in a key of its moments, but for the number of the build.
        skip = len(key("moments", "", "").encode()) + 1
        for _ in range(_READ_ATTEMPTS):
            numbers = {view: self._numbers.get(view) or self._number(view) for view in places}
            rows = self._read(
                keys=[
                    *(key("view", view) for view in places),
                    *(key("alive", numbers[view]) for view in places),
                    *(key("entities", numbers[view]) for view in places),
                    *(key("moments", numbers[view], entity) for view, entity in keys),
                ],
                args=[at, len(places), skip, *numbers.values(), *(places[view] for view, _ in keys)],
                client=redis,
            )
            if isinstance(rows, list):
                return [None if row is None else stored_values(*row) for row in rows]
            self._numbers = {}
        raise StoreUnavailable(
            f"online store {self._server.url}: builds were published {_READ_ATTEMPTS} times meanwhile"
        )

    def _number(self, view: str) -> str:
        """Look up the number of the build of a view that is read; empty for none."""
        number = self._server.client.hget(self._server.key("view", view), "number")
        if number is None:
            return ""
        self._numbers[view] = number.decode()
        return self._numbers[view]

    def build(self, view: str) -> Build | None:
        with self._server.reached():
            record = self._server.client.hget(self._server.key("view", view), "record")
        return None if record is None else Build.model_validate_json(record)

    def schema(self, view: str) -> bytes:
        with self._server.reached():
            schema = self._server.client.hget(self._server.key("view", view), "schema")
        if schema is None:
            raise NoBuild(view)
        return schema

    def notes(self, keys: Sequence[str]) -> list[str | None]:
        key = self._server.key
        texts = self._server.answer(lambda: self._server.client.mget([key("note", each) for each in keys]))
        return [None if text is None else text.decode() for text in texts]

    @contextmanager
    def reading(self) -> Iterator[StoreSnapshot]:
        with self._server.reached():
            yield RedisSnapshot(self._server)

    def close(self) -> None:
        self._server.close()
