"""CSV files some rows at a time: what does not fit into memory is cut where a row ends."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.sniff import encoding_of, sniff_dialect
from ml_assets.sources.csv.text import CsvFile, check_single_column, open_csv
from ml_assets.sources.errors import DeliveryFault

BLOCK = 1 << 24
"""Bytes that are read at a time."""

_SNIFFED = 1 << 18


def read_blocks(stream: BinaryIO, first: bytes, dialect: CsvDialect) -> Iterator[CsvFile]:
    """Yield the file as several, all with the columns of its header, which hold its rows in order.

    A file in an encoding of several bytes a letter, with escapes or aligned columns comes in one piece.

    Args:
        stream: the rest of the file.
        first: its beginning, as many bytes as have been read to infer the dialect from.

    Raises:
        DeliveryFault: the file is empty, or its header cannot be read.
    """
    if not _can_be_cut(dialect):
        yield open_csv(first + stream.read(), dialect)
        return
    names: list[str] = []
    rest, following = first, stream.read(BLOCK)
    while rest or following:
        if following:
            cut = _row_end(rest, dialect)
            block, rest = rest[:cut], rest[cut:] + following
            following = stream.read(BLOCK)
        else:
            block, rest = rest, b""
        if block and not (names and block.isspace()):
            yield (file := _open_block(block, dialect, names))
            names = file.names


def _open_block(block: bytes, dialect: CsvDialect, names: list[str]) -> CsvFile:
    if names:
        return open_csv(block, dialect.model_copy(update={"skip_lines": 0}), names)
    file = open_csv(block, dialect)
    check_single_column(file, ())
    return file


def _can_be_cut(dialect: CsvDialect) -> bool:
    single = codecs.lookup(dialect.encoding).name.startswith(("utf-8", "ascii", "cp125", "iso8859"))
    return single and not dialect.escape and not dialect.aligned


def _row_end(block: bytes, dialect: CsvDialect) -> int:
    """Return the place after the last line end that no quotes surround; 0 where there is none."""
    quote, end = dialect.quote.encode(), len(block)
    marks = block.count(quote) if quote else 0
    while True:
        cut = block.rfind(b"\n", 0, end)
        if cut < 0:
            return 0
        marks -= block.count(quote, cut, end) if quote else 0
        if marks % 2 == 0:
            return cut + 1
        end = cut


def sniff_start(first: bytes) -> CsvDialect:
    """Infer the dialect from the beginning of a file: its encoding by all of it, how it is cut by the first lines."""
    usual = CsvDialect()
    start = first[: _row_end(first[:_SNIFFED], usual) or _SNIFFED] if len(first) > _SNIFFED else first
    dialect = sniff_dialect(start)
    if _is_one_column(start, dialect) and usual.delimiter.encode() in start.partition(b"\n")[0]:
        dialect = usual  # by which the header or a row is wrong, as the reader then says
    return dialect.model_copy(update={"encoding": encoding_of(first[: first.rfind(b"\n") + 1] or first)})


def _is_one_column(start: bytes, dialect: CsvDialect) -> bool:
    try:
        return len(open_csv(start, dialect).names) == 1
    except DeliveryFault:
        return False
