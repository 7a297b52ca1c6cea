"""Digests of all that a drop's features are made of, to see whether a correction elsewhere reaches them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.features.digests.row_hashes import hash_rows
from ml_assets.features.engine.reach import first_and_last, reachable
from ml_assets.features.spec import FeatureViewSpec

INPUTS = "_inputs"
"""Column of stored features: the digest of what the features of the row's drop were made of."""

_WRAP = 2**64


def digest_inputs(
    view: FeatureViewSpec, spine: pl.LazyFrame, events: pl.LazyFrame | None, *, partition: str, time: str
) -> dict[str, str]:
    """Digest, by drop, the spine's rows and the rows of the view's table that lie within their look-back.

    Only columns that the view reads count, and neither the order of rows nor the library that reads them does. A
    static table does not count: it is read as it is when a drop comes. A digest begins with its scope, which changes
    with the declaration: digests of different scopes say nothing about each other.

    Args:
        spine: rows of any drops, with the columns `partition`, `time` and those that the view reads.
        events: the view's table; None for a view without one.
    """
    drops = _digest_spine(view, spine, partition, time)
    scope = _scope(view)
    facts = {} if events is None or view.known_at is None else _digest_facts(view, events, drops)
    return {
        name: f"{scope}:{drop.rows}-{drop.digest:016x}:{_text(facts.get(name, (0, 0)))}"
        for name, drop in sorted(drops.items())
    }


def changed_inputs(stored: Mapping[str, str | None], current: Mapping[str, str]) -> list[str]:
    """List the drops whose inputs are no longer those that their stored features were made of, in order.

    A drop whose features were stored without a digest, or under another declaration, is not among them.
    """
    return sorted(
        drop
        for drop, digest in stored.items()
        if digest is not None and drop in current and digest != current[drop] and _same_scope(digest, current[drop])
    )


def _same_scope(digest: str, other: str) -> bool:
    return digest.partition(":")[0] == other.partition(":")[0]


def _scope(view: FeatureViewSpec) -> str:
    read = [view.table, view.known_at, view.table_columns, view.spine_columns, str(view.look_back)]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class _SpineDrop:
    rows: int
    digest: int
    first: datetime
    last: datetime

    def __add__(self, other: "_SpineDrop") -> "_SpineDrop":
        digest = (self.digest + other.digest) % _WRAP
        return _SpineDrop(self.rows + other.rows, digest, min(self.first, other.first), max(self.last, other.last))


def _digest_spine(view: FeatureViewSpec, spine: pl.LazyFrame, partition: str, time: str) -> dict[str, _SpineDrop]:
    drops: dict[str, _SpineDrop] = {}
    columns = list(dict.fromkeys([partition, time, *view.spine_columns]))
    for batch in spine.select(columns).drop_nulls([partition, time]).collect_batches():
        hashes = hash_rows(batch.drop(partition))
        for (name,), rows in batch.select(partition, time).with_row_index("row").group_by(partition):
            own = int(np.sum(hashes[rows["row"].to_numpy()], dtype=np.uint64))
            first, last = first_and_last(rows[time])
            if first is None or last is None:
                continue
            part = _SpineDrop(rows.height, own, first, last)
            drops[name] = drops[name] + part if name in drops else part
    return drops


def _digest_facts(
    view: FeatureViewSpec, events: pl.LazyFrame, drops: Mapping[str, _SpineDrop]
) -> dict[str, tuple[int, int]]:
    """Count the rows of the table that each drop can see, and sum their hashes modulo 2^64."""
    if not drops:
        return {}
    seen: dict[str, tuple[int, int]] = dict.fromkeys(drops, (0, 0))
    first, last = min(drop.first for drop in drops.values()), max(drop.last for drop in drops.values())
    begins = _moments([_begin(view, drop) for drop in drops.values()])
    ends = _moments([drop.last for drop in drops.values()])
    for known_at, hashes in _hashed(view, reachable(view, events, first, last)):
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
        after, until = np.searchsorted(known_at, begins, side="right"), np.searchsorted(known_at, ends, side="right")
        for name, start, end in zip(drops, after, np.maximum(after, until), strict=True):
            rows, digest = seen[name]
            seen[name] = (rows + int(end - start), (digest + int(sums[end]) - int(sums[start])) % _WRAP)
    return seen


def _hashed(view: FeatureViewSpec, facts: pl.LazyFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield moments in microseconds and hashes of the rows, batch by batch, each in the order of its moments."""
    for batch in facts.collect_batches():
        known_at = batch[view.known_at_column].to_physical().to_numpy()
        order = np.argsort(known_at, kind="stable")
        yield known_at[order], hash_rows(batch)[order]


def _begin(view: FeatureViewSpec, drop: _SpineDrop) -> datetime | None:
    return None if view.look_back is None else drop.first - view.look_back


def _moments(moments: list[datetime | None]) -> np.ndarray:
    """Turn moments into microseconds since 1970; None is before every moment."""
    ticks = pl.Series(moments, dtype=pl.Datetime("us", "UTC")).to_physical()
    return ticks.fill_null(np.iinfo(np.int64).min).to_numpy()


def _text(facts: tuple[int, int]) -> str:
    return f"{facts[0]}-{facts[1]:016x}"
