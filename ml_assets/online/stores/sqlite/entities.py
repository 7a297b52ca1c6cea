"""What pushed facts change of the entities of a build."""

import sqlite3
from collections.abc import Mapping, Sequence

from ml_assets.online.stores.records import EntityChange
from ml_assets.online.stores.sql.tables import HEADER


def write_entities(
    db: sqlite3.Connection, number: int, changes: Sequence[EntityChange], seqs: Mapping[str, int]
) -> None:
    """Write what facts make of entities of a build.

    Args:
        seqs: number of the last fact of each entity whose change has none.
    """
    for change in changes:
        entity, seq = change.entity, seqs[change.entity] if change.seq is None else change.seq
        db.execute(
            "DELETE FROM moments WHERE number = ? AND entity = ? AND valid_from >= ?",
            [number, entity, change.since],
        )
        rows = [(number, entity, at, f"[{seq},{values}]" if values else f"[{seq}]") for at, values in change.moments]
        db.executemany("INSERT INTO moments VALUES (?, ?, ?, ?)", rows)
        if change.header is not None:
            parts = [(number, entity, HEADER, f"{seq} {change.header}")]
            parts += [(number, entity, leaf, text) for leaf, text in change.leaves.items()]
            db.executemany("REPLACE INTO states VALUES (?, ?, ?, ?)", parts)
