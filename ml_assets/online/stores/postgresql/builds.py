"""The side of a database that builds are written to, apart from the one that is read."""

from collections.abc import Sequence

from ml_assets.online.stores.postgresql.entities import write_entities
from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.snapshot import PostgresSnapshot
from ml_assets.online.stores.postgresql.tables import short
from ml_assets.online.stores.records import EntityChange
from ml_assets.online.stores.sql.builds import SqlBuilds
from ml_assets.online.stores.sql.tables import OF_A_BUILD, OLD
from ml_assets.online.values.record import Build

_MANY = 1000
"""Values of a build from which on the planner is told of them: it takes the index for fewer anyway, or reads all."""


class PostgresBuilds(SqlBuilds):
    """Stages builds and publishes them."""

    _server: PostgresServer

    def _indexed(self, entity: str) -> str:
        return short(entity)

    def _snapshot(self) -> PostgresSnapshot:
        return PostgresSnapshot(self._server)

    def _write_entities(self, number: int, changes: Sequence[EntityChange]) -> None:
        write_entities(self._server, number, changes, {})

    def _clean_up(self, build: Build) -> None:
        with self._server.writing_apart():
            read = "SELECT number FROM @builds WHERE view = %s AND state = %s FOR UPDATE SKIP LOCKED"
            numbers = [number for (number,) in self._server.query(read, [build.view, OLD])]
            for table in (*OF_A_BUILD, "plans", "builds"):
                self._server.execute(f"DELETE FROM @{table} WHERE number = ANY(%s)", [numbers])
        if build.moments >= _MANY:
            self._server.analyze("@moments")
            self._server.analyze("@facts")
