"""What Polars does not know of Parquet: INTERVAL, for which it reads no column of the file at all, and UUID."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from polars.datatypes import BaseExtension

from ml_assets.sources.errors import DeliveryFault

_UUID = r"(.{8})(.{4})(.{4})(.{4})(.{12})"
_MILLISECONDS_A_DAY = 86_400_000


def columns_of_kind(file: Any, kind: str) -> list[str]:
    """Return the top-level columns of a Parquet file (a path or its bytes) of a logical type, INTERVAL or UUID.

    Of a file that is none there are none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.ParquetFile(_opened(file)).schema
    except pa.ArrowInvalid:
        return []
    columns = (schema.column(place) for place in range(len(schema)))
    return [column.path for column in columns if _kind(column) == kind]


def read_around_intervals(files: Sequence[Any], columns: list[str] | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Return the columns (None: all) of files that have an INTERVAL, and the names of all columns of the first.

    Raises:
        DeliveryFault: a requested INTERVAL has months, which differ in length.
    """
    import pyarrow.parquet as pq

    names = pq.read_schema(_opened(files[0])).names
    requested = names if columns is None else [name for name in columns if name in names]
    return pl.concat(list(_frames(files, requested)), how="vertical_relaxed"), names


def plain_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame without labels on what its values mean, such as that a text is JSON or a number."""
    labelled = [name for name, dtype in frame.schema.items() if isinstance(dtype, BaseExtension)]
    return frame.with_columns(pl.col(labelled).ext.storage()) if labelled else frame


def text_of_uuid(values: pl.Series) -> pl.Series:
    """Return sixteen bytes each as the text that everybody writes, such as 123e4567-e89b-12d3-a456-426655440000."""
    return values.bin.encode("hex").str.replace(f"^{_UUID}$", "$1-$2-$3-$4-$5")


def _opened(file: Any) -> Any:
    return io.BytesIO(file) if isinstance(file, bytes) else file


def _kind(column: Any) -> str:
    return column.converted_type if column.converted_type == "INTERVAL" else str(column.logical_type).upper()


def _frames(files: Sequence[Any], columns: list[str]) -> Iterator[pl.DataFrame]:
    import pyarrow.parquet as pq

    for file in files:
        table, intervals = pq.read_table(_opened(file), columns=columns), columns_of_kind(file, "INTERVAL")
        frame = plain_frame(pl.DataFrame(pl.from_arrow(table)))
        yield frame.with_columns(_durations(frame[name]) for name in columns if name in intervals)


def _durations(intervals: pl.Series) -> pl.Series:
    """Return months, days and milliseconds, three little-endian numbers of four bytes each, as a Duration."""
    present = intervals.drop_nulls()
    numbers = np.frombuffer(b"".join(present.to_list()), "<u4").reshape(-1, 3).astype(np.int64)
    if numbers[:, 0].any():
        row = int(np.flatnonzero(intervals.is_not_null().to_numpy())[np.flatnonzero(numbers[:, 0])[0]]) + 1
        raise DeliveryFault(
            "wrong type",
            f"an INTERVAL with months in data row {row} is no Duration, as months differ in length",
            "have days or seconds delivered",
            column=intervals.name,
            row=row,
        )
    milliseconds = numbers[:, 1] * _MILLISECONDS_A_DAY + numbers[:, 2]
    full = np.zeros(len(intervals), np.int64)
    full[intervals.is_not_null().to_numpy()] = milliseconds * 1_000
    durations = pl.Series(intervals.name, full).cast(pl.Duration("us"))
    return durations.set(intervals.is_null(), None)
