"""The side of a database that builds are written to, apart from the one that is read."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from datetime import timedelta

from ml_assets.online.stores.errors import StaleBuild
from ml_assets.online.stores.protocol import OnlineStore, Reapply, StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityChange, StagedBuild
from ml_assets.online.stores.sql.database import SqlDatabase
from ml_assets.online.stores.sql.tables import OLD, READ, STAGED
from ml_assets.online.values.record import Build


class SqlBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _sql: SqlDatabase

    @abstractmethod
    def _indexed(self, entity: str) -> str:
        """Return the text that rows of an entity are found by."""

    @abstractmethod
    def _snapshot(self) -> StoreSnapshot:
        """Return the store as this thread's transaction sees it."""

    @abstractmethod
    def _write_entities(self, number: int, changes: Sequence[EntityChange]) -> None:
        """Write what facts make of entities of a build; each change has a number."""

    @abstractmethod
    def _clean_up(self, build: Build) -> None:
        """Remove what is left of builds of a view that are read no more, also those of a process that was killed."""

    def stage(self, view: str, max_age: timedelta | None) -> int:  # noqa: ARG002 - there is room for old values
        with self._sql.writing_apart():
            return self._stage(view)

    def _stage(self, view: str) -> int:
        insert = "INSERT INTO @builds (view, state) VALUES (%s, %s) RETURNING number"
        return self._sql.query(insert, [view, STAGED])[0][0]

    def updates(self, view: str, max_age: timedelta | None) -> bool:  # noqa: ARG002
        return True

    def stage_planned(self, view: str, max_age: timedelta | None, plan: str, base: CurrentBuild | None = None) -> int:  # noqa: ARG002
        of_base = (None, None) if base is None else (base.number, base.build.build)
        with self._sql.writing_apart():
            number = self._stage(view)
            insert = (
                "INSERT INTO @plans (number, plan, base, base_build, parts, entities, moments) "
                "VALUES (%s, %s, %s, %s, 0, 0, 0)"
            )
            self._sql.execute(insert, [number, plan, *of_base])
        return number

    def unfinished(self, view: str) -> StagedBuild | None:
        rows = self._sql.query(
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
        of_entities = [(number, self._indexed(entity), rows) for entity, rows in facts]
        values = [(number, self._indexed(entity), moment, f"[{seq},{encoded}]") for entity, moment, encoded in moments]
        with self._sql.writing_apart():
            self._require_staged(view, number)
            if part is not None:
                self._require_next(view, number, part)
            try:
                self._sql.insert("@facts", ["number", "entity", "rows"], of_entities)
                self._sql.insert("@moments", ["number", "entity", "valid_from", "payload"], values)
            except self._sql.already_there as error:  # added by another process
                raise StaleBuild(view) from error
            self._sql.execute(
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
        view, sql = build.view, self._sql
        with sql.writing():
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
            staged, number = number, self._base(view, number) or number
            if current is not None and number != staged:
                others = current.entities - self._merge(staged, number)
                build = build.model_copy(update={"entities": build.entities + others})
            later = self.pushed_since(view, build.pushed_seq)
            if later:
                self._write_entities(number, reapply(self._snapshot(), CurrentBuild(build, number, schema), later))
            sql.execute("DELETE FROM @views WHERE view = %s", [view])
            sql.execute(
                "INSERT INTO @views (view, number, build, begins, valid_until, unseen, record, schema) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    view, number, build.build, build.begin, build.end,
                    f"[{build.pushed_seq},{unseen}]", build.model_dump_json(), schema,
                ],
            )  # fmt: skip
            sql.execute("DELETE FROM @pushed WHERE view = %s AND seq <= %s", [view, build.pushed_seq])
            sql.execute(
                "INSERT INTO @pushes AS kept (view, last_seq) VALUES (%s, %s) ON CONFLICT (view) DO UPDATE "
                "SET last_seq = excluded.last_seq WHERE kept.last_seq < excluded.last_seq",
                [view, build.pushed_seq],
            )
            sql.execute("UPDATE @builds SET state = %s WHERE view = %s AND number <= %s", [OLD, view, staged])
            sql.execute("UPDATE @builds SET state = %s WHERE number = %s", [READ, number])
        self._clean_up(build)
        return build

    def _base(self, view: str, number: int) -> int | None:
        """Return the number of the build that a staged one updates; None for none. Raises StaleBuild if that build is
        not the one that is read."""
        planned = "SELECT base, base_build FROM @plans WHERE number = %s AND base IS NOT NULL"
        rows = self._sql.query(planned, [number])
        if not rows:
            return None
        if self._sql.query("SELECT number, build FROM @views WHERE view = %s", [view]) != rows:
            raise StaleBuild(view)
        return rows[0][0]

    def _merge(self, staged: int, base: int) -> int:
        """Put the entities of an update in place of those of its base; gives how many of them the base had."""
        sql, updated = self._sql, "SELECT entity FROM @facts WHERE number = %s"
        counted = f"SELECT count(*) FROM @facts WHERE number = %s AND entity IN ({updated})"
        ((there,),) = sql.query(counted, [base, staged])
        for table in ("moments", "states"):
            sql.execute(f"DELETE FROM @{table} WHERE number = %s AND entity IN ({updated})", [base, staged])
        sql.execute(
            f"DELETE FROM @facts WHERE number = %s AND entity IN ({updated} AND length(rows) = 0)", [base, staged]
        )
        # A row that is changed stays where it is, so that its place in the index does too.
        sql.execute(
            "INSERT INTO @facts (number, entity, rows) "
            "SELECT %s, entity, rows FROM @facts WHERE number = %s AND length(rows) > 0 "
            "ON CONFLICT (number, entity) DO UPDATE SET rows = excluded.rows",
            [base, staged],
        )
        sql.execute(
            "INSERT INTO @moments (number, entity, valid_from, payload) "
            "SELECT %s, entity, valid_from, payload FROM @moments WHERE number = %s",
            [base, staged],
        )
        return there

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged, and keep it so until the transaction ends: one that is published
        marks those begun before it as old."""
        held = f"SELECT 1 FROM @builds WHERE number = %s AND state = %s {self._sql.for_share}"
        if not self._sql.query(held, [number, STAGED]):
            raise StaleBuild(view)

    def _require_next(self, view: str, number: int, part: int) -> None:
        """Refuse a part that is there, or before which some lack, and keep it so until the transaction ends: one
        without rows would not be noticed otherwise."""
        planned = f"SELECT parts FROM @plans WHERE number = %s {self._sql.for_update}"
        if self._sql.query(planned, [number]) != [(part,)]:
            raise StaleBuild(view)
