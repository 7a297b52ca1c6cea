"""How many fields each row of a CSV file has, and which row is the first that has others than the header."""

import numpy as np

from ml_assets.sources.csv.dialect import CsvDialect, undecodable
from ml_assets.sources.errors import DeliveryFault

_CORRECT = "correct the delivered file"


def first_wrong_row(
    data: bytes, dialect: CsvDialect, line_end: str, header_lines: int, names: int, width: int
) -> DeliveryFault | None:
    """Return the fault of the first row whose number of fields is not `width`, or with a quote where none can be.

    A quoted delimiter or line end counts for nothing.
    """
    delimiter, quote, end = (ord(sign or "\0") for sign in (dialect.delimiter, dialect.quote, line_end))
    if not data.endswith(line_end.encode()):
        data += line_end.encode()
    letters = np.frombuffer(data, dtype=np.uint8)
    # Lines before the rows are not looked at; they hold the header, which has been read.
    begin = 0
    if header_lines:
        begin = int(np.flatnonzero(letters == end)[header_lines - 1]) + 1
    letters = letters[begin:]
    quotes = letters == quote if dialect.quote else np.zeros(letters.size, dtype=bool)
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
        return unparsable("a quoted field is opened and never closed")
    delimiters = np.flatnonzero((letters == delimiter) & ~inside)
    fields = np.diff(np.searchsorted(delimiters, line_ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != width)
    if wrong.size == 0:
        return None
    row = int(wrong[0])
    return unparsable(f"data row {row + 1} has {fields[row]} fields where the header has {names}")


def _stray_quote(letters: np.ndarray, quotes: np.ndarray, inside: np.ndarray, borders: tuple[int, int]) -> int | None:
    """Return the place of the first quote that changes the fields and neither begins nor ends one nor is doubled.

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


def not_utf8(data: bytes) -> DeliveryFault | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return undecodable(data, "utf-8", error)
    return None


def unparsable(reason: str) -> DeliveryFault:
    return DeliveryFault("unparsable", reason.splitlines()[0], _CORRECT)
