"""A 64-bit hash per row that outlives processes, machines and library versions."""

from typing import Any

import numpy as np
import polars as pl

_NULL = np.uint64(0x6E756C6C)
_SAMPLE = 1_000
"""Values by which to see whether a column repeats itself: then each text is hashed once."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


def hash_rows(frame: pl.DataFrame) -> np.ndarray:
    """Hash the values of each row, in the order of the columns; shape (rows,), uint64.

    Whole numbers and moments count by their value, floats by their 64 bits, all else as text. A null is unlike
    any value. Values are mixed with the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    hashes = np.zeros(frame.height, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in frame:
            words = _words(column)
            if column.null_count():
                words = np.where(column.is_null().to_numpy(), _NULL, words)
            hashes = _mixed(hashes * np.uint64(31) + _mixed(words + _STEP))
    return hashes


def _words(column: pl.Series) -> np.ndarray:
    dtype = column.dtype
    if dtype == pl.Datetime:
        column = column.dt.epoch("us")
    elif dtype in (pl.Date, pl.Time, pl.Duration):
        column = column.to_physical()
    elif dtype.is_float():
        # Adding 0 turns -0.0 into 0.0; every NaN gets the bits of one.
        values = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
        values[np.isnan(values)] = np.nan
        return values.view(np.uint64)
    if column.dtype == pl.Boolean or column.dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64):
        return np.ascontiguousarray(column.cast(pl.Int64).fill_null(0).to_numpy()).view(np.uint64)
    if column.dtype in (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64):
        return column.cast(pl.UInt64).fill_null(0).to_numpy()
    return _text_words(column)


def _text_words(column: pl.Series) -> np.ndarray:
    texts = column.bin.encode("hex") if column.dtype == pl.Binary else _texts(column)
    if texts.head(_SAMPLE).n_unique() * 2 > min(len(texts), _SAMPLE):
        return _hash_texts(texts.fill_null(""))
    distinct = texts.drop_nulls().unique()
    hashed = pl.Series(_hash_texts(distinct), dtype=pl.UInt64)
    return texts.replace_strict(distinct, hashed, default=None, return_dtype=pl.UInt64).fill_null(0).to_numpy()


def _hash_texts(texts: pl.Series) -> np.ndarray:
    import pandas.util

    hashing: Any = pandas.util  # its names come through a `__getattr__` that types nothing
    return hashing.hash_array(texts.to_numpy().astype(object), categorize=False)


def _texts(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested():
        return column.to_frame("value").select(pl.struct("value").struct.json_encode()).to_series()
    return column.cast(pl.String)


def _mixed(words: np.ndarray) -> np.ndarray:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
