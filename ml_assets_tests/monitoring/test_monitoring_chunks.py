from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from ml_assets.monitoring.chunks import CHUNK, chunk_edges, cut


def day(number: int, month: int = 5) -> datetime:
    return datetime(2021, month, number, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "lengths"),
    [
        (28, [7, 7, 7, 7]),
        (30, [7, 7, 7, 9]),
        (31, [7, 7, 7, 10]),
        (32, [7, 7, 7, 7, 4]),
        (7, [7]),
        (9, [9]),
        (11, [7, 4]),
        (3, [3]),
    ],
)
def test_chunks_are_weeks_from_the_start_and_a_short_rest_joins_the_last(days, lengths):
    start = day(1)
    edges = chunk_edges(start, start + timedelta(days=days), timedelta(days=7)).edges
    assert [(b - a).days for a, b in pairwise(edges)] == lengths
    assert edges[0] == start


def test_exactly_half_a_chunk_stands_alone():
    edges = chunk_edges(day(1), day(1) + timedelta(days=10, hours=12), timedelta(days=7)).edges
    assert edges == (day(1), day(8), day(11) + timedelta(hours=12))


def test_a_period_must_run_forwards():
    with pytest.raises(ValueError, match="must end after its start"):
        chunk_edges(day(2), day(2), timedelta(days=7))


def test_a_row_at_an_edge_belongs_to_the_later_chunk():
    microsecond = timedelta(microseconds=1)
    frame = pl.DataFrame({"at": [day(8), day(1), day(8) - microsecond, day(15) - microsecond]})
    chunks, numbered = cut(frame, "at", "7d", (day(1), day(15)))
    assert numbered[CHUNK].to_list() == [0, 0, 1, 1]
    assert numbered["at"].is_sorted()
    assert chunks.table(numbered, frame.schema["at"])["rows"].to_list() == [2, 2]


def test_a_chunk_without_rows_is_listed_with_none():
    frame = pl.DataFrame({"at": [day(2), day(20)]})
    chunks, numbered = cut(frame, "at", "7d", (day(1), day(22)))
    table = chunks.table(numbered, frame.schema["at"])
    assert table["rows"].to_list() == [1, 0, 1]
    assert table["chunk_start"].to_list() == [day(1), day(8), day(15)]
    assert chunks.whole(numbered, frame.schema["at"])["rows"].to_list() == [2]


@pytest.mark.parametrize("outside", [day(1), day(15), None])
def test_a_row_outside_the_period_is_an_error(outside):
    frame = pl.DataFrame({"at": [day(3), outside]})
    with pytest.raises(ValueError, match="1 of 2 rows have a null 'at' or one outside"):
        cut(frame, "at", "7d", (day(2), day(15)))


def test_without_a_period_whole_days_are_cut():
    frame = pl.DataFrame({"at": [day(1) + timedelta(hours=5), day(14) + timedelta(hours=23)]})
    chunks, _ = cut(frame, "at", "7d")
    assert chunks.edges == (day(1), day(8), day(15))


def test_without_a_period_short_chunks_start_at_a_multiple_of_their_length():
    at = datetime(2021, 5, 1, 10, 40)
    chunks, numbered = cut(pl.DataFrame({"at": [at, at + timedelta(hours=1)]}), "at", "30m")
    assert chunks.edges[0] == datetime(2021, 5, 1, 10, 30)
    assert chunks.edges[-1] == datetime(2021, 5, 1, 12)
    assert numbered[CHUNK].to_list() == [0, 2]


def test_dates_serve_as_times():
    frame = pl.DataFrame({"at": [date(2021, 5, 1), date(2021, 5, 8)]}).cast(pl.Datetime("us"))
    _, numbered = cut(frame, "at", "7d", (datetime(2021, 5, 1), datetime(2021, 5, 15)))
    assert numbered[CHUNK].to_list() == [0, 1]


@pytest.mark.parametrize(("first", "weeks"), [(3, [1, 1, 1, 1, 1]), (1, [1, 1, 1, 1, 1]), (4, [1, 1, 1, 1])])
def test_the_fifth_week_of_weekly_rows_is_a_chunk_of_its_own(first, weeks):
    """Of a month of 31 days from the 1st on; each moment has three rows."""
    moments = [day(first) + timedelta(days=7 * week) for week in range(5) if first + 7 * week <= 31]
    frame = pl.DataFrame({"at": moments * 3})
    chunks, numbered = cut(frame, "at", "7d", (day(1), day(1, 6)))
    assert chunks.table(numbered, frame.schema["at"])["rows"].to_list() == [3 * rows for rows in weeks]
    assert chunks.edges[-1] == day(1, 6)


def test_the_rest_of_daily_rows_still_joins_the_last_week():
    frame = pl.DataFrame({"at": [day(1) + timedelta(days=number) for number in range(31)]})
    chunks, numbered = cut(frame, "at", "7d", (day(1), day(1, 6)))
    assert chunks.table(numbered, frame.schema["at"])["rows"].to_list() == [7, 7, 7, 10]


def test_a_rest_with_fewer_moments_than_a_whole_chunk_joins_it():
    frame = pl.DataFrame({"at": [day(1) + timedelta(days=7 * week) for week in range(5)]})
    chunks, numbered = cut(frame, "at", "14d", (day(1), day(1, 6)))
    assert chunks.table(numbered, frame.schema["at"])["rows"].to_list() == [2, 3]
