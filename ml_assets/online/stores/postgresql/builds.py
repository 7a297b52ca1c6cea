"""The side of a database that builds are written to, apart from the one that is read."""

from collections.abc import Iterable
from datetime import timedelta

from ml_assets.online.stores.postgresql.entities import write_entities
from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.snapshot import PostgresSnapshot
from ml_assets.online.stores.postgresql.tables import OLD, READ, STAGED, short
from ml_assets.online.stores.protocol import CurrentBuild, OnlineStore, Reapply, StaleBuild
from ml_assets.online.values.record import Build

_MANY = 1000
"""Values of a build from which on the planner is told of them: it takes the index for fewer anyway, or reads all."""


class PostgresBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _server: PostgresServer

    def stage(self, view: str, max_age: timedelta | None) -> int:  # noqa: ARG002 - a database has room for old values
        with self._server.writing_apart():
            insert = "INSERT INTO @builds (view, state) VALUES (%s, %s) RETURNING number"
            return self._server.query(insert, [view, STAGED])[0][0]

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
    ) -> None:
        with self._server.writing_apart():
            self._require_staged(view, number)
            self._server.copy(
                "COPY @facts (number, entity, rows) FROM STDIN", ((number, short(each), rows) for each, rows in facts)
            )
            self._server.copy(
                "COPY @moments (number, entity, valid_from, payload) FROM STDIN",
                ((number, short(entity), moment, f"[{seq},{values}]") for entity, moment, values in moments),
            )

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> None:
        view, server = build.view, self._server
        with server.writing():
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
            later = self.pushed_since(view, build.pushed_seq)
            if later:
                changes = reapply(PostgresSnapshot(server), CurrentBuild(build, number, schema), later)
                write_entities(server, number, changes, {})
            server.execute("DELETE FROM @views WHERE view = %s", [view])
            server.execute(
                "INSERT INTO @views VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    view, number, build.build, build.begin, build.end,
                    f"[{build.pushed_seq},{unseen}]", build.model_dump_json(), schema,
                ],
            )  # fmt: skip
            server.execute("DELETE FROM @pushed WHERE view = %s AND seq <= %s", [view, build.pushed_seq])
            server.execute(
                "INSERT INTO @pushes AS kept VALUES (%s, %s) "
                "ON CONFLICT (view) DO UPDATE SET last_seq = greatest(kept.last_seq, excluded.last_seq)",
                [view, build.pushed_seq],
            )
            server.execute("UPDATE @builds SET state = %s WHERE view = %s AND number < %s", [OLD, view, number])
            server.execute("UPDATE @builds SET state = %s WHERE number = %s", [READ, number])
        self._clear(view)
        if build.moments >= _MANY:
            server.analyze("@moments")
            server.analyze("@facts")

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged, and keep it so until the transaction ends.

        One that is published marks those begun before it as old.
        """
        held = "SELECT 1 FROM @builds WHERE number = %s AND state = %s FOR SHARE"
        if not self._server.query(held, [number, STAGED]):
            raise StaleBuild(view)

    def _clear(self, view: str) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        with self._server.writing_apart():
            read = "SELECT number FROM @builds WHERE view = %s AND state = %s FOR UPDATE SKIP LOCKED"
            numbers = [number for (number,) in self._server.query(read, [view, OLD])]
            for table in ("moments", "facts", "states", "builds"):
                self._server.execute(f"DELETE FROM @{table} WHERE number = ANY(%s)", [numbers])
