"""What pushed facts change of the entities of a build."""

from collections.abc import Mapping, Sequence

from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.tables import short
from ml_assets.online.stores.records import EntityChange
from ml_assets.online.stores.sql.tables import HEADER


def write_entities(
    server: PostgresServer, number: int, changes: Sequence[EntityChange], seqs: Mapping[str, int]
) -> None:
    """Write what facts make of entities of a build, within a transaction.

    Args:
        seqs: number of the last fact of each entity whose change has none.
    """
    moments: list[tuple[str, int, str]] = []
    states: list[tuple[str, int, str]] = []
    for change in changes:
        entity, seq = short(change.entity), seqs[change.entity] if change.seq is None else change.seq
        moments += [(entity, at, f"[{seq},{values}]" if values else f"[{seq}]") for at, values in change.moments]
        if change.header is not None:
            states.append((entity, HEADER, f"{seq} {change.header}"))
            states += [(entity, leaf, text) for leaf, text in change.leaves.items()]
    server.execute(
        "DELETE FROM @moments AS old USING unnest(%s::text[], %s::bigint[]) AS changed (entity, since) "
        "WHERE old.number = %s AND old.entity = changed.entity AND old.valid_from >= changed.since",
        [[short(change.entity) for change in changes], [change.since for change in changes], number],
    )
    if moments:
        server.execute(
            "INSERT INTO @moments SELECT %s, * FROM unnest(%s::text[], %s::bigint[], %s::text[])",
            [number, *map(list, zip(*moments, strict=True))],
        )
    if states:
        server.execute(
            "INSERT INTO @states SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::text[]) "
            "ON CONFLICT (number, entity, leaf) DO UPDATE SET content = excluded.content",
            [number, *map(list, zip(*states, strict=True))],
        )
