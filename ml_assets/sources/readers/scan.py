"""Parquet files and Delta tables: only the columns and the drops that are asked for are read."""

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from ml_assets.sources.drops.cut import Span, check_cuttable, drop_names, period_starts, spans
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.files.fetch import fetch, parquet_files
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.values.parquet_types import columns_of_kind, plain_frame, read_around_intervals, text_of_uuid

_ISO_DAY = r"^\d{4}-\d{2}-\d{2}$"


def load_scanned(
    address: str,
    spec: SourceSpec,
    names: Sequence[str] | None,
    schema: Mapping[str, pl.DataType],
    columns: list[str],
    optional: Collection[str] = (),
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """`delivery.load` of a Parquet file, a folder of them or a Delta table, without `optional` columns that it lacks.

    Hive partitions are columns of texts. The rows of a Delta table come in any order.
    """
    with _reading(address, spec.format):
        scan = _Scan(_scan_delta(address)) if spec.format == "delta" else _scan_parquet(address, columns)
        frame = scan.frame
        stored = frame.collect_schema()
        delivered = scan.names or stored.names()
        extra = check_columns(columns, delivered, optional)
        columns = [name for name in columns if name in delivered]
        if names is not None and spec.drops.column not in spec.columns:
            frame = _only(frame, stored, names, spec.drops, schema)
        table = plain_frame(frame.select(columns).collect())
    return table.with_columns(text_of_uuid(table[name]) for name in columns if name in scan.uuids), extra


def delta_version(address: str) -> str | None:
    """A text that changes with every commit to the Delta table; None if there is no table."""
    from deltalake import DeltaTable

    with _reading(address, "delta"):
        if not DeltaTable.is_deltatable(address):
            return None
        table = DeltaTable(address)
        return f"version={table.version()} table={table.metadata().id}"


def delta_digests(address: str, names: Sequence[str], drops: Drops) -> dict[str, str]:
    """Drop -> a text that changes when the table's files that may hold rows of it do, by their statistics."""
    from deltalake import DeltaTable

    with _reading(address, "delta"):
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
    """Per file the drop of its smallest or largest moment; None where that is not known."""
    for name in (f"{kind}.{drops.column}", f"partition.{drops.column}"):
        if name in files.columns and files[name].dtype in (pl.Date, pl.Datetime):
            known = files[name].drop_nulls()
            starts = iter(period_starts(known, drops))
            return [None if null else drop_names(pl.Series([next(starts)]), drops)[0] for null in files[name].is_null()]
    return [None] * files.height


def _scan_delta(address: str) -> pl.LazyFrame:
    from deltalake import DeltaTable

    from ml_assets.lake.delta import scan_table

    if not DeltaTable.is_deltatable(address):
        raise DeliveryFault("missing file", f"there is no Delta table {address}", "deliver it or change `where`")
    return scan_table(address)


@dataclass(frozen=True)
class _Scan:
    """A table to read.

    Attributes:
        frame: its columns, or those that were asked for.
        names: all columns, where `frame` has not all of them.
        uuids: columns of sixteen bytes that are UUIDs.
    """

    frame: pl.LazyFrame
    names: list[str] | None = None
    uuids: Sequence[str] = ()


def _scan_parquet(address: str, columns: list[str]) -> _Scan:
    paths, known = parquet_files(address)
    if not paths:
        raise DeliveryFault("missing file", f"there is no file {address}", "deliver it or change `where`")
    keys = {part.partition("=")[0] for path in paths for part in path.split("/")[:-1] if "=" in part}
    # What Polars does not speak the protocol of is fetched; what it speaks it of alone cannot be looked into.
    files = paths if known else [fetch(path) for path in paths]
    seen = not known or "://" not in paths[0]
    if seen and not keys and columns_of_kind(files[0], "INTERVAL"):
        table, names = read_around_intervals(files, columns)
        return _Scan(table.lazy(), names, columns_of_kind(files[0], "UUID"))
    frame = pl.scan_parquet(
        [io.BytesIO(file) if isinstance(file, bytes) else file for file in files],
        glob=False,
        hive_partitioning=bool(keys) and known,
        # As texts, to be parsed as the contract says: a guess would make the store "007" a number.
        hive_schema=(dict.fromkeys(sorted(keys), pl.String) or None) if known else None,
        extra_columns="ignore",
    )
    return _Scan(frame, uuids=columns_of_kind(files[0], "UUID") if seen else ())


def _only(
    frame: pl.LazyFrame, stored: pl.Schema, names: Sequence[str], drops: Drops, schema: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """The rows that lie in the drops, or of which that cannot be told from the stored type."""
    column, declared = drops.column, schema.get(drops.column)
    if declared is None or column not in stored:
        return frame
    check_cuttable(column, declared, drops)
    given, inside = stored[column], pl.lit(False)
    zoned = [bool(getattr(dtype, "time_zone", None)) for dtype in (given, declared)]
    for span in spans(names, drops, declared):
        if given == pl.Datetime and declared == pl.Datetime and zoned[0] == zoned[1]:
            inside |= _between(pl.col(column), span, lambda moment: pl.lit(moment).cast(given))
        elif given == pl.Date and declared == pl.Date:
            inside |= _between(pl.col(column), span, lambda moment: pl.lit(moment.date()))
        elif given == pl.String and declared == pl.Date:
            inside |= _between(pl.col(column), span, lambda moment: pl.lit(moment.date().isoformat()))
            inside |= ~pl.col(column).str.contains(_ISO_DAY)
        else:
            return frame
    return frame.filter(inside | pl.col(column).is_null())


def _between(value: pl.Expr, span: Span, literal) -> pl.Expr:
    return (value >= literal(span.lower)) & (value < literal(span.upper))


@contextmanager
def _reading(address: str, file_format: str) -> Iterator[None]:
    try:
        yield
    except DeliveryFault:
        raise
    except pl.exceptions.ColumnNotFoundError as error:
        raise _fault("missing column", "a file lacks a column that others have", error) from error
    except pl.exceptions.SchemaError as error:
        raise _fault("wrong type", "the files differ in their types", error) from error
    except pl.exceptions.PolarsError as error:
        what = "Delta table" if file_format == "delta" else "Parquet file"
        raise _fault("unparsable", f"no readable {what}", error) from error
    except pl.exceptions.PanicException as error:  # derives from BaseException
        raise _fault("unparsable", "it has a column of a type that Polars cannot read", error) from error
    except Exception as error:  # deltalake and object stores have exceptions of their own
        reason = " ".join(str(error).split())
        raise DeliveryFault(
            "unreachable",
            f"{address} cannot be read ({type(error).__name__}: {reason})",
            "check the address, the network and the credentials",
        ) from error


def _fault(kind, detail: str, error: Exception) -> DeliveryFault:
    return DeliveryFault(kind, f"{detail} ({str(error).splitlines()[0]})", "have it delivered again")
