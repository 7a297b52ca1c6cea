"""An entity's facts as bytes, and back."""

from collections.abc import Iterator, Mapping

import polars as pl
import pyarrow as pa

from ml_assets.online.values.keys import ENTITY


def encode_facts(facts: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Encode each entity's facts as an Arrow record batch; `facts` has the column ENTITY and is sorted by it."""
    ends = facts.with_row_index("end", offset=1).group_by(ENTITY, maintain_order=True).agg(pl.col("end").last())
    batches = _arrow(facts.drop(ENTITY)).to_batches()
    start = 0
    for entity, end in ends.iter_rows():
        yield entity, batches[0].slice(start, end - start).serialize().to_pybytes()
        start = end


def encode_schema(facts: pl.DataFrame) -> bytes:
    """Encode the Arrow schema of what `encode_facts` gives."""
    return _arrow(facts.drop(ENTITY).clear()).schema.serialize().to_pybytes()


def decode_schema(schema: bytes) -> pl.Schema:
    """Decode the columns and types of facts."""
    return _frame(pa.Table.from_batches([], _schema(schema))).schema


def decode_facts(facts: Mapping[str, bytes], schema: bytes) -> pl.DataFrame:
    """Decode the facts of entities, with the column ENTITY."""
    arrow = _schema(schema)
    batches = [pa.ipc.read_record_batch(pa.py_buffer(rows), arrow) for rows in facts.values()]
    entities = [text for text, batch in zip(facts, batches, strict=True) for _ in range(batch.num_rows)]
    table = pa.Table.from_batches(batches, arrow)
    return _frame(table).with_columns(pl.Series(ENTITY, entities, pl.String))


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # a table has columns, however few
    return frame


def _schema(schema: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(schema))


def _arrow(facts: pl.DataFrame) -> pa.Table:
    """Return facts as a table of one batch, or none: to make an empty one, or an array, pyarrow loads pandas."""
    return facts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
