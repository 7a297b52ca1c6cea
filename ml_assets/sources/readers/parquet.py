"""Parquet: one file, or a folder of files, with hive partitions or without."""

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import polars as pl

from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.files.fetch import fetch, locate
from ml_assets.sources.files.listing import parquet_files
from ml_assets.sources.readers.delta import is_delta_folder
from ml_assets.sources.readers.reader import SourceReader, all_columns
from ml_assets.sources.readers.scan import Scan, collect, in_parts, reading
from ml_assets.sources.schema import columns_that_begin
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.parquet_types import columns_of_kind, read_around_intervals
from ml_assets.sources.values.typed import typed_column


class ParquetReader(SourceReader):
    """Reads Parquet files and folders of them."""

    what = "a Parquet file"

    def load(self, request: LoadRequest) -> Table:
        try:
            return _load(request.address, request, request.optional)
        except DeliveryFault as fault:
            differ = fault.kind in ("missing column", "wrong type")
            files = parquet_files(request.address)[0] if differ else []
            if len(files) < 2:
                raise
            return _load_apart(files, request)

    def exists(self, spec: SourceSpec) -> bool:
        return bool(parquet_files(locate(spec.where))[0])

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        """Return all rows; files whose columns or types differ are refused, since no contract unites them yet."""
        requests = [LoadRequest(spec, [name], {}, []) for name in names or [""]]
        return SampledRows([all_columns(lambda part: _load(part.address, part, ()), request) for request in requests])

    def stream(self, spec: SourceSpec, rows: int) -> Iterator[SampledRows]:
        address = locate(spec.where)
        files, known = parquet_files(address)
        # Files of one folder may differ in their types; those of hive partitions have columns in their paths.
        apart = files if known and not any("=" in file for file in files) else []
        for place in apart or [address]:
            with reading(place, "Parquet file"):
                yield from in_parts(_scan(place, []), rows)

    def recognizes(self, folder: Path) -> bool:
        return not is_delta_folder(folder) and next(folder.rglob("*.parquet"), None) is not None


def _load(address: str, request: LoadRequest, optional: Collection[str]) -> Table:
    with reading(address, "Parquet file"):
        return collect(_scan(address, request.columns), request, optional)


def _load_apart(files: list[str], request: LoadRequest) -> Table:
    """Return the rows of files whose columns or types differ, in the types of the contract.

    A column that begins later may be missing in files from before; which those are their rows tell at the gate.
    """
    schema, tables, beyond = request.schema, [], {}
    for file in files:
        try:
            table, extra = _load(file, request, columns_that_begin(schema))
            plain = [name for name in table.columns if name in schema and name not in request.spec.columns]
            tables.append(table.with_columns(typed_column(table[name], schema[name]) for name in plain))
        except DeliveryFault as fault:
            fault.detail = f"{file}: {fault.detail}"
            raise
        beyond |= dict.fromkeys(extra)
    return pl.concat(tables, how="diagonal_relaxed"), tuple(beyond)


def _scan(address: str, columns: list[str]) -> Scan:
    paths, known = parquet_files(address)
    if not paths:
        raise DeliveryFault("missing file", f"there is no file {address}", "deliver it or change `where`")
    keys = {part.partition("=")[0] for path in paths for part in path.split("/")[:-1] if "=" in part}
    # What Polars does not speak the protocol of is fetched; what it speaks it of alone cannot be looked into.
    files = paths if known else [fetch(path) for path in paths]
    seen = not known or "://" not in paths[0]
    if seen and not keys and columns_of_kind(files[0], "INTERVAL"):
        table, names = read_around_intervals(files, columns)
        return Scan(table.lazy(), names, columns_of_kind(files[0], "UUID"))
    opened = [io.BytesIO(file) if isinstance(file, bytes) else file for file in files]
    frame = pl.scan_parquet(
        opened,  # pyright: ignore[reportArgumentType] - paths or files, all of one kind
        glob=False,
        hive_partitioning=bool(keys) and known,
        # As texts, to be parsed as the contract says: a guess would make the store "007" a number.
        hive_schema=(dict.fromkeys(sorted(keys), pl.String) or None) if known else None,
        extra_columns="ignore",
    )
    return Scan(frame, uuids=columns_of_kind(files[0], "UUID") if seen else ())


PARQUET = ParquetReader()
