"""Read deliveries: one typed frame per drop, or one clear error."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.content_hash import content_hash
from ml_assets.sources.databases.query import query_digests, query_state
from ml_assets.sources.delivery import load
from ml_assets.sources.drops.cut import as_starts, check_placed, drop_names, period_starts
from ml_assets.sources.drops.grains import GRAINS, WHOLE, drop_start
from ml_assets.sources.errors import DeliveryFault, SourceError
from ml_assets.sources.files.fetch import exists, fetch, held_partitions, locate, parquet_files
from ml_assets.sources.readers.scan import delta_version
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import CONTENT_HASH, DROP, PARTITION, WITH_NULLS, SourceSpec
from ml_assets.sources.values.declared import cutting_column, declared_frame, empty_frame


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
    """The asked drops (None: all that the source holds) in the columns and types of `schema`.

    A file that several drops share is parsed once.

    Raises:
        SourceError: the delivery cannot be read as declared.
        ValueError: a partition is asked for that the declaration does not have.
    """
    names = list_drops(spec, schema) if partitions is None else partitions
    _check_declared(spec, names)
    if PARTITION in spec.where.template:
        drops = [drop for name in names for drop in _read_file(spec, [name], schema)]
    else:
        drops = _read_file(spec, names, schema) if names else []
    return {drop.name: drop for drop in drops}


def list_drops(spec: SourceSpec, schema: Schema) -> list[str]:
    """Names of the declared drops that the source holds now, sorted; empty when its file is not there.

    Raises:
        SourceError: the place cannot be reached, or the file that all drops share cannot be read.
    """
    with blaming(spec, ["all"]):
        return [name for name in _held(spec, schema) if spec.drops.expects(name)]


def _held(spec: SourceSpec, schema: Schema) -> list[str]:
    drops = spec.drops
    if spec.format == "sql":
        if drops.grain == WHOLE:
            return [] if query_state(spec) is None else [WHOLE]
        return list(query_digests(spec, schema))
    address = locate(spec.where)
    if PARTITION in address:
        return held_partitions(address, drops.names)
    if not _is_there(spec.format, address):
        return []
    if drops.grain == WHOLE:
        return [WHOLE]
    table, _ = load(spec, None, schema, [drops.column])
    starts = starts_of(spec, table, schema)
    check_placed(drops, len(starts), starts.null_count())
    return drop_names(starts, drops)


def _is_there(file_format: str, address: str) -> bool:
    if file_format == "delta":
        return delta_version(address) is not None
    return bool(parquet_files(address)[0]) if file_format == "parquet" else exists(address)


def fingerprint(spec: SourceSpec, partitions: list[str], schema: Schema) -> str:
    """SHA-256 of what is delivered, to see whether anything has changed since.

    Of a CSV file that no other drop shares, and of one that cannot be read, the bytes count; of all else the drops'
    rows, so that rows of a later drop change nothing for those before.

    Raises:
        SourceError: the delivery is missing, cannot be reached or cannot be read.
        ValueError: a partition is asked for that the declaration does not have.
    """
    _check_declared(spec, partitions)
    one_file_each = PARTITION in spec.where.template or not partitions
    files = [[name] for name in sorted(partitions)] if one_file_each else [partitions]
    digest = hashlib.sha256()
    for names in files:
        with blaming(spec, names):
            if spec.format in WITH_NULLS:
                digest.update(content_hash(load(spec, names, schema, list(schema))[0]).encode())
            elif spec.cut_by is None:
                digest.update(_bytes_hash(spec, names[0]))
            else:
                digest.update(_rows_hash(spec, names, schema))
    return digest.hexdigest()


def _rows_hash(spec: SourceSpec, names: list[str], schema: Schema) -> bytes:
    try:
        return "".join(drop.content_hash for drop in read_drops(spec, names, schema).values()).encode()
    except SourceError:
        # The run that reads it says what is wrong; here it only has to differ once the file is another.
        return _bytes_hash(spec, names[0])


def _bytes_hash(spec: SourceSpec, name: str) -> bytes:
    return hashlib.sha256(fetch(locate(spec.where).replace(PARTITION, name))).digest()


def _read_file(spec: SourceSpec, names: list[str], schema: Schema) -> list[Drop]:
    """The drops of these names, all of which lie in one file, folder, table or query."""
    with blaming(spec, names):
        table, extra = load(spec, names, schema, list(schema))
        uncut = spec.cut_by is None
        frames = {names[0]: declared_frame(spec, table, schema)} if uncut else _cut(spec, table, names, schema)
        return [_drop(spec, name, frames.get(name, empty_frame(spec, schema)), extra) for name in names]


def _cut(spec: SourceSpec, table: pl.DataFrame, names: list[str], schema: Schema) -> dict[str, pl.DataFrame]:
    """The typed rows of each asked drop; a value of the wrong type in another drop is not looked at."""
    starts = starts_of(spec, table, schema)
    named = {drop_start(spec.drops.grain, name): name for name in names}
    asked = starts.is_in(as_starts(list(named)).implode()).fill_null(False)
    rows = asked.arg_true() + 1
    table, starts = table.filter(asked), starts.filter(asked)
    try:
        frame = declared_frame(spec, table, schema, rows)
    except DeliveryFault as fault:
        if fault.row is not None:
            fault.drop = named[starts[(rows == fault.row).arg_max()]]
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


def starts_of(spec: SourceSpec, table: pl.DataFrame, schema: Schema) -> pl.Series:
    """The start of each row's drop, as `period_starts` tells it, by the column that the table is cut by.

    Raises:
        DeliveryFault: the contract has no such column, or a value of it is of the wrong type.
    """
    column = spec.drops.column
    if column not in schema:
        raise DeliveryFault(
            "missing column",
            "drops are cut by it, but the contract has none",
            "change `drops.column`",
            column,
        )
    return period_starts(cutting_column(spec, table[column], schema[column]), spec.drops)


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
    """Raise SourceError, which names the source and the drops, for whatever fault is found inside."""
    try:
        yield
    except DeliveryFault as fault:
        asked = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        raise SourceError(spec.name, fault.drop or asked, fault) from fault
