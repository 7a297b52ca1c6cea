"""What is written of the entities of a build, and how long it is kept."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from ml_assets.online.stores.records import EntityChange
from ml_assets.online.stores.redis.members import HEADER, NOTHING, PARTS, PUSHED, RUNNING, moment_member
from ml_assets.online.stores.redis.server import RedisServer

Item = TypeVar("Item")

_BATCH = 1000
GRACE = timedelta(hours=1)
"""How much longer values stay than the sign that they are there: they are written before it."""


def milliseconds(duration: timedelta) -> int:
    """Return a duration as Redis counts it; at least one."""
    return max(duration // timedelta(milliseconds=1), 1)


def until(kept: int) -> int | None:
    """Return for how long what is written now stays, so that its values can be kept for so long; None for ever.

    Args:
        kept: milliseconds; 0 for ever.
    """
    return kept + milliseconds(GRACE) if kept else None


def list_entities(pipe: Any, server: RedisServer, number: int, members: Iterable[str], stays: int | None) -> None:
    """Put members into the list of a build's entities, before what they are the sign of is written.

    Args:
        stays: milliseconds; None for ever.
    """
    pipe.sadd(server.key("entities", number), *members)
    if stays is not None:
        pipe.pexpire(server.key("entities", number), stays)


def write_entities(
    pipe: Any,
    server: RedisServer,
    number: int,
    changes: Sequence[EntityChange],
    stays: int | None,
    seqs: Mapping[str, int],
) -> None:
    """Write what facts make of entities of a build.

    Args:
        stays: milliseconds; None for ever.
        seqs: number of the last fact of each entity whose change has none.
    """
    for change in changes:
        entity, seq = change.entity, seqs[change.entity] if change.seq is None else change.seq
        members = [PUSHED + entity] if change.header is None else [PUSHED + entity, RUNNING + entity]
        list_entities(pipe, server, number, members, stays)
        key = server.key("moments", number, entity)
        pipe.zremrangebyscore(key, change.since, "+inf")
        moments = {moment_member(moment, seq, values): moment for moment, values in change.moments}
        pipe.zadd(key, moments or {NOTHING: "-inf"})
        if change.header is not None:
            fields = {HEADER: f"{seq} {change.header}", **change.leaves}
            pipe.hset(server.key("state", number, entity), mapping=fields)
        if stays is not None:
            for part in PARTS:
                pipe.pexpire(server.key(part, number, entity), stays)


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Give items so many at a time as go well into one pipeline."""
    each = iter(items)
    while batch := list(islice(each, _BATCH)):
        yield batch
