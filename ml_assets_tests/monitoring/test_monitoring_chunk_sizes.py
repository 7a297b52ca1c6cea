"""Chunks of too few rows are counted, and where none is watched the reader is told so."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.monitoring.chunk_sizes import ChunkSizes, measure_chunks
from ml_assets.monitoring.report.verdict import judge

START = datetime(2024, 1, 1, tzinfo=UTC)


def chunks(rows: list[int], missing: list[int] | None = None) -> pl.DataFrame:
    moments = [START + n * timedelta(days=7) for n in range(len(rows))]
    frame = pl.DataFrame({"scope": "chunk", "chunk_start": moments, "rows": rows})
    return frame if missing is None else frame.with_columns(missing=pl.Series(missing))


@pytest.mark.parametrize(
    ("report", "counted"),
    [
        (chunks([499, 500, 501]), (3, 1)),
        (chunks([10, 20]), (2, 2)),
        (chunks([10, 20], missing=[490, 479]), (2, 1)),  # without a label yet, and scored all the same
        (pl.concat([chunks([600], missing=[0]), chunks([0], missing=[100])]), (1, 0)),  # two metrics of one chunk
        (chunks([600]).with_columns(scope=pl.lit("period")), (0, 0)),
    ],
)
def test_chunks_are_counted_by_the_rows_that_were_scored(report, counted):
    sizes = measure_chunks(report, 500)
    assert (sizes.chunks, sizes.small) == counted


@pytest.mark.parametrize(
    ("sizes", "words", "unwatched"),
    [
        (ChunkSizes(5, 0, 500), "", False),
        (ChunkSizes(5, 1, 500), "1 of 5 chunks has fewer than 500 rows (`monitoring.min_chunk_rows`)", False),
        (ChunkSizes(5, 2, 500), "2 of 5 chunks have fewer than 500 rows", False),
        (ChunkSizes(1, 1, 500), "Not watched: the only chunk has fewer than 500 rows", True),
        (ChunkSizes(5, 5, 1000), "Not watched: each of the 5 chunks has fewer than 1,000 rows", True),
        (ChunkSizes(0, 0, 500), "", False),
    ],
)
def test_what_is_not_watched_is_said_with_the_field_that_decides(sizes, words, unwatched):
    assert sizes.sentence.startswith(words)
    assert bool(sizes.sentence) == bool(words)
    assert sizes.unwatched == unwatched


def test_a_period_that_nothing_was_held_against_is_not_called_good():
    verdict = judge(None, None, ChunkSizes(2, 2, 500))
    assert verdict.level == "watch"
    assert "Lower `monitoring.min_chunk_rows`" in verdict.actions[0]
    assert judge(None, None, ChunkSizes(2, 1, 500)).level == "ok"
