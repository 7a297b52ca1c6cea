"""How a CSV file is written: what its author declares, or a sample tells."""

import codecs
import re
from typing import Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.sources.errors import DeliveryFault

_SINGLE_CHARACTER = 'one character of ASCII such as ";"'
_BLANKS = "\u00a0\u202f"
"""No-break spaces, which writers put between thousands where `thousands` says a space."""

_TRUTH = {"1.0": "true", "0.0": "false"}


class CsvDialect(BaseModel):
    """How a CSV file is written. The default is RFC 4180 in UTF-8; a byte order mark and the line ends (LF, CR LF or
    CR) are noticed by themselves."""

    model_config = ConfigDict(extra="forbid")

    delimiter: str = Field(default=",", description='Character between two fields; "\\t" for a tab.')
    quote: str = Field(
        default='"', description="Character around a field that holds a delimiter or a line end; empty for none."
    )
    escape: str = Field(
        default="",
        description="Character before a quote, a delimiter, a line end or itself inside of a field, such as a "
        "backslash; empty where a quote is doubled instead.",
    )
    aligned: bool = Field(
        default=False,
        description="Whether the columns are lined up: several delimiters in a row are one, and those at the beginning "
        "or the end of a line none. It needs `quote: ''`, and no value may be missing.",
    )
    encoding: str = Field(
        default="utf-8", description="Encoding of the texts, by Python's name, such as cp1252, latin-1 or utf-16."
    )
    skip_lines: int = Field(default=0, description="Lines before the header, or before the rows where `header` is set.")
    decimal: str = Field(default=".", description="Character before the decimals of a number.")
    thousands: str = Field(
        default="", description="Character between the thousands of a number; empty for none. A space stands for all."
    )
    true_values: list[str] = Field(
        default_factory=list, description="Texts that mean true, besides true and 1; upper and lower case are the same."
    )
    false_values: list[str] = Field(default_factory=list, description="Texts that mean false, besides false and 0.")

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        for field in ("delimiter", "quote", "escape"):
            given = getattr(self, field)
            if (given or field == "delimiter") and not (len(given) == 1 and given.isascii() and given not in "\n\r\0"):
                raise ValueError(f"{field}: {given!r} must be {_SINGLE_CHARACTER}")
        signs = [sign for sign in (self.delimiter, self.quote, self.escape) if sign]
        if len(set(signs)) < len(signs):
            raise ValueError("delimiter, quote and escape must differ; leave `escape` out where quotes are doubled")
        if self.aligned and (self.quote or self.escape):
            raise ValueError("aligned: columns that are lined up have neither quotes nor escapes: declare `quote: ''`")
        if self.skip_lines < 0:
            raise ValueError(f"skip_lines: {self.skip_lines} must be 0 or more")
        if len(self.decimal) != 1 or len(self.thousands) > 1 or self.decimal == self.thousands:
            raise ValueError("decimal and thousands: give one character each, and not the same")
        if re.search(r"[\w+-]", self.decimal + self.thousands):
            raise ValueError("decimal and thousands: a letter, a digit or a sign cannot be told from the number")
        both = {text.lower() for text in self.true_values} & {text.lower() for text in self.false_values}
        if both:
            raise ValueError(f"false_values: {min(both)!r} is in true_values too")
        _check_encoding(self.encoding)
        return self

    def without_alignment(self, data: bytes) -> bytes:
        """Return the text with one delimiter between two fields, and none at either end of a line."""
        delimiter = re.escape(self.delimiter.encode())
        one = re.sub(delimiter + b"{2,}", self.delimiter.encode(), data)
        return re.sub(b"(?<![^\r\n])" + delimiter + b"|" + delimiter + b"(?![^\r\n])", b"", one)

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii")

    def decode(self, data: bytes) -> bytes:
        """Return the same text in UTF-8, without a byte order mark.

        Raises:
            DeliveryFault: a byte that the encoding does not have.
        """
        if self.is_utf8:
            return data.removeprefix(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else data
        try:
            return data.decode(self.encoding).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            raise undecodable(data, self.encoding, error) from error


def undecodable(data: bytes, encoding: str, error: UnicodeError) -> DeliveryFault:
    """Return the fault of a file whose bytes cannot be decoded as text."""
    start = getattr(error, "start", 0)
    line = data.count(b"\n", 0, start) + 1
    named = "UTF-8" if encoding == "utf-8" else encoding
    byte = f"byte 0x{data[start]:02x} at offset {start} (line {line})" if start < len(data) else "the end of the file"
    remedy = "have the file delivered as UTF-8, or declare its `csv.encoding`"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and "16" not in encoding:
        remedy = "it begins as UTF-16 does: declare `csv.encoding: utf-16`"
    return DeliveryFault("undecodable bytes", f"{byte} is no {named}", remedy)


def plain_values(texts: pl.Series, dtype: pl.DataType, dialect: CsvDialect, unit: str = "") -> pl.Series:
    """Return the texts as numbers and truth are written by default, or null where a text is no number of this dialect.

    A whole number with a zero after its point, which pandas writes where values are missing, loses both.

    Args:
        dtype: what they are to become; texts of other types come back as they are.
        unit: sign that may stand before or after a number, such as a currency's.
    """
    if dtype == pl.Boolean:
        words = dict.fromkeys(map(str.lower, dialect.true_values), "true")
        words |= dict.fromkeys(map(str.lower, dialect.false_values), "false")
        return texts.str.to_lowercase().replace(_TRUTH | words)
    if not dtype.is_numeric():
        return texts
    if unit or dialect.thousands or dialect.decimal != ".":
        texts = _plain_numbers(texts, dialect, unit)
    if dtype.is_integer() and texts.str.contains(".", literal=True).any():
        return texts.str.replace(r"^([+-]?\d+)\.0+$", "$1")
    return texts


def _plain_numbers(texts: pl.Series, dialect: CsvDialect, unit: str) -> pl.Series:
    if unit:
        sign = re.escape(unit)
        texts = texts.str.replace(rf"^([+-]?)\s*{sign}\s*", "$1").str.replace(rf"\s*{sign}$", "")
    thousands, decimal = re.escape(dialect.thousands), re.escape(dialect.decimal)
    if dialect.thousands == " ":
        thousands = f"[ {_BLANKS}]"
    whole = rf"\d{{1,3}}(?:{thousands}\d{{3}})+|\d+" if thousands else r"\d+"
    number = rf"^[+-]?(?:(?:(?:{whole})(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?|(?i:nan|inf|infinity))$"
    plain = texts.str.replace_all(thousands, "") if thousands else texts
    plain = plain.str.replace(dialect.decimal, ".", literal=True)
    return plain.set(~texts.str.contains(number), None)


def _check_encoding(name: str) -> None:
    try:
        known = codecs.lookup(name)
        "a".encode(name).decode(name)  # some codecs are no encodings of text
    except (LookupError, UnicodeError, ValueError, TypeError) as error:
        raise ValueError(
            f"encoding: Python knows no text encoding {name!r}; such are cp1252, latin-1, utf-16"
        ) from error
    if known.name in ("unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "utf-7"):
        raise ValueError(f"encoding: {name!r} is no encoding of files")
