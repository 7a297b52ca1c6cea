"""A fingerprint of delivered rows that outlives processes, machines and library versions."""

import hashlib
import sys

import numpy as np
import polars as pl


def content_hash(frame: pl.DataFrame) -> str:
    """Return the SHA-256 (64 hexadecimal digits) over names, kinds and values, in the order of columns and rows.

    The bytes are our own definition, not a file format's, so that an upgrade of Polars or Arrow changes
    nothing: little-endian 64-bit integers (moments as microseconds since 1970 UTC, days as days), 64-bit
    floats, UTF-8 texts after their lengths in bytes. Where a column has nulls, a bit per row says so first,
    and the null itself hashes as 0.
    An integer's width and a time's unit do not count, only values do.
    """
    digest = hashlib.sha256()
    for column in frame:
        kind, parts = _canonical(column)
        digest.update(f"{column.name!r}:{kind}:{len(column)}:{column.null_count()};".encode())
        if column.null_count():
            digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        for part in parts:
            digest.update(part if isinstance(part, bytes) else part.data)
    return digest.hexdigest()


def _canonical(column: pl.Series) -> tuple[str, list[bytes | np.ndarray]]:
    dtype = column.dtype
    if dtype == pl.Datetime:
        return "moment", [_words(column.dt.epoch("us"), pl.Int64)]
    if dtype == pl.Date:
        return "day", [_words(column.dt.epoch("d"), pl.Int64)]
    if dtype == pl.Boolean or dtype.is_signed_integer():
        return "integer", [_words(column, pl.Int64)]
    if dtype.is_unsigned_integer():
        return "natural", [_words(column, pl.UInt64)]
    if dtype.is_float():
        return "float", [_words(column, pl.Float64)]
    if dtype in (pl.Duration, pl.Time):
        return "span", [_words(column.to_physical(), pl.Int64)]
    texts = _as_text(column).fill_null("")
    return "text", [_words(texts.str.len_bytes(), pl.Int64), texts.str.join("").item().encode()]


def _as_text(column: pl.Series) -> pl.Series:
    """Return texts that differ where values do, also of types that no contract holds but a delivery may have."""
    if column.dtype == pl.Binary:
        return column.bin.encode("hex")
    if column.dtype.is_nested() or column.dtype == pl.Object:
        return pl.Series([None if value is None else repr(value) for value in column.to_list()], dtype=pl.String)
    return column.cast(pl.String)


def _words(column: pl.Series, dtype: type[pl.DataType]) -> np.ndarray:
    words = np.ascontiguousarray(column.cast(dtype).fill_null(0).to_numpy())
    return words if sys.byteorder == "little" else words.byteswap()
