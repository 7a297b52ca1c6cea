"""Escaped characters of a CSV file, which Polars does not know: each has a stand-in while the file is parsed."""

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.fields import unparsable

# Stand for escaped characters while a file is parsed; no file of ours has any of these.
STAND_INS = "\U000ff0f0\U000ff0f1\U000ff0f2\U000ff0f3\U000ff0f4"


def escapable(dialect: CsvDialect) -> list[str]:
    """Return the characters that may be escaped, the escape itself first, so that of two the second escapes nothing."""
    return [sign for sign in (dialect.escape, dialect.quote, dialect.delimiter, "\n", "\r") if sign]


def without_escapes(data: bytes, dialect: CsvDialect) -> bytes:
    """Replace each escaped character of the file by a stand-in."""
    if any(stand_in.encode() in data for stand_in in STAND_INS):
        raise unparsable("the file holds private characters of Unicode beside escapes")
    for stand_in, sign in zip(STAND_INS, escapable(dialect), strict=False):
        data = data.replace((dialect.escape + sign).encode(), stand_in.encode())
    return data


def restored(names: list[str], dialect: CsvDialect) -> list[str]:
    """Return the names with their escaped characters in place of the stand-ins."""
    table = str.maketrans(dict(zip(STAND_INS, escapable(dialect), strict=False)))
    return [name.translate(table) for name in names] if dialect.escape else names
