"""CSV bytes as a table of texts: nothing is interpreted yet, but every row must have every field."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import polars as pl

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.escapes import STAND_INS, escapable, restored, without_escapes
from ml_assets.sources.csv.fields import first_wrong_row, not_utf8, unparsable
from ml_assets.sources.csv.header import first_records, line_end_of, start_of
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.values.exact import first_true

_OTHER_DELIMITERS = ";,\t|"


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
        """Return the given columns of every row, all String; an empty field and any of `null_values` is null.

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
            raise not_utf8(data) or self._first_wrong_row(data) or unparsable(str(error)) from error
        self._check_rows(data)
        for place in range(len(self.names), self.width):
            filled = table[str(place)].is_not_null()
            if filled.any():
                row = first_true(filled) + 1
                raise unparsable(f"data row {row} has {self.width} fields where the header has {len(self.names)}")
        table = table.select(pl.col(str(self.names.index(name))).alias(name) for name in columns)
        return self._unescaped(table, list(null_values)) if self._dialect.escape else table

    def _check_rows(self, data: bytes) -> None:
        """Refuse rows that are too short: Polars fills them with nulls, so a file cut off within a line would pass."""
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
        fault = self._first_wrong_row(data)
        if fault:
            raise fault

    def _first_wrong_row(self, data: bytes) -> DeliveryFault | None:
        return first_wrong_row(data, self._dialect, self._line_end, self._header_lines, len(self.names), self.width)

    def _unescaped(self, table: pl.DataFrame, null_values: list[str]) -> pl.DataFrame:
        signs = escapable(self._dialect)
        table = table.with_columns(pl.all().str.replace_many(list(STAND_INS[: len(signs)]), signs))
        return table.with_columns(pl.when(~pl.all().is_in(null_values)).then(pl.all()))


def open_csv(data: bytes, dialect: CsvDialect | None = None, header: Sequence[str] = ()) -> CsvFile:
    """Return the file with its columns.

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
    if dialect.aligned:
        data = dialect.without_alignment(data)
    if dialect.escape:
        data = without_escapes(data, dialect)
    start = start_of(data, dialect)
    line_end = line_end_of(start, dialect.quote)
    lines, records = first_records(start, line_end, dialect, bool(header))
    if not header and not records:
        raise DeliveryFault("empty drop", "the file has no header line", "have it delivered again")
    names = list(header) or restored(records[0], dialect) or [""]
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


def check_single_column(file: CsvFile, columns: Iterable[str]) -> None:
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
