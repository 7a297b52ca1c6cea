"""The side of a file that facts are pushed to; those of several threads wait for the disk once."""

import sqlite3
from collections.abc import Sequence

from ml_assets.online.stores.protocol import Decide, OnlineStore, WantedChange
from ml_assets.online.stores.records import Change, PushedRow, RefusedRow
from ml_assets.online.stores.sqlite.entities import write_entities
from ml_assets.online.stores.sqlite.file import SqliteFile
from ml_assets.online.stores.sqlite.snapshot import PUSHED, SqliteSnapshot, pushed_row
from ml_assets.online.stores.together import ChangeQueue

_UNABLE = sqlite3.OperationalError
"""What SQLite raises where the file or its disk does not do what is wanted."""


class SqlitePushes(OnlineStore):
    """Makes changes, and gives what was pushed."""

    _file: SqliteFile
    _together: ChangeQueue

    changes_together = True

    def change(self, decide: Decide, arrived_at: int) -> list[int]:
        return self._together.do(decide, arrived_at)

    def change_all(self, wanted: Sequence[WantedChange]) -> None:
        self._together.do_all(wanted)

    def _change_all(self, wanted: Sequence[WantedChange]) -> None:
        """Make changes in one transaction, for the sake of one wait for the disk: each of them whole or not at all.

        Raises whatever keeps all of them from being made.
        """
        with self._file.writing() as db:
            if len(wanted) == 1:
                (alone,) = wanted
                alone.last = self._change(db, alone.decide(SqliteSnapshot(self._file)), alone.arrived_at)
                return
            for each in wanted:
                db.execute("SAVEPOINT change")
                try:
                    each.last = self._change(db, each.decide(SqliteSnapshot(self._file)), each.arrived_at)
                except Exception as error:  # whatever it is, it is its own thread's
                    if not db.in_transaction:  # SQLite has given it up, and with it those made before.
                        raise
                    each.error = self._file.unavailable(error) if isinstance(error, _UNABLE) else error
                    db.execute("ROLLBACK TO change")
                db.execute("RELEASE change")

    def _change(self, db: sqlite3.Connection, change: Change, arrived_at: int) -> list[int]:
        last = []
        for each in change.views:
            view = each.built.build.view
            first = self._file.query("SELECT last_seq FROM pushes WHERE view = ?", [view])[0][0] + 1
            numbered = list(enumerate(each.rows, first))
            db.executemany(
                "INSERT INTO pushed (view, seq, arrived_at, known_at, entity, row, retracts, api_key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (view, seq, arrived_at, row.known_at, row.entity, row.row, row.retracts, change.api_key)
                    for seq, row in numbered
                ],
            )
            last.append(first + len(numbered) - 1)
            db.execute("UPDATE pushes SET last_seq = ? WHERE view = ?", [last[-1], view])
            write_entities(db, each.built.number, each.entities, {row.entity: seq for seq, row in numbered})
        if change.notes:
            db.execute("DELETE FROM notes WHERE until <= ?", [arrived_at if change.now is None else change.now])
            db.executemany("REPLACE INTO notes VALUES (?, ?, ?)", [(n.key, n.text, n.until) for n in change.notes])
        db.executemany(
            "INSERT INTO refused (of_table, arrived_at, row, rules, columns, api_key) VALUES (?, ?, ?, ?, ?, ?)",
            [(change.table, arrived_at, row.row, row.rules, row.columns, change.api_key) for row in change.refused],
        )
        return last

    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        rows = self._file.query(
            "SELECT seq, arrived_at, row, rules, columns, api_key FROM refused "
            "WHERE of_table = ? AND seq > ? ORDER BY seq",
            [table, seq],
        )
        return [(number, arrived_at, RefusedRow(*row)) for number, arrived_at, *row in rows]

    def forget_refused(self, table: str, seq: int) -> None:
        with self._file.writing() as db:
            db.execute("DELETE FROM refused WHERE of_table = ? AND seq <= ?", [table, seq])

    def renumber(self, view: str, beyond: int, seqs: Sequence[int]) -> None:
        with self._file.writing() as db:
            db.execute("UPDATE pushes SET last_seq = ?1 WHERE view = ?2 AND last_seq < ?1", [beyond, view])
            for seq in seqs:
                moved = db.execute(
                    "UPDATE pushed SET seq = 1 + (SELECT last_seq FROM pushes WHERE view = ?1) "
                    "WHERE view = ?1 AND seq = ?2",
                    [view, seq],
                ).rowcount
                db.execute("UPDATE pushes SET last_seq = last_seq + ? WHERE view = ?", [moved, view])

    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        rows = self._file.query(f"{PUSHED} WHERE view = ? AND seq > ? ORDER BY seq", [view, seq])
        return [pushed_row(row) for row in rows]
