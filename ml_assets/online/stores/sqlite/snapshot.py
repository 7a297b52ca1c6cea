"""What changes are decided from: the file within a transaction."""

from collections.abc import Sequence
from functools import lru_cache

from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityState, PushedRow
from ml_assets.online.stores.sql.tables import HEADER
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.values.record import Build

PUSHED = "SELECT seq, arrived_at, known_at, entity, row, retracts, api_key FROM pushed"


class SqliteSnapshot(StoreSnapshot):
    """The file within a transaction of this thread."""

    def __init__(self, file: SqliteFile) -> None:
        self._query = file.query

    def built(self, view: str) -> CurrentBuild | None:
        rows = self._query("SELECT record, number, schema FROM views WHERE view = ?", [view])
        return CurrentBuild(_record(rows[0][0]), *rows[0][1:]) if rows else None

    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:  # noqa: ARG002
        read = f"SELECT content FROM states WHERE number = ? AND entity = ? AND leaf = {HEADER}"
        states = {}
        for entity in entities:
            rows = self._query(read, [number, entity])
            seq, _, header = rows[0][0].partition(" ") if rows else (None, "", None)
            states[entity] = EntityState(None if seq is None else int(seq), header)
        return states

    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> dict[int, str]:
        read = "SELECT content FROM states WHERE number = ? AND entity = ? AND leaf = ?"
        return {leaf: self._query(read, [number, entity, leaf])[0][0] for leaf in leaves}

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        read = "SELECT rows FROM facts WHERE number = ? AND entity = ?"
        rows = {entity: self._query(read, [number, entity]) for entity in entities}
        return {entity: of_entity[0][0] for entity, of_entity in rows.items() if of_entity}

    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        read = f"{PUSHED} WHERE view = ? AND entity = ? ORDER BY seq"
        return [pushed_row(row) for entity in entities for row in self._query(read, [view, entity])]

    def note(self, key: str) -> str | None:
        rows = self._query("SELECT text FROM notes WHERE key = ?", [key])
        return rows[0][0] if rows else None


def pushed_row(row: tuple) -> PushedRow:
    """Return a row that a statement gives which begins with PUSHED."""
    *kept, retracts, api_key = row
    return PushedRow(*kept, retracts=bool(retracts), api_key=api_key)


@lru_cache(maxsize=256)
def _record(text: str) -> Build:
    return Build.model_validate_json(text)
