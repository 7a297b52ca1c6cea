"""Parquet files and Delta tables: only the columns and the drops that are asked for are read."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from ml_assets.sources.cut import Span, check_cuttable, drop_names, period_starts, spans
from ml_assets.sources.errors import DeliveryFault, check_columns
from ml_assets.sources.fetch import fetch, parquet_files
from ml_assets.sources.spec import Drops, SourceSpec

_ISO_DAY = r"^\d{4}-\d{2}-\d{2}$"


def load_scanned(
    address: str,
    spec: SourceSpec,
    names: Sequence[str] | None,
    schema: Mapping[str, pl.DataType],
    columns: list[str],
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """`delivery.load` of a Parquet file, a folder of them or a Delta table.

    Hive partitions are columns of texts. The rows of a Delta table come in any order.
    """
    with _reading(address, spec.format):
        frame = _scan_delta(address) if spec.format == "delta" else _scan_parquet(address)
        stored = frame.collect_schema()
        extra = check_columns(columns, stored.names())
        if names is not None and spec.drops.column not in spec.columns:
            frame = _only(frame, stored, names, spec.drops, schema)
        return frame.select(columns).collect(), extra


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

    if not DeltaTable.is_deltatable(address):
        raise DeliveryFault("missing file", f"there is no Delta table {address}", "deliver it or change `where`")
    return pl.scan_delta(address)


def _scan_parquet(address: str) -> pl.LazyFrame:
    paths, known = parquet_files(address)
    if not paths:
        raise DeliveryFault("missing file", f"there is no file {address}", "deliver it or change `where`")
    if not known:  # Polars does not speak the protocol
        return pl.scan_parquet([io.BytesIO(fetch(path)) for path in paths], extra_columns="ignore")
    keys = {part.partition("=")[0] for path in paths for part in path.split("/")[:-1] if "=" in part}
    return pl.scan_parquet(
        paths,
        glob=False,
        hive_partitioning=bool(keys),
        # As texts, to be parsed as the contract says: a guess would make the store "007" a number.
        hive_schema=dict.fromkeys(sorted(keys), pl.String) or None,
        extra_columns="ignore",
    )


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
    except Exception as error:  # deltalake and object stores have exceptions of their own
        reason = " ".join(str(error).split())
        raise DeliveryFault(
            "unreachable",
            f"{address} cannot be read ({type(error).__name__}: {reason})",
            "check the address, the network and the credentials",
        ) from error


def _fault(kind, detail: str, error: Exception) -> DeliveryFault:
    return DeliveryFault(kind, f"{detail} ({str(error).splitlines()[0]})", "have it delivered again")
