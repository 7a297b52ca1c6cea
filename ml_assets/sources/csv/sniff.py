"""How a CSV file is written, inferred from its bytes: DuckDB's sniffer, and what the reader then makes of it."""

import codecs
import re
import tempfile
from pathlib import Path

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.text import open_csv
from ml_assets.sources.errors import DeliveryFault

_SNIFFED_BYTES = 1 << 20
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_EMPTY = "(empty)"
_NAMED = re.compile(rb"sep=([,;\t|])\r?[\n\r]", re.IGNORECASE)


def sniff_dialect(data: bytes) -> CsvDialect:
    """Infer the dialect of a file, but for how numbers and booleans are written.

    Of what DuckDB finds, RFC 4180, and the usual delimiters with backslashes, the first is taken by which the file can
    be read, with more than one column if there is such; if by none, RFC 4180, by which the reader says what is wrong.
    """
    encoding = encoding_of(data)
    plain = CsvDialect(encoding=encoding)
    try:
        text = plain.decode(data)
    except DeliveryFault:
        return plain
    if named := _NAMED.match(text):  # a line that spreadsheets write and understand
        return CsvDialect(encoding=encoding, delimiter=named[1].decode(), skip_lines=1)
    others = [
        plain.model_copy(update={"delimiter": sign, "escape": escape}) for escape in ("", "\\") for sign in ";\t|,"
    ]
    candidates = [*_sniffed(text, plain), plain, *others, plain.model_copy(update={"quote": ""})]
    sizes = {place: size for place, candidate in enumerate(candidates) if (size := _size(data, candidate)) != (0, 0)}
    if not sizes:
        return plain
    best = next((place for place, (columns, _) in sizes.items() if columns > 1), min(sizes))
    if candidates[best].quote not in ('"', ""):  # an apostrophe may be one, and swallow lines up to the next
        usual = candidates[best].model_copy(update={"quote": '"'})
        return usual if _size(data, usual)[1] > sizes[best][1] else candidates[best]
    return candidates[best]


def describe_dialect(dialect: CsvDialect) -> str:
    """Describe what was inferred, for a comment; empty where the file follows RFC 4180."""
    differences = dialect.model_dump(exclude_defaults=True)
    if not differences:
        return ""
    assumed = ""
    if dialect.encoding == "cp1252":
        assumed = " The bytes are no UTF-8: the encoding of Western Europe is assumed."
    return f"Told from the sample: {', '.join(differences)}.{assumed}"


def encoding_of(data: bytes) -> str:
    """Infer the encoding of a file: what its mark or its zeros say, UTF-8, or one of Western Europe."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    zeros = [data[:1000][start::2].count(0) for start in (0, 1)]
    if max(zeros) > len(data[:1000]) / 4:
        return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        data.decode()
    except UnicodeDecodeError:
        return _single_byte(data)
    return "utf-8"


def _single_byte(data: bytes) -> str:
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"  # has a letter for every byte
    return "cp1252"


def _sniffed(text: bytes, plain: CsvDialect) -> list[CsvDialect]:
    """Return the dialect that DuckDB infers from the first megabyte, or nothing."""
    import duckdb

    start = text[:_SNIFFED_BYTES]
    if len(text) > len(start):
        start = start[: max(start.rfind(b"\n"), start.rfind(b"\r")) + 1] or start
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "sample.csv"
        file.write_bytes(start)
        try:
            sniffed = connection.execute(
                "SELECT Delimiter, Quote, Escape, SkipRows FROM sniff_csv(?, all_varchar = true, header = true)",
                [str(file)],
            ).fetchone()
        except duckdb.Error:
            return []
    if sniffed is None:
        return []
    delimiter, quote, escape, skip = sniffed
    fields = {"delimiter": delimiter, "skip_lines": skip, "quote": '"' if quote == _EMPTY else quote}  # none was seen
    fields["escape"] = "" if escape in (_EMPTY, quote) else escape
    try:
        return [CsvDialect(**plain.model_dump() | fields)]
    except ValueError:
        return []


def _size(data: bytes, dialect: CsvDialect) -> tuple[int, int]:
    """Return how many columns and rows the file has by this dialect; 0 and 0 if it cannot be read by it."""
    try:
        file = open_csv(data, dialect)
        return len(file.names), file.read(file.names[:1]).height
    except DeliveryFault:
        return 0, 0
