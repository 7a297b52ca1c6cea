"""Facts in files and pipes: rows as JSON objects, a batch at a time."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows that follow one another.

    Attributes:
        first: number of the first of them in the file, from 1.
        rows: JSON objects.
    """

    first: int
    rows: list[Row]


def format_of(name: str) -> str:
    """Return the format that a file's ending stands for; raises ValueError for another ending."""
    ending = Path(name).suffix.lower().removeprefix(".")
    known = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "parquet": "parquet", "pq": "parquet"}
    if ending not in known:
        raise ValueError(f"{name}: what it holds is not known by its ending: give --format csv, ndjson or parquet")
    return known[ending]


def read_batches(file: BinaryIO, form: str, size: int, kinds: Mapping[str, str]) -> Iterator[RowBatch]:
    """Read rows in order.

    Args:
        file: for Parquet one that can be sought in.
        form: csv (with a line of names), ndjson or parquet.
        size: rows of a batch.
        kinds: column -> kind of its values, as `request_kind` gives it. In CSV what is empty is null, and what is none
            of its kind stays text, so that the contract refuses it.

    Raises:
        ValueError: there is no such format, a line is no row (the message has its number), or Parquet comes by a pipe.
    """
    if form not in _READERS:
        raise ValueError(f"format {form!r}: it must be one of {', '.join(_READERS)}")
    return _batches(_READERS[form](file, size, kinds), size)


def _batches(rows: Iterator[Row], size: int) -> Iterator[RowBatch]:
    first = 1
    while batch := list(islice(rows, size)):
        yield RowBatch(first, batch)
        first += len(batch)


def _read_ndjson(file: BinaryIO, size: int, kinds: Mapping[str, str]) -> Iterator[Row]:  # noqa: ARG001
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"line {number}: no JSON ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: must be a JSON object with a row's columns")
        yield row


def _read_csv(file: BinaryIO, size: int, kinds: Mapping[str, str]) -> Iterator[Row]:  # noqa: ARG001
    lines = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    try:
        yield from _rows(lines, kinds)
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: no CSV ({error})") from error


def _rows(lines: Any, kinds: Mapping[str, str]) -> Iterator[Row]:
    names = next(lines, [])
    readers = [_CELLS.get(kinds.get(name, ""), str) for name in names]
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(names):
            raise ValueError(f"line {lines.line_num}: {len(cells)} values where the first line names {len(names)}")
        yield {name: _cell(read, text) for name, read, text in zip(names, readers, cells, strict=True)}


def _cell(read: Callable[[str], Any], text: str) -> Any:
    if not text:
        return None
    try:
        return read(text)
    except ValueError:
        return text  # the contract says what is wrong with it


def _integer(text: str) -> int:
    number = int(text)
    if "_" in text or not -(2**63) <= number < 2**64:
        raise ValueError(text)
    return number


def _number(text: str) -> float:
    number = float(text)
    if "_" in text or not math.isfinite(number):
        raise ValueError(text)
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _read_parquet(file: BinaryIO, size: int, kinds: Mapping[str, str]) -> Iterator[Row]:  # noqa: ARG001
    import pyarrow.parquet as pq

    if not file.seekable():
        raise ValueError("a Parquet file cannot be read from a pipe: name the file")
    for batch in pq.ParquetFile(file).iter_batches(batch_size=size):
        yield from _plain(batch.to_pylist())


def _plain(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield orjson.loads(orjson.dumps(row, default=_as_pushed))


def _as_pushed(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return str(value)


_CELLS: dict[str, Callable[[str], Any]] = {"integer": _integer, "number": _number, "boolean": _boolean}

_READERS: dict[str, Callable[[BinaryIO, int, Mapping[str, str]], Iterator[Row]]] = {
    "csv": _read_csv,
    "ndjson": _read_ndjson,
    "parquet": _read_parquet,
}
