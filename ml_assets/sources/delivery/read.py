"""Read deliveries: one typed frame per drop, or one clear error."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.content_hash import content_hash
from ml_assets.sources.delivery.declared import declared_frame, empty_frame
from ml_assets.sources.delivery.load import load, starts_of
from ml_assets.sources.drops.cut import as_starts
from ml_assets.sources.drops.grains import GRAINS, WHOLE, drop_start
from ml_assets.sources.errors import DeliveryFault, SourceError
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.files.listing import held_partitions
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import CONTENT_HASH, DROP, SourceSpec
from ml_assets.sources.values.exact import first_true


@dataclass(frozen=True)
class Drop:
    """One delivery as it came, typed.

    Attributes:
        name: "whole", or that of a period such as "2013-02".
        frame: the contract's columns in its order, then `_drop` and `_content_hash` (both String).
        content_hash: SHA-256 of the contract's columns in this drop.
        extra_columns: names that were delivered beyond the contract; they are not kept.
    """

    name: str
    frame: pl.DataFrame
    content_hash: str
    extra_columns: tuple[str, ...]


def read_drops(spec: SourceSpec, partitions: list[str] | None, schema: Schema) -> dict[str, Drop]:
    """Return the requested drops (None: all that the source holds) in the columns and types of `schema`.

    A file that several drops share is parsed once.

    Raises:
        SourceError: the delivery cannot be read as declared.
        ValueError: a partition is requested that the declaration does not have.
    """
    names = list_drops(spec, schema) if partitions is None else partitions
    _check_declared(spec, names)
    if spec.where.file_per_drop:
        drops = [drop for name in names for drop in _read_file(spec, [name], schema)]
    else:
        drops = _read_file(spec, names, schema) if names else []
    return {drop.name: drop for drop in drops}


def holds_anything(spec: SourceSpec) -> bool:
    """Return whether anything is delivered at a source's place; no row is read.

    Raises:
        SourceError: the place cannot be reached.
    """
    with blaming(spec, ["all"]):
        if spec.where.file_per_drop:
            return bool(held_partitions(locate(spec.where), spec.drops.names))
        return spec.reader.exists(spec)


def list_drops(spec: SourceSpec, schema: Schema) -> list[str]:
    """Return the names of the declared drops that the source holds now, sorted; empty when its file is not there.

    Raises:
        SourceError: the place cannot be reached, or the file that all drops share cannot be read.
    """
    with blaming(spec, ["all"]):
        return [name for name in _held(spec, schema) if spec.drops.expects(name)]


def _held(spec: SourceSpec, schema: Schema) -> list[str]:
    drops = spec.drops
    if spec.where.file_per_drop:
        return held_partitions(locate(spec.where), drops.names)
    if drops.grain == WHOLE:
        return [WHOLE] if spec.reader.exists(spec) else []
    return spec.reader.held(spec, schema)


def fingerprint(spec: SourceSpec, partitions: list[str], schema: Schema) -> str:
    """Return the SHA-256 of what is delivered, to see whether anything has changed since.

    Of a CSV file that no other drop shares, and of one that cannot be read, the bytes count; of all else the drops'
    rows, so that rows of a later drop change nothing for those before.

    Raises:
        SourceError: the delivery is missing, cannot be reached or cannot be read.
        ValueError: a partition is requested that the declaration does not have.
    """
    _check_declared(spec, partitions)
    file_per_drop = spec.where.file_per_drop or not partitions
    files = [[name] for name in sorted(partitions)] if file_per_drop else [partitions]
    digest = hashlib.sha256()
    for names in files:
        with blaming(spec, names):
            digest.update(spec.reader.digest(spec, names, schema))
    return digest.hexdigest()


def _read_file(spec: SourceSpec, names: list[str], schema: Schema) -> list[Drop]:
    """Return the drops of these names, all of which lie in one file, folder, table or query."""
    with blaming(spec, names):
        table, extra = load(spec, names, schema, list(schema))
        uncut = spec.cut_by is None
        frames = {names[0]: declared_frame(spec, table, schema)} if uncut else _cut(spec, table, names, schema)
        return [_drop(spec, name, frames.get(name, empty_frame(spec, schema)), extra) for name in names]


def _cut(spec: SourceSpec, table: pl.DataFrame, names: list[str], schema: Schema) -> dict[str, pl.DataFrame]:
    """Return the typed rows of each requested drop; a value of the wrong type in another drop is not looked at."""
    starts = starts_of(spec, table, schema)
    named = {drop_start(spec.drops.grain, name): name for name in names}
    requested = starts.is_in(as_starts(list(named)).implode()).fill_null(False)
    rows = requested.arg_true() + 1
    table, starts = table.filter(requested), starts.filter(requested)
    try:
        frame = declared_frame(spec, table, schema, rows)
    except DeliveryFault as fault:
        if fault.row is not None:
            fault.drop = named[starts[first_true(rows == fault.row)]]
        raise
    parts = frame.with_columns(starts.alias(DROP)).partition_by(DROP, as_dict=True, include_key=False)
    return {named[start]: part for (start,), part in parts.items()}


def _drop(spec: SourceSpec, name: str, frame: pl.DataFrame, extra: tuple[str, ...]) -> Drop:
    if frame.is_empty() and spec.empty_drops == "refuse":
        raise DeliveryFault(
            "empty drop",
            "the delivery has no row for it",
            "have it delivered, then run again; if a drop may be empty, declare `empty_drops: accept`",
            drop=name,
        )
    digest = content_hash(frame)
    frame = frame.with_columns(pl.lit(name).alias(DROP), pl.lit(digest).alias(CONTENT_HASH))
    return Drop(name, frame, digest, extra)


def _check_declared(spec: SourceSpec, names: list[str]) -> None:
    drops = spec.drops
    for name in names:
        if not drops.expects(name):
            has = f"only {WHOLE!r}"
            if drops.grain != WHOLE:
                has = f"the {GRAINS[drops.grain].period}s from {drops.start} to before {drops.end or 'any end'}"
            raise ValueError(f"source {spec.name!r} has no drop {name!r}; it has {has}")


@contextmanager
def blaming(spec: SourceSpec, names: list[str]) -> Iterator[None]:
    """Raise SourceError, which names the source and the drops, for any fault that is raised inside."""
    try:
        yield
    except DeliveryFault as fault:
        requested = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        raise SourceError(spec.name, fault.drop or requested, fault) from fault
