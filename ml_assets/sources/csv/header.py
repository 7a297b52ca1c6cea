"""The first lines of a CSV file: its text, its line ends, and its header."""

import csv
import io
from itertools import islice

from ml_assets.sources.csv.dialect import CsvDialect, undecodable
from ml_assets.sources.csv.fields import unparsable
from ml_assets.sources.errors import DeliveryFault

_HEADER_BYTES = 1 << 20


def start_of(data: bytes, dialect: CsvDialect) -> str:
    """Return the first megabyte, up to the end of a line, as text."""
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


def line_end_of(text: str, quote: str) -> str:
    """Return CR where the first line ends with it alone, else LF, also for CR LF."""
    outside = text if not quote else "".join(text.split(quote)[::2])
    first = next((place for place, letter in enumerate(outside) if letter in "\r\n"), None)
    if first is None or outside[first] == "\n" or outside[first + 1 : first + 2] == "\n":
        return "\n"
    return "\r"


def first_records(text: str, line_end: str, dialect: CsvDialect, headless: bool) -> tuple[int, list[list[str]]]:
    """Return how many lines come before the rows; and the first two records, as far as there are such."""
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
            raise unparsable(f"the header cannot be read ({error})") from error
    return skipped + (0 if headless else header_lines), records
