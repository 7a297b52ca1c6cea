"""The side of a database that facts are pushed to; those of several threads of a process wait for the disk once."""

from collections.abc import Sequence

from ml_assets.online.stores.postgresql.entities import write_entities
from ml_assets.online.stores.postgresql.server import PostgresServer
from ml_assets.online.stores.postgresql.snapshot import PUSHED, PostgresSnapshot
from ml_assets.online.stores.postgresql.tables import short
from ml_assets.online.stores.protocol import Decide, OnlineStore, WantedChange
from ml_assets.online.stores.records import Change, PushedRow, RefusedRow, ViewChange
from ml_assets.online.stores.together import ChangeQueue


class PostgresPushes(OnlineStore):
    """Makes changes, and gives what was pushed."""

    _server: PostgresServer
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
        with self._server.writing() as connection:
            if len(wanted) == 1:
                (alone,) = wanted
                alone.last = self._change(alone.decide(PostgresSnapshot(self._server)), alone.arrived_at)
                return
            for each in wanted:
                self._server.execute("SAVEPOINT change")
                try:
                    each.last = self._change(each.decide(PostgresSnapshot(self._server)), each.arrived_at)
                except Exception as error:  # whatever it is, it is its own thread's
                    if connection.closed:  # the server is lost, and with it those made before.
                        raise
                    each.error = error
                    self._server.execute("ROLLBACK TO SAVEPOINT change")
                self._server.execute("RELEASE SAVEPOINT change")

    def _change(self, change: Change, arrived_at: int) -> list[int]:
        last = [self._push(each, arrived_at, change.api_key) for each in change.views]
        if change.notes:
            now = arrived_at if change.now is None else change.now
            self._server.execute("DELETE FROM @notes WHERE until <= %s", [now])
        for note in change.notes:
            self._server.execute(
                "INSERT INTO @notes VALUES (%s, %s, %s) "
                "ON CONFLICT (key) DO UPDATE SET text = excluded.text, until = excluded.until",
                [short(note.key), note.text, note.until],
            )
        if change.refused:
            self._server.execute(
                "INSERT INTO @refused (of_table, arrived_at, api_key, row, rules, columns) "
                "SELECT %s, %s, %s::text, * FROM unnest(%s::text[], %s::text[], %s::text[])",
                [
                    change.table, arrived_at, change.api_key, [row.row for row in change.refused],
                    [row.rules for row in change.refused], [row.columns for row in change.refused],
                ],
            )  # fmt: skip
        return last

    def _push(self, change: ViewChange, arrived_at: int, api_key: str | None) -> int:
        view, rows = change.built.build.view, change.rows
        number = "UPDATE @pushes SET last_seq = last_seq + %s WHERE view = %s RETURNING last_seq"
        ((last,),) = self._server.query(number, [len(rows), view])
        seqs = list(range(last - len(rows) + 1, last + 1))
        self._server.execute(
            "INSERT INTO @pushed (view, arrived_at, api_key, seq, known_at, entity, row, retracts, short_entity) "
            "SELECT %s, %s, %s::text, * FROM "
            "unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::boolean[], %s::text[])",
            [
                view, arrived_at, api_key, seqs, [row.known_at for row in rows], [row.entity for row in rows],
                [row.row for row in rows], [row.retracts for row in rows], [short(row.entity) for row in rows],
            ],
        )  # fmt: skip
        of_entity = {row.entity: seq for seq, row in zip(seqs, rows, strict=True)}
        write_entities(self._server, change.built.number, change.entities, of_entity)
        return last

    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        rows = self._server.query(
            "SELECT seq, arrived_at, row, rules, columns, api_key FROM @refused "
            "WHERE of_table = %s AND seq > %s ORDER BY seq",
            [table, seq],
        )
        return [(number, arrived_at, RefusedRow(*row)) for number, arrived_at, *row in rows]

    def forget_refused(self, table: str, seq: int) -> None:
        with self._server.writing():
            self._server.execute("DELETE FROM @refused WHERE of_table = %s AND seq <= %s", [table, seq])

    def renumber(self, view: str, beyond: int, seqs: Sequence[int]) -> None:
        with self._server.writing():
            self._server.execute(
                "UPDATE @pushes SET last_seq = %s WHERE view = %s AND last_seq < %s", [beyond, view, beyond]
            )
            # All new numbers are greater than all that are there.
            self._server.execute(
                "WITH moved AS (SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM @pushed "
                "WHERE view = %s AND seq = ANY(%s)), "
                "counted AS (UPDATE @pushes SET last_seq = last_seq + (SELECT count(*) FROM moved) "
                "WHERE view = %s RETURNING last_seq - (SELECT count(*) FROM moved) AS before) "
                "UPDATE @pushed AS kept SET seq = before + place FROM moved, counted "
                "WHERE kept.view = %s AND kept.seq = moved.seq",
                [view, list(seqs), view, view],
            )

    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        rows = self._server.query(f"{PUSHED} WHERE view = %s AND seq > %s ORDER BY seq", [view, seq])
        return [PushedRow(*row) for row in rows]
