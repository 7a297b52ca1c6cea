"""Values of entities in PostgreSQL, and what is read of them for requests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import orjson

from ml_assets.online.stores.errors import NoBuild
from ml_assets.online.stores.postgresql.builds import PostgresBuilds
from ml_assets.online.stores.postgresql.pushes import PostgresPushes
from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.snapshot import PostgresSnapshot
from ml_assets.online.stores.postgresql.tables import short
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import Stored
from ml_assets.online.stores.together import ChangeQueue
from ml_assets.online.values.record import Build

_READ = """
    SELECT place, build, valid_until, unseen, (
        SELECT payload FROM @moments AS moments
        WHERE moments.number = views.number AND moments.entity = wanted.entity AND valid_from <= %s
        ORDER BY valid_from DESC LIMIT 1
    ) FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS wanted (view, entity, place)
    JOIN @views AS views ON views.view = wanted.view AND begins <= %s
"""


class PostgresStore(PostgresBuilds, PostgresPushes):
    """The store in a schema of the database at `url`, made when it is not there; errors as of `PostgresServer`."""

    def __init__(self, url: str) -> None:
        self._server = self._sql = PostgresServer(url)
        self._together = ChangeQueue(self._change_all)

    def read(self, keys: Sequence[tuple[str, str]], at: int) -> list[Stored | None]:
        stored: list[Stored | None] = [None] * len(keys)
        views, entities = [view for view, _ in keys], [short(entity) for _, entity in keys]
        rows = self._server.query(_READ, [at, views, entities, at]) if keys else []
        for place, build, valid_until, unseen, payload in rows:
            values = orjson.loads(payload or unseen)
            if len(values) == 1:
                stored[place - 1] = Stored([], None, valid_until, build, values[0], seen=True, ready=False)
                continue
            # An entity that updates left as it was has no facts of those pushed before them.
            seq, known_at = max(values[0], int(unseen[1 : unseen.index(",")])), values[1]
            del values[:2]
            stored[place - 1] = Stored(values, known_at, valid_until, build, seq, payload is not None)
        return stored

    def build(self, view: str) -> Build | None:
        rows = self._server.query("SELECT record FROM @views WHERE view = %s", [view])
        return Build.model_validate_json(rows[0][0]) if rows else None

    def schema(self, view: str) -> bytes:
        rows = self._server.query("SELECT schema FROM @views WHERE view = %s", [view])
        if not rows:
            raise NoBuild(view)
        return rows[0][0]

    def notes(self, keys: Sequence[str]) -> list[str | None]:
        kept = [short(key) for key in keys]
        texts = dict(self._server.query("SELECT key, text FROM @notes WHERE key = ANY(%s)", [kept]))
        return [texts.get(key) for key in kept]

    @contextmanager
    def reading(self) -> Iterator[StoreSnapshot]:
        with self._server.reading():
            yield PostgresSnapshot(self._server)

    def close(self) -> None:
        self._server.close()
