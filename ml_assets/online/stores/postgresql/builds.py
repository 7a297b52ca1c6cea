"""The side of a database that builds are written to, apart from the one that is read."""

from collections.abc import Iterable
from datetime import timedelta

from ml_assets.online.stores.errors import StaleBuild
from ml_assets.online.stores.postgresql.entities import write_entities
from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.snapshot import PostgresSnapshot
from ml_assets.online.stores.postgresql.tables import OF_A_BUILD, OLD, READ, STAGED, short
from ml_assets.online.stores.protocol import OnlineStore, Reapply
from ml_assets.online.stores.records import CurrentBuild, StagedBuild
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

    def updates(self, view: str, max_age: timedelta | None) -> bool:  # noqa: ARG002
        return True

    def stage_planned(self, view: str, max_age: timedelta | None, plan: str, base: CurrentBuild | None = None) -> int:  # noqa: ARG002
        of_base = (None, None) if base is None else (base.number, base.build.build)
        ((number,),) = self._server.query(
            "WITH begun AS (INSERT INTO @builds (view, state) VALUES (%s, %s) RETURNING number) "
            "INSERT INTO @plans (number, plan, base, base_build) "
            "SELECT number, %s::text, %s::bigint, %s::text FROM begun RETURNING number",
            [view, STAGED, plan, *of_base],
        )
        return number

    def unfinished(self, view: str) -> StagedBuild | None:
        rows = self._server.query(
            "SELECT number, plan, parts, entities, moments FROM @plans JOIN @builds USING (number) "
            "WHERE view = %s AND state = %s ORDER BY number DESC LIMIT 1",
            [view, STAGED],
        )
        return StagedBuild(*rows[0]) if rows else None

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
        part: int | None = None,
    ) -> None:
        of_entities = [(number, short(entity), rows) for entity, rows in facts]
        values = [(number, short(entity), moment, f"[{seq},{encoded}]") for entity, moment, encoded in moments]
        with self._server.writing_apart():
            self._require_staged(view, number)
            if part is not None:
                self._require_next(view, number, part)
            try:
                self._server.copy("COPY @facts (number, entity, rows) FROM STDIN", of_entities)
                self._server.copy("COPY @moments (number, entity, valid_from, payload) FROM STDIN", values)
            except self._server.already_there as error:  # added by another process
                raise StaleBuild(view) from error
            self._server.execute(
                "UPDATE @plans SET parts = parts + 1, entities = entities + %s, moments = moments + %s "
                "WHERE number = %s",
                [sum(1 for *_, rows in of_entities if rows), len(values), number],
            )

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> Build:
        view, server = build.view, self._server
        with server.writing():
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
            staged, number = number, self._base(view, number) or number
            if number != staged:
                others = self._merge(staged, number)
                build = build.model_copy(update={"entities": build.entities + others})
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
            server.execute("UPDATE @builds SET state = %s WHERE view = %s AND number <= %s", [OLD, view, staged])
            server.execute("UPDATE @builds SET state = %s WHERE number = %s", [READ, number])
        self._clear(view)
        if build.moments >= _MANY:
            server.analyze("@moments")
            server.analyze("@facts")
        return build

    def _base(self, view: str, number: int) -> int | None:
        """Return the number of the build that a staged one updates; None for none. Raises StaleBuild if that build is
        not the one that is read."""
        planned = "SELECT base, base_build FROM @plans WHERE number = %s AND base IS NOT NULL"
        rows = self._server.query(planned, [number])
        if not rows:
            return None
        if self._server.query("SELECT number, build FROM @views WHERE view = %s", [view]) != rows:
            raise StaleBuild(view)
        return rows[0][0]

    def _merge(self, staged: int, base: int) -> int:
        """Put the entities of an update in place of those of its base; gives how many others the base has."""
        updated = "SELECT entity FROM @facts WHERE number = %s"
        for table in OF_A_BUILD:
            self._server.execute(f"DELETE FROM @{table} WHERE number = %s AND entity IN ({updated})", [base, staged])
        ((others,),) = self._server.query("SELECT count(*) FROM @facts WHERE number = %s", [base])
        self._server.execute(
            "INSERT INTO @facts SELECT %s, entity, rows FROM @facts WHERE number = %s AND length(rows) > 0",
            [base, staged],
        )
        self._server.execute(
            "INSERT INTO @moments SELECT %s, entity, valid_from, payload FROM @moments WHERE number = %s",
            [base, staged],
        )
        return others

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged, and keep it so until the transaction ends.

        One that is published marks those begun before it as old.
        """
        held = "SELECT 1 FROM @builds WHERE number = %s AND state = %s FOR SHARE"
        if not self._server.query(held, [number, STAGED]):
            raise StaleBuild(view)

    def _require_next(self, view: str, number: int, part: int) -> None:
        """Refuse a part that is there, or before which some lack, and keep it so until the transaction ends: one
        without rows would not be noticed otherwise."""
        if self._server.query("SELECT parts FROM @plans WHERE number = %s FOR UPDATE", [number]) != [(part,)]:
            raise StaleBuild(view)

    def _clear(self, view: str) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        with self._server.writing_apart():
            read = "SELECT number FROM @builds WHERE view = %s AND state = %s FOR UPDATE SKIP LOCKED"
            numbers = [number for (number,) in self._server.query(read, [view, OLD])]
            for table in (*OF_A_BUILD, "plans", "builds"):
                self._server.execute(f"DELETE FROM @{table} WHERE number = ANY(%s)", [numbers])
