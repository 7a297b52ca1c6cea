"""Files larger than memory, scored in a stream."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from ml_assets.training.encoding import STORED_TYPES
from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.predictions.scored import score_columns

ENDINGS = (".parquet", ".csv")
BATCH = 100_000
"""Rows scored at once: enough for a library's threads, small beside any memory."""


@dataclass(frozen=True)
class Written:
    """What a scoring wrote: where, and how many rows."""

    path: str
    rows: int


def score_file(model: TrainedModel, source: str, target: str, on_batch: Callable[[int], None] | None = None) -> Written:
    """Score every row of a Parquet or CSV file, a folder of Parquet files, or a Delta table.

    The target gets the columns of the source that are no features, then those of `score_columns`; it appears whole or
    not at all. Rows keep their order, except those of a Delta table, which has none.

    Args:
        target: a path that ends with .parquet or .csv.
        on_batch: told the rows scored so far.

    Raises:
        ValueError: source or target is of another form, or a feature is missing, has another kind than in training or
            is infinite.
        FileNotFoundError: there is no source.
    """
    if "://" in target or not target.endswith(ENDINGS):
        raise ValueError(f"output {target}: must be a path that ends with {' or '.join(ENDINGS)}")
    rows = _scan(model, source)
    columns = rows.collect_schema().names()
    missing = [name for name in model.features if name not in columns]
    if missing:
        raise ValueError(f"input {source}: features {missing} are missing; it has {', '.join(columns)}")
    kept = [name for name in columns if name not in model.features]
    clash = sorted({*kept} & {column.name for column in score_columns(model, predict(model, _empty_row(model)))})
    if clash:
        raise ValueError(f"input {source}: columns {clash} have the names of what is predicted: rename them")
    path = Path(target)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    done = 0
    try:
        with unfinished.open("wb") as file, _writer(file, path.suffix) as write:
            for batch in rows.collect_batches(chunk_size=BATCH):
                write(_answered(model, batch, kept))
                done += batch.height
                if on_batch is not None:
                    on_batch(done)
        if done == 0:
            raise ValueError(f"input {source}: there is no row to score")
        unfinished.replace(path)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"input {source}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(target, done)


def _empty_row(model: TrainedModel) -> pl.DataFrame:
    return pl.DataFrame(
        {feature.name: pl.Series([None], dtype=STORED_TYPES[feature.kind]) for feature in model.encoding.features}
    )


def _answered(model: TrainedModel, batch: pl.DataFrame, kept: list[str]) -> pl.DataFrame:
    answer = pl.DataFrame(score_columns(model, predict(model, batch)))
    return pl.concat([batch.select(kept), answer], how="horizontal")


def _scan(model: TrainedModel, source: str) -> pl.LazyFrame:
    path = Path(source)
    if "://" not in source and not path.exists():
        raise FileNotFoundError(f"input {source}: there is no such file or folder")
    if source.endswith(".csv"):
        types = {feature.name: STORED_TYPES[feature.kind] for feature in model.encoding.features}
        return pl.scan_csv(source, schema_overrides=types, glob=False)
    if source.endswith(".parquet"):
        return pl.scan_parquet(source, glob=False)
    if (path / "_delta_log").is_dir():
        from ml_assets.lake.delta import scan_table

        return scan_table(source)
    if path.is_dir():
        return pl.scan_parquet(sorted(path.rglob("*.parquet")), glob=False)
    raise ValueError(f"input {source}: must be a .parquet or .csv file, a folder of Parquet files or a Delta table")


@contextmanager
def _writer(file: BinaryIO, suffix: str) -> Iterator[Callable[[pl.DataFrame], object]]:
    """Open a writer of frames of one schema, which go into the file one after the other."""
    if suffix == ".csv":
        first = True

        def write_csv(frame: pl.DataFrame) -> None:
            nonlocal first
            frame.write_csv(file, include_header=first)
            first = False

        yield write_csv
        return
    import pyarrow.parquet as pq

    writers: list[pq.ParquetWriter] = []

    def write_parquet(frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if not writers:
            writers.append(pq.ParquetWriter(file, table.schema, compression="zstd"))
        writers[0].write_table(table)

    try:
        yield write_parquet
    finally:
        for writer in writers:
            writer.close()
