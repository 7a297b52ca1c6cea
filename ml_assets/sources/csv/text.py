"""CSV bytes as a table of texts: nothing is interpreted yet, but every row must have every field."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import polars as pl

from ml_assets.sources.csv.dialect import CsvDialect, undecodable
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import first_true

_HEADER_BYTES = 1 << 20
_OTHER_DELIMITERS = ";,\t|"
_CORRECT = "correct the delivered file"
# Stand for escaped characters while a file is parsed; no file of ours has any of these.
_STAND_INS = "\U000ff0f0\U000ff0f1\U000ff0f2\U000ff0f3\U000ff0f4"


@dataclass(frozen=True)
class CsvFile:
    """A delivered file: the names of its columns, and its bytes in UTF-8.

    Attributes:
        names: in the header's order. A column without a name bears its place, such as `column_1`.
        unnamed: those of them to which the header gives none.
        width: how many fields a row has: one more than names where every line ends with a delimiter.
    """

    names: list[str]
    unnamed: tuple[str, ...]
    width: int
    _data: bytes
    _header_lines: int
    _header_delimiters: int
    _line_end: str
    _dialect: CsvDialect

    def read(self, columns: Sequence[str], null_values: Sequence[str] = ()) -> pl.DataFrame:
        """The given columns of every row, all String; an empty field and any of `null_values` is null.

        Raises:
            DeliveryFault: bytes that are no UTF-8, or rows with too many or too few fields, or quotes astray.
        """
        data, end = self._data, self._line_end.encode()
        if self.width > 1 and data.endswith((end + end, b"\n\r\n")):
            data = data.rstrip(b"\r\n") + end  # blank lines at the end are no rows
        empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        if data.count(end) + (not data.endswith(end)) <= self._header_lines:
            return empty
        places = sorted({self.names.index(name) for name in columns} | set(range(len(self.names), self.width)))
        try:
            table = pl.read_csv(
                data,
                has_header=False,
                skip_lines=self._header_lines,
                schema={str(place): pl.String for place in range(self.width)},
                columns=places,
                separator=self._dialect.delimiter,
                quote_char=self._dialect.quote or None,
                eol_char=self._line_end,
                null_values=[] if self._dialect.escape else list(null_values),
                raise_if_empty=False,
            )
        except pl.exceptions.PolarsError as error:
            raise _not_utf8(data) or self._astray(data) or _unparsable(str(error)) from error
        self._check_rows(data)
        for place in range(len(self.names), self.width):
            filled = table[str(place)].is_not_null()
            if filled.any():
                row = first_true(filled) + 1
                raise _unparsable(f"data row {row} has {self.width} fields where the header has {len(self.names)}")
        table = table.select(pl.col(str(self.names.index(name))).alias(name) for name in columns)
        return self._unescaped(table, list(null_values)) if self._dialect.escape else table

    def _check_rows(self, data: bytes) -> None:
        """Polars fills short rows with nulls, so a file cut off in the middle of a line would pass."""
        delimiter, quote, end = (
            sign.encode() for sign in (self._dialect.delimiter, self._dialect.quote, self._line_end)
        )
        quoted = bool(quote) and quote in data
        if not quoted and self.width == 1:
            return
        if not quoted:
            rows = data.count(end) + (not data.endswith(end)) - self._header_lines
            if data.count(delimiter) - self._header_delimiters == rows * (self.width - 1):
                return
        fault = self._astray(data)
        if fault:
            raise fault

    def _astray(self, data: bytes) -> DeliveryFault | None:
        """The first row whose number of fields is not `width`, or with a quote where none can be.

        A quoted delimiter or line end counts for nothing.
        """
        delimiter, quote, end = (
            ord(sign or "\0") for sign in (self._dialect.delimiter, self._dialect.quote, self._line_end)
        )
        if not data.endswith(self._line_end.encode()):
            data += self._line_end.encode()
        letters = np.frombuffer(data, dtype=np.uint8)
        # Lines before the rows are not looked at; they hold the header, which has been read.
        begin = 0
        if self._header_lines:
            begin = int(np.flatnonzero(letters == end)[self._header_lines - 1]) + 1
        letters = letters[begin:]
        quotes = letters == quote if self._dialect.quote else np.zeros(letters.size, dtype=bool)
        inside = np.bitwise_xor.accumulate(quotes)
        line_ends = np.flatnonzero((letters == end) & ~inside)
        stray = _stray_quote(letters, quotes, inside, (delimiter, end))
        if stray is not None:
            row = int(np.searchsorted(line_ends, stray)) + 1
            return DeliveryFault(
                "unparsable",
                f"data row {row} has a quote inside of a field",
                "correct the delivered file, or declare how it is written: `csv.escape`, `csv.quote`",
            )
        if inside.size and inside[-1]:
            return _unparsable("a quoted field is opened and never closed")
        delimiters = np.flatnonzero((letters == delimiter) & ~inside)
        fields = np.diff(np.searchsorted(delimiters, line_ends), prepend=0) + 1
        wrong = np.flatnonzero(fields != self.width)
        if wrong.size == 0:
            return None
        row = int(wrong[0])
        return _unparsable(f"data row {row + 1} has {fields[row]} fields where the header has {len(self.names)}")

    def _unescaped(self, table: pl.DataFrame, null_values: list[str]) -> pl.DataFrame:
        signs = _escapable(self._dialect)
        table = table.with_columns(pl.all().str.replace_many(list(_STAND_INS[: len(signs)]), signs))
        return table.with_columns(pl.when(~pl.all().is_in(null_values)).then(pl.all()))


def open_csv(data: bytes, dialect: CsvDialect | None = None, header: Sequence[str] = ()) -> CsvFile:
    """The file with its columns.

    Args:
        dialect: how it is written, by default as RFC 4180 says, in UTF-8.
        header: names of the columns, where the file has none.

    Raises:
        DeliveryFault: the file is empty, is not in the dialect's encoding, or names a column twice.
    """
    dialect = dialect or CsvDialect()
    if not data or data.isspace():
        raise DeliveryFault("empty drop", "the file is empty", "have it delivered again")
    data = dialect.decode(data)
    if dialect.escape:
        data = _without_escapes(data, dialect)
    start = _start(data, dialect)
    line_end = _line_end(start, dialect.quote)
    lines, records = _first_records(start, line_end, dialect, bool(header))
    if not header and not records:
        raise DeliveryFault("empty drop", "the file has no header line", "have it delivered again")
    names = list(header) or _restored(records[0], dialect) or [""]
    first = next(iter(records[0 if header else 1 :]), None)
    if not header and names[-1] == "" and first and len(first) == len(names) - 1:
        names = names[:-1]  # the header alone ends with a delimiter
    surplus = first is not None and len(names) > 1 and len(first) == len(names) + 1 and first[-1] == ""
    unnamed = tuple(f"column_{place}" for place, name in enumerate(names, 1) if not name)
    names = [name or f"column_{place}" for place, name in enumerate(names, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeliveryFault("unparsable", f"the header names {', '.join(twice)} more than once", "rename the columns")
    delimiters = sum(line.count(dialect.delimiter) for line in islice(io.StringIO(start, newline=line_end), lines))
    return CsvFile(names, unnamed, len(names) + surplus, data, lines, delimiters, line_end, dialect)


def check_one_column(file: CsvFile, columns: Iterable[str]) -> None:
    """Raise DeliveryFault where the file was read as one column and obviously is none, unless it is in `columns`."""
    if len(file.names) > 1 or file.names[0] in set(columns):
        return
    for other in _OTHER_DELIMITERS:
        if other in file.names[0]:
            raise DeliveryFault(
                "unparsable",
                f"the header is one field, {file.names[0][:100]!r}",
                f"declare the character between its fields, such as `csv.delimiter: {json.dumps(other)}`",
            )


def _start(data: bytes, dialect: CsvDialect) -> str:
    """The first megabyte, up to the end of a line, as text."""
    start = data[:_HEADER_BYTES]
    if len(data) > _HEADER_BYTES:
        cut = max(start.rfind(b"\n"), start.rfind(b"\r")) + 1
        start = start[:cut] if cut else start
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        raise undecodable(data, dialect.encoding, error) from error
    if "\0" in text[:1000]:
        raise DeliveryFault(
            "undecodable bytes",
            "the file begins with zero bytes, as UTF-16 without a mark does",
            "declare its `csv.encoding`, such as utf-16-le, or have it delivered as UTF-8",
        )
    return text


def _line_end(text: str, quote: str) -> str:
    """CR where the first line ends with it alone, else LF, also for CR LF."""
    outside = text if not quote else "".join(text.split(quote)[::2])
    first = next((place for place, letter in enumerate(outside) if letter in "\r\n"), None)
    if first is None or outside[first] == "\n" or outside[first + 1 : first + 2] == "\n":
        return "\n"
    return "\r"


def _first_records(text: str, line_end: str, dialect: CsvDialect, headless: bool) -> tuple[int, list[list[str]]]:
    """How many lines come before the rows; and the first two records, as far as there are such."""
    lines = io.StringIO(text, newline=line_end)
    skipped = sum(1 for _ in islice(lines, dialect.skip_lines))
    quoting = csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE
    reader = csv.reader(
        lines, delimiter=dialect.delimiter, strict=True, quotechar=dialect.quote or None, quoting=quoting
    )
    records: list[list[str]] = []
    header_lines = 0
    try:
        for record in islice(reader, 2):
            header_lines = header_lines or reader.line_num
            records.append(record)
    except csv.Error as error:
        if not records and not headless:
            raise _unparsable(f"the header cannot be read ({error})") from error
    return skipped + (0 if headless else header_lines), records


def _escapable(dialect: CsvDialect) -> list[str]:
    """What an escape may stand before; itself first, so that of two the second escapes nothing."""
    return [sign for sign in (dialect.escape, dialect.quote, dialect.delimiter, "\n", "\r") if sign]


def _without_escapes(data: bytes, dialect: CsvDialect) -> bytes:
    """The file with a stand-in for each escaped character."""
    if any(stand_in.encode() in data for stand_in in _STAND_INS):
        raise _unparsable("the file holds private characters of Unicode beside escapes")
    for stand_in, sign in zip(_STAND_INS, _escapable(dialect), strict=False):
        data = data.replace((dialect.escape + sign).encode(), stand_in.encode())
    return data


def _restored(names: list[str], dialect: CsvDialect) -> list[str]:
    table = str.maketrans(dict(zip(_STAND_INS, _escapable(dialect), strict=False)))
    return [name.translate(table) for name in names] if dialect.escape else names


def _stray_quote(letters: np.ndarray, quotes: np.ndarray, inside: np.ndarray, borders: tuple[int, int]) -> int | None:
    """Place of the first quote that neither begins nor ends a field nor is doubled, where that changes the fields.

    In a field that does not begin with a quote they are letters, as long as they hold no delimiter or line end.
    """
    places = np.flatnonzero(quotes)
    closes = places[~inside[places]]
    opens = places[inside[places]][: closes.size]
    if closes.size == 0:
        return None
    border = (letters == borders[0]) | (letters == borders[1])
    doubled = np.append(False, opens[1:] == closes[:-1] + 1)
    begins = ~doubled
    field = np.cumsum(begins) - 1
    proper = ((opens == 0) | border[opens - 1])[begins][field]
    last = np.append(~doubled[1:], True)
    after = np.minimum(closes + 1, letters.size - 1)
    crlf = (letters[after] == ord("\r")) & (letters[np.minimum(after + 1, letters.size - 1)] == borders[1])
    holds = np.diff(np.searchsorted(np.flatnonzero(border), np.column_stack([opens, closes])), axis=1)[:, 0] > 0
    wrong = np.where(proper, last & ~border[after] & ~crlf, holds)
    return int(closes[wrong.argmax()]) if wrong.any() else None


def _not_utf8(data: bytes) -> DeliveryFault | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return undecodable(data, "utf-8", error)
    return None


def _unparsable(reason: str) -> DeliveryFault:
    return DeliveryFault("unparsable", reason.splitlines()[0], _CORRECT)
