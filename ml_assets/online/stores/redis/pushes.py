"""The side of Redis that facts are pushed to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.protocol import Decide, OnlineStore
from ml_assets.online.stores.records import Change, PushedRow, RefusedRow, ViewChange
from ml_assets.online.stores.redis.entities import until, write_entities
from ml_assets.online.stores.redis.members import pushed_member, pushed_row
from ml_assets.online.stores.redis.server import RedisServer
from ml_assets.online.stores.redis.snapshot import RedisSnapshot
from ml_assets.online.values.record import Build

_NO_GAPS_AFTER = "no_gaps_after"
"""Field of a view: the number after which its facts have no gaps, since some were given new numbers."""


class RedisPushes(OnlineStore):
    """Makes changes, and gives what was pushed."""

    _server: RedisServer

    def change(self, decide: Decide, arrived_at: int) -> list[int]:
        key = self._server.key

        def change(pipe: Any) -> list[int]:
            wanted = decide(RedisSnapshot(self._server, pipe))
            names = [each.built.build.view for each in wanted.views]
            remaining = [self._remaining(pipe, each) for each in wanted.views]
            before = [self._last_number(name, pipe.get(key("seq", name))) for name in names]
            pipe.multi()
            for each, last, stays in zip(wanted.views, before, remaining, strict=True):
                self._push(pipe, each, last, stays, arrived_at, wanted.api_key)
            self._keep_beside(pipe, wanted, arrived_at)
            pipe.execute()
            return [last + len(each.rows) for last, each in zip(before, wanted.views, strict=True)]

        return self._server.committed("what a push changes", change)

    def refused_since(self, table: str, seq: int) -> list[tuple[int, int, RefusedRow]]:
        with self._server.reached():
            pipe = self._server.client.pipeline(transaction=True)
            pipe.get(self._server.key("refused_before", table))
            pipe.lrange(self._server.key("refused", table), 0, -1)
            before, rows = pipe.execute()
        numbered = [(number, *orjson.loads(row)) for number, row in enumerate(rows, int(before or 0) + 1)]
        return [(number, arrived_at, RefusedRow(*row)) for number, arrived_at, *row in numbered if number > seq]

    def forget_refused(self, table: str, seq: int) -> None:
        rows, before = self._server.key("refused", table), self._server.key("refused_before", table)

        def change(pipe: Any) -> None:
            pipe.watch(before)
            gone = seq - int(pipe.get(before) or 0)
            if gone <= 0:
                return
            pipe.multi()
            pipe.ltrim(rows, gone, -1)
            pipe.set(before, seq)
            pipe.execute()

        self._server.committed("the rows in quarantine", change)

    def pushed_since(self, view: str, seq: int) -> list[PushedRow]:
        key = self._server.key
        with self._server.reached():
            pipe = self._server.client.pipeline(transaction=True)
            pipe.zrangebyscore(key("pushed", view), f"({seq}", "+inf")
            pipe.get(key("seq", view))
            pipe.hmget(key("view", view), "record", _NO_GAPS_AFTER)
            members, last, (record, no_gaps_after) = pipe.execute()
        rows = [pushed_row(member) for member in members]
        if record is not None:
            # Numbers have no gaps, so that it is known how many facts there are since the build.
            since = max(seq, Build.model_validate_json(record).pushed_seq, int(no_gaps_after or 0))
            missing = self._last_number(view, last) - since - sum(row.seq > since for row in rows)
            if missing > 0:
                raise self._facts_lost(f"{missing} facts that were pushed to {view!r} since number {since}")
        return rows

    def renumber(self, view: str, beyond: int, seqs: Sequence[int]) -> None:
        key = self._server.key

        def change(pipe: Any) -> None:
            pipe.watch(key("seq", view), key("view", view))
            last = pipe.get(key("seq", view))
            if last is None:
                return
            there = {seq: pipe.zrangebyscore(key("pushed", view), seq, seq) for seq in seqs}
            moved = [pushed_row(member) for members in there.values() for member in members]
            number = max(int(last), beyond)
            if not moved and number == int(last):
                return
            pipe.multi()
            for seq, row in enumerate(moved, number + 1):
                for rows in (key("pushed", view), key("pushed", view, row.entity)):
                    pipe.zremrangebyscore(rows, row.seq, row.seq)
                    pipe.zadd(rows, {pushed_member(replace(row, seq=seq)): seq})
            pipe.set(key("seq", view), number + len(moved))
            pipe.hset(key("view", view), _NO_GAPS_AFTER, number if moved else beyond)
            pipe.execute()

        self._server.committed("the numbers of facts that were pushed", change)

    def _last_number(self, view: str, last: bytes | None) -> int:
        if last is None:
            raise self._facts_lost(f"the number of the last fact that was pushed to {view!r}")
        return int(last)

    def _facts_lost(self, what: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"online store {self._server.url}: {what} was thrown away, and can be in no build: empty the database "
            "(FLUSHDB), build all views again, and push again what came since their last build"
        )

    def _remaining(self, pipe: Any, change: ViewChange) -> int | None:
        """Return for how many milliseconds what there is of a build stays; None for ever."""
        if change.built.build.valid_until is None:
            return None
        listed = pipe.pttl(self._server.key("entities", change.built.number))
        return listed if listed > 0 else until(max(pipe.pttl(self._server.key("alive", change.built.number)), 1))

    def _push(
        self, pipe: Any, change: ViewChange, last: int, stays: int | None, arrived_at: int, api_key: str | None
    ) -> None:
        view, key, seqs = change.built.build.view, self._server.key, {}
        for seq, row in enumerate(change.rows, last + 1):
            member = pushed_member(PushedRow(seq, arrived_at, row.known_at, row.entity, row.row, row.retracts, api_key))
            pipe.zadd(key("pushed", view), {member: seq})
            pipe.zadd(key("pushed", view, row.entity), {member: seq})
            seqs[row.entity] = seq
        pipe.set(key("seq", view), last + len(change.rows))
        write_entities(pipe, self._server, change.built.number, change.entities, stays, seqs)

    def _keep_beside(self, pipe: Any, change: Change, arrived_at: int) -> None:
        now = arrived_at if change.now is None else change.now
        for note in change.notes:
            length = None if note.until is None else max((note.until - now) // 1000, 1)
            pipe.set(self._server.key("note", note.key), note.text, px=length)
        for row in change.refused:
            api_key = [] if change.api_key is None else [change.api_key]
            kept = orjson.dumps([arrived_at, row.row, row.rules, row.columns, *api_key])
            pipe.rpush(self._server.key("refused", change.table), kept)
