"""The side of a file that builds are written to, apart from the one that is read."""

from collections.abc import Sequence

from ml_assets.online.stores.errors import StaleBuild
from ml_assets.online.stores.records import EntityChange
from ml_assets.online.stores.sql.builds import SqlBuilds
from ml_assets.online.stores.sql.tables import OF_A_BUILD, OLD
from ml_assets.online.stores.sqlite.entities import write_entities
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.stores.sqlite.snapshot import SqliteSnapshot
from ml_assets.online.values.record import Build

_CACHE_KIB = 256 * 1024
"""Memory for pages of the file while an update is put in its place."""

_CLEARED_AT_ONCE = 5000
"""Rows of a build that is read no more that are removed in one transaction: about 50 ms."""


class SqliteBuilds(SqlBuilds):
    """Stages builds and publishes them."""

    _file: SqliteFile
    _staged_in: dict[int, int]
    """By number, which of the files that were at the path a build was begun in: another has the same numbers."""

    def _indexed(self, entity: str) -> str:
        return entity

    def _snapshot(self) -> SqliteSnapshot:
        return SqliteSnapshot(self._file)

    def _write_entities(self, number: int, changes: Sequence[EntityChange]) -> None:
        write_entities(self._file.connection(), number, changes, {})

    def _stage(self, view: str) -> int:
        number = super()._stage(view)
        self._staged_in[number] = self._file.generation
        return number

    def _merge(self, staged: int, base: int) -> int:
        # What is changed lies on pages all over the file: each is to be written once.
        self._file.connection().execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return super()._merge(staged, base)

    def _require_staged(self, view: str, number: int) -> None:
        if self._staged_in.get(number, self._file.generation) != self._file.generation:
            raise StaleBuild(view)
        super()._require_staged(view, number)

    def _clean_up(self, build: Build) -> None:
        """Some entities at a time, so that pushes get between."""
        old = self._file.query("SELECT number FROM builds WHERE view = ? AND state = ?", [build.view, OLD])
        for (number,) in old:
            for table in OF_A_BUILD:
                while self._clear_some(table, number):
                    pass
            with self._file.writing() as db:
                db.execute("DELETE FROM plans WHERE number = ?", [number])
                db.execute("DELETE FROM builds WHERE number = ?", [number])
        self._file.shrink()

    def _clear_some(self, table: str, number: int) -> bool:
        """Remove the first rows that a table has of a build; gives whether there may be more."""
        last = f"SELECT entity FROM {table} WHERE number = ?1 ORDER BY entity LIMIT 1 OFFSET {_CLEARED_AT_ONCE}"
        with self._file.writing() as db:
            some = db.execute(f"DELETE FROM {table} WHERE number = ?1 AND entity <= ({last})", [number]).rowcount
            if not some:
                db.execute(f"DELETE FROM {table} WHERE number = ?", [number])
        return bool(some)
