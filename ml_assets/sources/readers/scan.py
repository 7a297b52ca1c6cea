"""Scans of Parquet files and Delta tables: only the columns and the drops that are requested are read."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.sources.delivery.request import LoadRequest, SampledRows, Table
from ml_assets.sources.drops.cut import Span, check_cuttable, spans
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault, Kind, check_columns
from ml_assets.sources.values.exact import zone_of
from ml_assets.sources.values.parquet_types import plain_frame, text_of_uuid

_ISO_DAY = r"^\d{4}-\d{2}-\d{2}$"


@dataclass(frozen=True)
class Scan:
    """A table to read.

    Attributes:
        frame: its columns, or those that were requested.
        names: all columns, where `frame` has not all of them.
        uuids: columns of sixteen bytes that are UUIDs.
    """

    frame: pl.LazyFrame
    names: list[str] | None = None
    uuids: Sequence[str] = ()


def collect(scan: Scan, request: LoadRequest, optional: Collection[str]) -> Table:
    """Return the requested columns, without `optional` ones that are not there, of the requested drops.

    Hive partitions are columns of texts. The rows of a Delta table come in any order.

    Raises:
        DeliveryFault: a column is not there.
    """
    frame, drops = scan.frame, request.spec.drops
    stored = frame.collect_schema()
    delivered = scan.names or stored.names()
    extra = check_columns(request.columns, delivered, optional)
    columns = [name for name in request.columns if name in delivered]
    if request.cut is not None and drops.column not in request.spec.columns:
        frame = _only(frame, stored, request.cut, drops, request.schema)
    table = plain_frame(frame.select(columns).collect())
    return table.with_columns(text_of_uuid(table[name]) for name in columns if name in scan.uuids), extra


def in_parts(scan: Scan, rows: int) -> Iterator[SampledRows]:
    """Yield all columns of a table, so many rows at a time; of one without rows an empty part."""
    empty = True
    for part in scan.frame.collect_batches(chunk_size=rows, maintain_order=True):
        table = plain_frame(part)
        yield SampledRows([table.with_columns(text_of_uuid(table[name]) for name in scan.uuids)])
        empty = False
    if empty:
        yield SampledRows([plain_frame(pl.DataFrame(schema=scan.frame.collect_schema()))])


def _only(
    frame: pl.LazyFrame, stored: pl.Schema, names: Sequence[str], drops: Drops, schema: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """Return the rows that lie in the drops, or whose drop the stored type does not reveal."""
    column, declared = drops.cut_column, schema.get(drops.cut_column)
    if declared is None or column not in stored:
        return frame
    check_cuttable(column, declared, drops)
    given, inside = stored[column], pl.lit(False)
    zoned = [zone_of(dtype) is not None for dtype in (given, declared)]
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


def _between(value: pl.Expr, span: Span, literal: Callable[[datetime], pl.Expr]) -> pl.Expr:
    inside = value >= literal(span.lower)
    return inside if span.upper is None else inside & (value < literal(span.upper))


@contextmanager
def reading(address: str, what: str) -> Iterator[None]:
    """Raise DeliveryFault for any error inside.

    Args:
        what: the kind of thing that lies at the address, such as "Parquet file".
    """
    try:
        yield
    except DeliveryFault:
        raise
    except pl.exceptions.ColumnNotFoundError as error:
        raise _fault("missing column", "a file lacks a column that others have", error) from error
    except pl.exceptions.SchemaError as error:
        raise _fault("wrong type", "the files differ in their types", error) from error
    except pl.exceptions.PolarsError as error:
        raise _fault("unparsable", f"no readable {what}", error) from error
    except pl.exceptions.PanicException as error:  # pyright: ignore[reportUnusedExcept] - derives from BaseException
        raise _fault("unparsable", "it has a column of a type that Polars cannot read", error) from error
    except Exception as error:  # deltalake and object stores have exceptions of their own
        reason = " ".join(str(error).split())
        raise DeliveryFault(
            "unreachable",
            f"{address} cannot be read ({type(error).__name__}: {reason})",
            "check the address, the network and the credentials",
        ) from error


def _fault(kind: Kind, detail: str, error: BaseException) -> DeliveryFault:
    return DeliveryFault(kind, f"{detail} ({str(error).splitlines()[0]})", "have it delivered again")
