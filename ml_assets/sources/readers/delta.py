"""Delta tables: the rows of the latest version, watched by the version and by what is known of its files."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from ml_assets.sources.delivery.read import list_drops
from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.drops.cut import drop_names, period_starts
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.readers.reader import SourceReader, all_columns, in_key_order
from ml_assets.sources.readers.scan import Scan, collect, in_parts, reading
from ml_assets.sources.schema import Schema
from ml_assets.sources.spec import SourceSpec


class DeltaReader(SourceReader):
    """Reads Delta tables."""

    what = "a Delta table"
    takes_partitions = False

    def load(self, request: LoadRequest) -> Table:
        table, extra = _load(request)
        return in_key_order(request.spec, table), extra

    def exists(self, spec: SourceSpec) -> bool:
        return _version(locate(spec.where)) is not None

    def state(self, spec: SourceSpec, now: float, settle: float) -> str | None:
        """Return a text that changes with every commit to the table, which is whole at once."""
        del now, settle
        return _version(locate(spec.where))

    def drop_states(self, spec: SourceSpec, schema: Schema) -> Mapping[str, str] | None:
        # What is known of the table's files tells drops only of moments as they are stored.
        if spec.drops.column in spec.columns:
            return None
        return _digests_of_files(locate(spec.where), list_drops(spec, schema), spec.drops)

    def sample(self, spec: SourceSpec, names: Sequence[str] | None) -> SampledRows:
        return SampledRows([all_columns(_load, LoadRequest(spec, names, {}, []))])

    def stream(self, spec: SourceSpec, rows: int) -> Iterator[SampledRows]:
        address = locate(spec.where)
        with reading(address, "Delta table"):
            yield from in_parts(Scan(_scan(address)), rows)

    def recognizes(self, folder: Path) -> bool:
        return is_delta_folder(folder)


def is_delta_folder(folder: Path) -> bool:
    """Return whether the local folder holds a Delta table."""
    return (folder / "_delta_log").is_dir()


def _load(request: LoadRequest) -> Table:
    with reading(request.address, "Delta table"):
        return collect(Scan(_scan(request.address)), request, request.optional)


def _scan(address: str) -> pl.LazyFrame:
    from deltalake import DeltaTable

    from ml_assets.lake.delta import scan_table

    if not DeltaTable.is_deltatable(address):
        raise DeliveryFault("missing file", f"there is no Delta table {address}", "deliver it or change `where`")
    return scan_table(address)


def _version(address: str) -> str | None:
    from deltalake import DeltaTable

    with reading(address, "Delta table"):
        if not DeltaTable.is_deltatable(address):
            return None
        table = DeltaTable(address)
        return f"version={table.version()} table={table.metadata().id}"


def _digests_of_files(address: str, names: Sequence[str], drops: Drops) -> dict[str, str]:
    """Return for each drop a text that changes when the table's files that may hold its rows do, by their
    statistics."""
    from deltalake import DeltaTable

    with reading(address, "Delta table"):
        files = pl.DataFrame(DeltaTable(address).get_add_actions(flatten=True)).sort("path")
    first, last = (_period(files, kind, drops) for kind in ("min", "max"))
    return {
        name: hashlib.sha256(
            "\n".join(
                path
                for path, low, high in zip(files["path"], first, last, strict=True)
                if (low is None or low <= name) and (high is None or name <= high)
            ).encode()
        ).hexdigest()[:16]
        for name in names
    }


def _period(files: pl.DataFrame, kind: str, drops: Drops) -> list[str | None]:
    """Return per file the drop of its smallest or largest moment; None where that is not known."""
    for name in (f"{kind}.{drops.column}", f"partition.{drops.column}"):
        if name in files.columns and files[name].dtype in (pl.Date, pl.Datetime):
            known = files[name].drop_nulls()
            starts = iter(period_starts(known, drops))
            return [None if null else drop_names(pl.Series([next(starts)]), drops)[0] for null in files[name].is_null()]
    return [None] * files.height


DELTA = DeltaReader()
