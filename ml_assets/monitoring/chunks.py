"""Cuts a period into chunks: consecutive windows of fixed length, counted from the period's start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration

CHUNK = "__chunk__"
"""Column added to a frame: the row's chunk, 0 for the first."""

Period = tuple[datetime, datetime]
"""Start (inclusive) and end (exclusive), in the time zone of the frame's time column."""


@dataclass(frozen=True)
class Chunks:
    """Chunk i holds the times t with ``edges[i] <= t < edges[i + 1]``."""

    edges: tuple[datetime, ...]

    def number(self, frame: pl.DataFrame, time: str) -> pl.DataFrame:
        """Sort ``frame`` by ``time`` and add the Int64 column ``CHUNK``.

        Raises:
            ValueError: a time is null or outside the edges.
        """
        moments = frame[time]
        outside = frame.height - moments.is_between(self.edges[0], self.edges[-1], closed="left").sum()
        if outside:
            raise ValueError(
                f"{outside} of {frame.height} rows have a null {time!r} or one outside {self.edges[0]} .. "
                f"{self.edges[-1]}: give the period that holds every row, or leave these rows out"
            )
        starts = pl.lit(pl.Series(self.edges[:-1], dtype=moments.dtype))
        chunk = starts.search_sorted(pl.col(time), side="right").cast(pl.Int64) - 1
        return frame.with_columns(chunk.alias(CHUNK)).sort(time)

    def moments(self, times: pl.Series) -> list[int]:
        """Return how many different times lie in each chunk."""
        inside = times.filter(times.is_between(self.edges[0], self.edges[-1], closed="left")).unique()
        starts = pl.Series(self.edges[:-1], dtype=times.dtype)
        chunk = starts.search_sorted(inside, side="right").to_numpy().astype(np.int64) - 1
        return np.bincount(chunk, minlength=len(starts)).tolist()

    def table(self, numbered: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
        """Return one row per chunk, empty ones included: CHUNK, chunk_start, chunk_end, rows (Int64)."""
        counts = numbered.group_by(CHUNK).agg(rows=pl.len().cast(pl.Int64))
        edges = pl.Series(self.edges, dtype=dtype)
        table = pl.DataFrame({"chunk_start": edges[:-1], "chunk_end": edges[1:]}).with_row_index(CHUNK)
        return (
            table.with_columns(pl.col(CHUNK).cast(pl.Int64))
            .join(counts, on=CHUNK, how="left", maintain_order="left")
            .with_columns(pl.col("rows").fill_null(0))
        )

    def whole(self, numbered: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
        """Return the same table with the whole period as its only row; CHUNK is null."""
        edges = pl.Series([self.edges[0], self.edges[-1]], dtype=dtype)
        return pl.DataFrame(
            {CHUNK: [None], "chunk_start": edges[:1], "chunk_end": edges[1:], "rows": [numbered.height]},
            schema_overrides={CHUNK: pl.Int64, "rows": pl.Int64},
        )


def chunk_runs(numbered: pl.DataFrame) -> list[tuple[int, int, int]]:
    """Return chunk, first row and number of rows of each chunk of a frame sorted by CHUNK."""
    runs = numbered.select(pl.col(CHUNK).rle()).unnest(CHUNK)
    starts = runs["len"].cum_sum() - runs["len"]
    return [*zip(runs["value"].to_list(), starts.to_list(), runs["len"].to_list(), strict=True)]


def chunk_edges(start: datetime, end: datetime, length: timedelta, *, rest_counts: bool = False) -> Chunks:
    """Return windows of ``length`` from ``start`` to ``end``.

    What is left at the end becomes a chunk of its own if it is at least half a ``length`` long or ``rest_counts``; a
    shorter piece is joined to the chunk before it. A period shorter than one ``length`` is one chunk.

    Raises:
        ValueError: ``end`` is not after ``start``.
    """
    if end <= start:
        raise ValueError(f"a period must end after its start, not run from {start} to {end}")
    whole = (end - start) // length
    edges = [start + i * length for i in range(whole + 1)]
    rest = end - edges[-1]
    if 2 * rest < length and whole and not (rest and rest_counts):
        edges.pop()
    return Chunks((*edges, end))


def cut(frame: pl.DataFrame, time: str, chunk: str, period: Period | None = None) -> tuple[Chunks, pl.DataFrame]:
    """Return the chunks of ``period`` and ``frame`` numbered by them.

    Without a period it runs from the midnight before the first row to the midnight after the last (for
    chunks shorter than a day: from and to a whole multiple of the chunk). A short rest whose rows are of as
    many moments as those of a whole chunk is one too: the fifth Monday of a month, of weekly rows.
    """
    if period is None:
        every = "1d" if parse_duration(chunk) >= timedelta(days=1) else chunk
        first, last = (frame[time].sort().gather([0, -1])).dt.truncate(every)
        period = (first, pl.Series([last], dtype=frame[time].dtype).dt.offset_by(every)[0])
    length = parse_duration(chunk)
    chunks, apart = (chunk_edges(*period, length, rest_counts=alone) for alone in (False, True))
    if apart != chunks:
        *whole, rest = apart.moments(frame[time])
        chunks = apart if rest >= median(whole) > 0 else chunks
    return chunks, chunks.number(frame, time)


def cut_as(frame: pl.DataFrame, time: str, chunk: str, table: pl.DataFrame) -> tuple[Chunks, pl.DataFrame] | None:
    """Return the chunks of an earlier measure of the same rows, and ``frame`` numbered by them.

    Args:
        table: the chunks: chunk_start and chunk_end, any row more than once.

    Returns:
        None where there is no such measure, where it was cut by another length, or where it lacks a row's time.
    """
    spans = table.select(pl.col("chunk_start", "chunk_end").cast(frame.schema[time])).unique().sort("chunk_start")
    if spans.is_empty():
        return None
    edges = (*spans["chunk_start"], spans["chunk_end"][-1])
    ways = [chunk_edges(edges[0], edges[-1], parse_duration(chunk), rest_counts=alone) for alone in (False, True)]
    chunks = Chunks(edges)
    if chunks not in ways or not frame[time].is_between(edges[0], edges[-1], closed="left").all():
        return None
    return chunks, chunks.number(frame, time)
