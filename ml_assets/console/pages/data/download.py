"""Rows as files that are streamed: CSV that a spreadsheet runs nothing of, and Parquet as the values are."""

import io
from collections.abc import Iterable, Iterator

import polars as pl

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet would take for a formula."""


def csv_of(batches: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """Yield batches as one CSV file.

    A text, or a column's name, that begins as a formula does gets a leading apostrophe, as OWASP advises against CSV
    injection; numbers stay numbers. The Parquet file has every value as it is.
    """
    for number, batch in enumerate(batches):
        if number == 0 or batch.height:
            texts = [name for name, dtype in batch.schema.items() if dtype == pl.String]
            safe = batch.with_columns(_harmless(pl.col(name)) for name in texts).rename(_harmless_name)
            yield safe.write_csv(include_header=number == 0).encode()


def parquet_of(batches: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """Yield batches as one Parquet file, each batch a row group."""
    import pyarrow.parquet as pq

    sink, writer = _Sink(), None
    for batch in batches:
        table = batch.to_arrow()
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd")
        if batch.height:
            writer.write_table(table)
        yield sink.taken()
    if writer is not None:
        writer.close()
    yield sink.taken()


def _harmless(text: pl.Expr) -> pl.Expr:
    is_formula = pl.any_horizontal(text.str.starts_with(sign) for sign in FORMULA)
    return pl.when(is_formula).then(pl.lit("'") + text).otherwise(text).name.keep()


def _harmless_name(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULA) else name


class _Sink(io.RawIOBase):
    """Takes what is written, to be taken out again; it only ever goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
