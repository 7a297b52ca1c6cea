"""The side of a file that builds are written to, apart from the one that is read."""

from collections.abc import Iterable
from datetime import timedelta

from ml_assets.online.stores.protocol import CurrentBuild, OnlineStore, Reapply, StaleBuild
from ml_assets.online.stores.sqlite.entities import write_entities
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.stores.sqlite.snapshot import SqliteSnapshot
from ml_assets.online.stores.sqlite.tables import OLD, READ, STAGED
from ml_assets.online.values.record import Build


class SqliteBuilds(OnlineStore):
    """Stages builds and publishes them."""

    _file: SqliteFile

    def stage(self, view: str, max_age: timedelta | None) -> int:  # noqa: ARG002 - a file has room for old values
        with self._file.writing() as db:
            inserted = db.execute("INSERT INTO builds (view, state) VALUES (?, ?) RETURNING number", [view, STAGED])
            return inserted.fetchone()[0]

    def add(
        self,
        view: str,
        number: int,
        facts: Iterable[tuple[str, bytes]],
        moments: Iterable[tuple[str, int, str]],
        seq: int,
    ) -> None:
        rows = [(number, entity, moment, f"[{seq},{values}]") for entity, moment, values in moments]
        with self._file.writing() as db:
            self._require_staged(view, number)
            db.executemany("INSERT INTO facts VALUES (?, ?, ?)", ((number, *each) for each in facts))
            db.executemany("INSERT INTO moments VALUES (?, ?, ?, ?)", rows)

    def publish(
        self,
        number: int,
        build: Build,
        unseen: str,
        schema: bytes,
        reapply: Reapply,
    ) -> None:
        view = build.view
        with self._file.writing() as db:
            self._require_staged(view, number)
            current = self.build(view)
            if current is not None and current.pushed_seq > build.pushed_seq:
                raise StaleBuild(view)
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
            db.execute("UPDATE builds SET state = ? WHERE view = ? AND number < ?", [OLD, view, number])
            db.execute("UPDATE builds SET state = ? WHERE number = ?", [READ, number])
        self._clear(view)

    def _require_staged(self, view: str, number: int) -> None:
        """Refuse a build that is no longer staged: one that is published marks those begun before it as old."""
        if not self._file.query("SELECT 1 FROM builds WHERE number = ? AND state = ?", [number, STAGED]):
            raise StaleBuild(view)

    def _clear(self, view: str) -> None:
        """Remove what is left of builds that are read no more, also those of a process that was killed."""
        with self._file.writing() as db:
            for (number,) in self._file.query("SELECT number FROM builds WHERE view = ? AND state = ?", [view, OLD]):
                db.execute("DELETE FROM moments WHERE number = ?", [number])
                db.execute("DELETE FROM facts WHERE number = ?", [number])
                db.execute("DELETE FROM states WHERE number = ?", [number])
                db.execute("DELETE FROM builds WHERE number = ?", [number])
