"""Where pushed facts come from: what is sent again after a store was put back from a backup is known by it.

A fact of a stream, or of a push with an idempotency key, has an origin: a text that is the same whenever it is sent
again. Those of a push are a note in the store, in one transaction with the facts, and lie in the lake beside these from
the next export on. There a fact counts once for each origin; and a store that lacks facts which the lake has knows
their origins, so that they come back by a build alone.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache

import orjson
import polars as pl

from ml_assets.online.facts.union import SEQ
from ml_assets.online.stores.protocol import OnlineStore, StoreSnapshot
from ml_assets.online.stores.records import Change, NewRow, Note, PushedRow

ORIGIN = "_origin"
"""Column of facts in the lake: where they come from; null where that is not known."""

REMEMBERED = timedelta(days=1)
"""How long the answer to a push with an idempotency key is kept: a retry within that time counts once. Origins wait as
long for their export."""

_MICROSECOND = timedelta(microseconds=1)
_AT_ONCE = 500
"""Notes that are read in one go."""


def origin_of(*parts: object) -> str:
    """Return the origin that is the same for the same parts."""
    return hashlib.sha256(orjson.dumps(parts, default=str)).hexdigest()[:20]


def keyed_origins(key: str, asked: str, count: int, at: int) -> list[str]:
    """Return the origins of the facts of a push with an idempotency key.

    Args:
        asked: digest of what is pushed.
        at: the clock by which keys are remembered, microseconds: once the key is forgotten, it is another push.
    """
    base = origin_of("key", key, asked)
    return [f"{base}.{place}@{at}" for place in range(count)]


def origins_of_rows(rows: Sequence[NewRow], origins: Sequence[str]) -> list[str]:
    """Return, as a note has them, where each row comes from; a row is known by what it says."""
    return [f"{_digest(row)} {origin}" for row, origin in zip(rows, origins, strict=True)]


def note_origins(
    reading: StoreSnapshot, table: str, of_views: Mapping[str, Sequence[str]], arrived_at: int, now: int
) -> list[Note]:
    """Make the note of where the facts of a push come from.

    Args:
        of_views: view -> what `origins_of_rows` gives of its facts, in their order.
        arrived_at: when they came, microseconds, by which an export finds the note.
        now: the clock by which notes are forgotten, microseconds.
    """
    if not of_views:
        return []
    before = decode_origins(reading.note(_key(table, arrived_at)))
    both = {view: [*before.get(view, []), *of_views.get(view, [])] for view in {**before, **of_views}}
    return [Note(_key(table, arrived_at), orjson.dumps(both).decode(), now + REMEMBERED // _MICROSECOND)]


def read_origins(store: OnlineStore, table: str, view: str, rows: Sequence[PushedRow]) -> list[str | None]:
    """Return the origins of facts that were pushed to a view, None where they are not known.

    Args:
        rows: all that came after one, in order: at the moment of the first, others may have come before it.
    """
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.arrived_at, []).append(place)
    origins: list[str | None] = [None] * len(rows)
    moments = list(places)
    for start in range(0, len(moments), _AT_ONCE):
        some = moments[start : start + _AT_ONCE]
        for moment, note in zip(some, store.notes([_key(table, each) for each in some]), strict=True):
            known = decode_origins(note).get(view, [])
            if known:
                _assign(origins, rows, places[moment], known)
    return origins


def _assign(origins: list[str | None], rows: Sequence[PushedRow], places: Sequence[int], known: Sequence[str]) -> None:
    """Give facts that came at one moment their origins, as a note has them of all that came then."""
    noted: dict[str, list[str]] = {}
    for each in known:
        digest, _, origin = each.partition(" ")
        noted.setdefault(digest, []).append(origin)
    same: dict[str, list[int]] = {}
    for place in places:
        same.setdefault(_digest(rows[place]), []).append(place)
    for digest, of_same in same.items():
        last = noted.get(digest, [])[-len(of_same) :]
        # The same fact pushed in the same microsecond without an origin hides which is whose.
        if len(last) == len(of_same):
            for place, origin in zip(of_same, last, strict=True):
                origins[place] = origin


def without_repeated(pushed: pl.LazyFrame) -> pl.LazyFrame:
    """Leave out of facts in the lake, ordered by number, those that were sent again after a store was put back: where
    they come from is known, and the fact is there; with an idempotency key, within the time that it is remembered."""
    if ORIGIN not in pushed.collect_schema():
        return pushed
    base = pl.col(ORIGIN).str.split("@").list.get(0)
    at = pl.col(ORIGIN).str.split("@").list.get(1, null_on_oob=True).cast(pl.Int64)
    since = (at - at.shift(1)).over(base, order_by=SEQ)
    first = pl.int_range(pl.len()).over(base, order_by=SEQ) == 0
    again = ~first & (since.is_null() | (since < REMEMBERED // _MICROSECOND))
    return pushed.filter(pl.col(ORIGIN).is_null() | ~again).drop(ORIGIN)


def note_returning(store: OnlineStore, table: str, view: str, origins: Collection[str]) -> None:
    """Let facts of a view not count by a push, as they come back by a build."""
    if not origins:
        return

    def decide(reading: StoreSnapshot) -> Change:
        before = decode_origins(reading.note(_returning(table)))
        known = sorted({*before.get(view, []), *map(_base, origins)})
        if known == before.get(view):
            return Change()
        return Change(notes=[Note(_returning(table), orjson.dumps({**before, view: known}).decode())])

    store.change(decide, 0)


def returning(reading: StoreSnapshot, table: str) -> Mapping[str, frozenset[str]]:
    """Return, by view of a table, where the facts come from that come back by a build alone."""
    return _decode_returning(reading.note(_returning(table)))


def comes_back(origin: str, known: Collection[str]) -> bool:
    """Return whether a fact comes back by a build."""
    return _base(origin) in known


def decode_origins(text: str | None) -> dict[str, list[str]]:
    """Return view -> origins, as a note has them."""
    return {} if text is None else orjson.loads(text)


@lru_cache(maxsize=16)
def _decode_returning(text: str | None) -> Mapping[str, frozenset[str]]:
    return {view: frozenset(origins) for view, origins in decode_origins(text).items()}


def _digest(row: NewRow | PushedRow) -> str:
    return hashlib.blake2b(f"{row.retracts:d}{row.row}".encode(), digest_size=6).hexdigest()


def _base(origin: str) -> str:
    return origin.partition("@")[0]


def _key(table: str, arrived_at: int) -> str:
    return f"origins:{table}:{arrived_at}"


def _returning(table: str) -> str:
    return f"returning:{table}"
