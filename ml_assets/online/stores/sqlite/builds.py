"""The side of a file that builds are written to, apart from the one that is read."""

import sqlite3
from collections.abc import Iterable
from datetime import timedelta

from ml_assets.online.stores.errors import StaleBuild
from ml_assets.online.stores.protocol import OnlineStore, Reapply
from ml_assets.online.stores.records import CurrentBuild, StagedBuild
from ml_assets.online.stores.sqlite.entities import write_entities
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.stores.sqlite.snapshot import SqliteSnapshot
from ml_assets.online.stores.sqlite.tables import OF_A_BUILD, OLD, READ, STAGED
from ml_assets.online.values.record import Build

_CACHE_KIB = 256 * 1024
"""Memory for pages of the file while an update is put in its place."""

_CLEARED_AT_ONCE = 5000
"""Rows of a build that is read no more that are removed in one transaction: about 50 ms."""


class SqliteBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _file: SqliteFile
    _staged_in: dict[int, int]
    """By number, which of the files that were at the path a build was begun in: another has the same numbers."""

    def stage(self, view: str, max_age: timedelta | None) -> int:  # noqa: ARG002 - a file has room for old values
        with self._file.writing() as db:
            inserted = db.execute("INSERT INTO builds (view, state) VALUES (?, ?) RETURNING number", [view, STAGED])
            number = inserted.fetchone()[0]
        self._staged_in[number] = self._file.generation
        return number

    def updates(self, view: str, max_age: timedelta | None) -> bool:  # noqa: ARG002
        return True

    def stage_planned(self, view: str, max_age: timedelta | None, plan: str, base: CurrentBuild | None = None) -> int:
        number = self.stage(view, max_age)
        of_base = (None, None) if base is None else (base.number, base.build.build)
        with self._file.writing() as db:
            db.execute("INSERT INTO plans VALUES (?, ?, ?, ?, 0, 0, 0)", [number, plan, *of_base])
        return number

    def unfinished(self, view: str) -> StagedBuild | None:
        rows = self._file.query(
            "SELECT number, plan, parts, entities, moments FROM plans JOIN builds USING (number) "
            "WHERE view = ? AND state = ? ORDER BY number DESC LIMIT 1",
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
        of_entities = [(number, *each) for each in facts]
        rows = [(number, entity, moment, f"[{seq},{values}]") for entity, moment, values in moments]
        seen = sum(1 for _, _, blob in of_entities if blob)
        with self._file.writing() as db:
            self._require_staged(view, number)
            if part is not None:
                self._require_next(view, number, part)
            try:
                db.executemany("INSERT INTO facts VALUES (?, ?, ?)", of_entities)
                db.executemany("INSERT INTO moments VALUES (?, ?, ?, ?)", rows)
            except sqlite3.IntegrityError as error:  # There already: added by another process.
                raise StaleBuild(view) from error
            db.execute(
                "UPDATE plans SET parts = parts + 1, entities = entities + ?, moments = moments + ? WHERE number = ?",
                [seen, len(rows), number],
            )

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> Build:
        view = build.view
        with self._file.writing() as db:
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
            staged, number = number, self._base(view, number) or number
            if number != staged:
                others = self._merge(db, staged, number)
                build = build.model_copy(update={"entities": build.entities + others})
            later = self.pushed_since(view, build.pushed_seq)
            if later:
                changes = reapply(SqliteSnapshot(self._file), CurrentBuild(build, number, schema), later)
                write_entities(db, number, changes, {})
            db.execute(
                "REPLACE INTO views VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    view, number, build.build, build.begin, build.end,
                    f"[{build.pushed_seq},{unseen}]", build.model_dump_json(), schema,
                ],
            )  # fmt: skip
            db.execute("DELETE FROM pushed WHERE view = ? AND seq <= ?", [view, build.pushed_seq])
            db.execute(
                "INSERT INTO pushes VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
                [view, build.pushed_seq],
            )
            db.execute("UPDATE builds SET state = ? WHERE view = ? AND number <= ?", [OLD, view, staged])
            db.execute("UPDATE builds SET state = ? WHERE number = ?", [READ, number])
        self._clear(view)
        self._file.shrink()
        return build

    def _base(self, view: str, number: int) -> int | None:
        """Return the number of the build that a staged one updates; None for none. Raises StaleBuild if that build is
        not the one that is read."""
        rows = self._file.query("SELECT base, base_build FROM plans WHERE number = ? AND base IS NOT NULL", [number])
        if not rows:
            return None
        if self._file.query("SELECT number, build FROM views WHERE view = ?", [view]) != rows:
            raise StaleBuild(view)
        return rows[0][0]

    def _merge(self, db: sqlite3.Connection, staged: int, base: int) -> int:
        """Put the entities of an update in place of those of its base; gives how many others the base has."""
        # What is changed lies on pages all over the file: each is to be written once.
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        updated = "SELECT entity FROM facts WHERE number = ?"
        for table in OF_A_BUILD:
            db.execute(f"DELETE FROM {table} WHERE number = ? AND entity IN ({updated})", [base, staged])
        (others,) = db.execute("SELECT count(*) FROM facts WHERE number = ?", [base]).fetchone()
        db.execute(
            "INSERT INTO facts SELECT ?, entity, rows FROM facts WHERE number = ? AND length(rows) > 0", [base, staged]
        )
        db.execute(
            "INSERT INTO moments SELECT ?, entity, valid_from, payload FROM moments WHERE number = ?", [base, staged]
        )
        return others

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged: one that is published marks those begun before it as old."""
        elsewhere = self._staged_in.get(number, self._file.generation) != self._file.generation
        if elsewhere or not self._file.query("SELECT 1 FROM builds WHERE number = ? AND state = ?", [number, STAGED]):
            raise StaleBuild(view)

    def _require_next(self, view: str, number: int, part: int) -> None:
        """Refuse a part that is there, or before which some lack: one without rows would not be noticed otherwise."""
        if self._file.query("SELECT parts FROM plans WHERE number = ?", [number]) != [(part,)]:
            raise StaleBuild(view)

    def _clear(self, view: str) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed: some entities
        at a time, so that pushes get between."""
        old = self._file.query("SELECT number FROM builds WHERE view = ? AND state = ?", [view, OLD])
        for (number,) in old:
            for table in OF_A_BUILD:
                while self._clear_some(table, number):
                    pass
            with self._file.writing() as db:
                db.execute("DELETE FROM plans WHERE number = ?", [number])
                db.execute("DELETE FROM builds WHERE number = ?", [number])

    def _clear_some(self, table: str, number: int) -> bool:
        """Remove the first rows that a table has of a build; gives whether there may be more."""
        last = f"SELECT entity FROM {table} WHERE number = ?1 ORDER BY entity LIMIT 1 OFFSET {_CLEARED_AT_ONCE}"
        with self._file.writing() as db:
            some = db.execute(f"DELETE FROM {table} WHERE number = ?1 AND entity <= ({last})", [number]).rowcount
            if not some:
                db.execute(f"DELETE FROM {table} WHERE number = ?", [number])
        return bool(some)
