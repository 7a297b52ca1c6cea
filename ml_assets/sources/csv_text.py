"""CSV bytes as a table of texts: nothing is interpreted yet, but every row must have every field."""

import csv
import io

import numpy as np
import polars as pl

from ml_assets.sources.errors import DeliveryFault

_HEADER_BYTES = 1 << 20


def header(data: bytes) -> list[str]:
    """Column names in the first line.

    Raises:
        DeliveryFault: the file is empty, is not UTF-8, or names a column twice.
    """
    if not data or data.isspace():
        raise DeliveryFault("empty drop", "the file is empty", "have it delivered again")
    start = data[:_HEADER_BYTES].removeprefix(b"\xef\xbb\xbf")
    try:
        text = start[: start.rfind(b"\n") + 1 or len(start)].decode()
    except UnicodeDecodeError as error:
        raise _undecodable(data) from error
    names = next(csv.reader(io.StringIO(text)))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeliveryFault("unparsable", f"the header names {', '.join(twice)} more than once", "rename the columns")
    return names


def read_text(data: bytes, columns: list[str], null_values: list[str]) -> pl.DataFrame:
    """The given columns of every row, all String; an empty field and any of `null_values` is null.

    The file must follow RFC 4180: comma, double quotes, one header line, UTF-8.

    Raises:
        DeliveryFault: bytes that are no UTF-8, or rows with too many or too few fields.
    """
    width = len(header(data))
    if width > 1 and data.endswith((b"\n\n", b"\n\r\n")):
        data = data.rstrip(b"\r\n") + b"\n"  # blank lines at the end are no rows
    try:
        table = pl.read_csv(data, columns=columns, infer_schema=False, null_values=null_values)
    except pl.exceptions.PolarsError as error:
        raise _undecodable(data) or _uneven(data, width) or _unparsable(str(error)) from error
    # Polars fills short rows with nulls, so a file cut off in the middle of a line would pass.
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if width > 1 and (b'"' in data or data.count(b",") != lines * (width - 1)):
        fault = _uneven(data, width)
        if fault:
            raise fault
    return table.select(columns)


def _undecodable(data: bytes) -> DeliveryFault | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return DeliveryFault(
            "undecodable bytes",
            f"byte 0x{data[error.start]:02x} at offset {error.start} (line {line}) is no UTF-8",
            "have the file delivered as UTF-8",
        )
    return None


def _uneven(data: bytes, width: int) -> DeliveryFault | None:
    """The first row whose number of fields is not `width`; a quoted comma or line end counts for nothing."""
    if data.count(b'"') % 2:
        return _unparsable("a quoted field is opened and never closed")
    if not data.endswith(b"\n"):
        data += b"\n"
    letters = np.frombuffer(data, dtype=np.uint8)
    outside = ~np.bitwise_xor.accumulate(letters == ord('"'))
    line_ends = np.flatnonzero((letters == ord("\n")) & outside)
    commas = np.flatnonzero((letters == ord(",")) & outside)
    fields = np.diff(np.searchsorted(commas, line_ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != width)
    if wrong.size == 0:
        return None
    row = int(wrong[0])
    return _unparsable(f"data row {row} has {fields[row]} fields where the header has {width}")


def _unparsable(reason: str) -> DeliveryFault:
    return DeliveryFault("unparsable", reason.splitlines()[0], "correct the delivered file")
