"""Which drops a decision looks at: so many as hold the chunks that its rule counts."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.replay.measures import ReplayMeasures
from ml_assets.retraining.window import look_at, newest_drops

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)


def report(chunks: list[int], kind: str = "estimated", missing: int = 0) -> pl.DataFrame:
    """Drops d0, d1, ... with so many chunks of 500 rows, and a row of the whole each."""
    rows = []
    for drop, count in enumerate(chunks):
        for scope, number in [*(("chunk", n) for n in range(count)), ("period", 0)]:
            begin = START + drop * 30 * DAY + number * DAY
            rows.append((f"d{drop}", kind, scope, begin, begin + DAY, 500 - missing, missing, 0.8))
    schema = ["drop", "kind", "scope", "chunk_start", "chunk_end", "rows", "missing", "value"]
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.mark.parametrize(
    ("chunks", "of_last", "drops"),
    [
        ([1, 1, 1, 1], 3, ["d1", "d2", "d3"]),
        ([1, 1, 1, 1], 1, ["d2", "d3"]),  # two at least
        ([5, 5, 5], 3, ["d1", "d2"]),
        ([5, 5, 5], 6, ["d1", "d2"]),
        ([5, 5, 5], 11, ["d0", "d1", "d2"]),
        ([2, 1, 1], 3, ["d0", "d1", "d2"]),
        ([1, 0, 1, 1], 3, ["d0", "d1", "d2", "d3"]),  # a drop without rows holds none
        ([1], 3, ["d0"]),
        ([], 3, []),
    ],
)
def test_as_many_drops_are_looked_at_as_hold_the_chunks_that_count(chunks, of_last, drops):
    assert newest_drops(report(chunks), "drop", of_last, 500) == drops


def test_chunks_of_too_few_rows_hold_nothing_that_counts():
    few = pl.col("drop").is_in(["d2", "d4"])
    measured = report([1] * 6).with_columns(pl.when(few).then(20).otherwise(500).alias("rows"))
    # d5, d3 and d1 hold the last three: the vote leaves the others out.
    assert newest_drops(measured, "drop", 3, 500) == ["d1", "d2", "d3", "d4", "d5"]
    assert newest_drops(measured, "drop", 3, 20) == ["d3", "d4", "d5"]
    shown = look_at(measured, "drop", MonitoringSpec(), START + 200 * DAY, of_last=3)
    assert shown.filter(pl.col("rows") >= 500, scope="chunk").height == 3


def test_a_replay_measures_the_drift_of_the_drops_that_hold_the_chunks_that_count():
    sizes = {"d0": 500, "d1": 500, "d2": 20, "d3": 500, "d4": 20, "d5": 500}
    measured = []

    def drift(_, drop: str) -> pl.DataFrame:
        measured.append(drop)
        return pl.DataFrame({"scope": ["chunk"], "chunk_start": [START], "rows": [sizes[drop]]})

    history = SimpleNamespace(monitoring=MonitoringSpec())
    replayed = ReplayMeasures(history, store=None)  # pyright: ignore[reportArgumentType]
    replayed._drift = drift  # pyright: ignore[reportAttributeAccessIssue]
    found = replayed._newest_drift(None, list(sizes), of_last=3)  # pyright: ignore[reportArgumentType]
    assert [frame["rows"].item() for frame in found] == [500, 20, 500, 20, 500]
    assert measured == ["d5", "d4", "d3", "d2", "d1"]


def test_a_chunk_is_as_large_as_what_was_scored_in_it_whatever_is_known_of_its_labels():
    waiting = report([1, 1, 1, 1], "realised", missing=400)
    assert newest_drops(waiting, "drop", 3, 500) == ["d1", "d2", "d3"]
    estimated = report([1, 1, 1, 1]).with_columns(missing=pl.lit(None, pl.Int64))
    assert newest_drops(pl.concat([estimated, waiting]), "drop", 3, 500) == ["d1", "d2", "d3"]


def test_realised_rows_begin_with_the_oldest_matured_chunk_that_counts():
    spec = MonitoringSpec(min_chunk_rows=100, labels={"matured": 0.8, "until": "900d"})
    matured, waiting = report([1, 1, 1, 1], "realised"), report([1] * 6, "realised", missing=400)
    waiting = waiting.filter(pl.col("drop") >= "d4")
    now = START + 200 * DAY
    shown = look_at(pl.concat([matured, waiting]), "drop", spec, now, of_last=3)
    assert shown["drop"].unique().sort().to_list() == ["d1", "d2", "d3", "d4", "d5"]


def test_where_none_has_matured_all_that_wait_are_shown():
    spec = MonitoringSpec(min_chunk_rows=100, labels={"matured": 0.8, "until": "900d"})
    waiting = report([1] * 5, "realised", missing=400)
    shown = look_at(waiting, "drop", spec, START + 200 * DAY, of_last=3)
    assert shown["drop"].unique().sort().to_list() == ["d0", "d1", "d2", "d3", "d4"]
