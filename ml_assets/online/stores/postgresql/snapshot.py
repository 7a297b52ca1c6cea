"""What changes are decided from: the database within a transaction."""

from collections.abc import Sequence
from functools import lru_cache

from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.tables import short
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityState, PushedRow
from ml_assets.online.stores.sql.tables import HEADER
from ml_assets.online.values.record import Build

PUSHED = "SELECT seq, arrived_at, known_at, entity, row, retracts, api_key FROM @pushed"


class PostgresSnapshot(StoreSnapshot):
    """The database within a transaction of this thread; one statement for all entities."""

    def __init__(self, server: PostgresServer) -> None:
        self._query = server.query

    def built(self, view: str) -> CurrentBuild | None:
        rows = self._query("SELECT record, number, schema FROM @views WHERE view = %s", [view])
        return CurrentBuild(_record(rows[0][0]), *rows[0][1:]) if rows else None

    def states(self, number: int, entities: Sequence[str], *, whole: bool = False) -> dict[str, EntityState]:  # noqa: ARG002
        read = f"SELECT entity, content FROM @states WHERE number = %s AND entity = ANY(%s) AND leaf = {HEADER}"
        found = dict(self._query(read, [number, [short(entity) for entity in entities]]))
        states = {}
        for entity in entities:
            seq, _, header = found[short(entity)].partition(" ") if short(entity) in found else (None, "", None)
            states[entity] = EntityState(None if seq is None else int(seq), header)
        return states

    def leaves(self, number: int, entity: str, leaves: Sequence[int]) -> dict[int, str]:
        read = "SELECT leaf, content FROM @states WHERE number = %s AND entity = %s AND leaf = ANY(%s)"
        found = dict(self._query(read, [number, short(entity), list(leaves)]))
        return {leaf: found[leaf] for leaf in leaves}

    def facts(self, number: int, entities: Sequence[str]) -> dict[str, bytes]:
        if not entities:
            return {}
        read = "SELECT entity, rows FROM @facts WHERE number = %s AND entity = ANY(%s)"
        found = dict(self._query(read, [number, [short(entity) for entity in entities]]))
        return {entity: found[short(entity)] for entity in entities if short(entity) in found}

    def pushed(self, view: str, entities: Sequence[str]) -> list[PushedRow]:
        if not entities:
            return []
        read = f"{PUSHED} WHERE view = %s AND short_entity = ANY(%s) ORDER BY seq"
        return [PushedRow(*row) for row in self._query(read, [view, [short(entity) for entity in entities]])]

    def note(self, key: str) -> str | None:
        rows = self._query("SELECT text FROM @notes WHERE key = %s", [short(key)])
        return rows[0][0] if rows else None


@lru_cache(maxsize=256)
def _record(text: str) -> Build:
    return Build.model_validate_json(text)
