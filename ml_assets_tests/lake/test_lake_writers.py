import signal
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.lake.commits import PositionMoved

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def test_two_processes_overwriting_one_partition_both_end_and_leave_one_whole_write(tmp_path, run_writers):
    lake = Lake(str(tmp_path / "lake"))
    first = pl.DataFrame({"month": ["a", "b"], "writer": ["nobody"] * 2, "row": [0, 0]})
    lake.replace("shop/orders", first, {"month": ["a", "b"]})

    run_writers(lake.root, "shop/orders", {"one": ["a"], "two": ["a"]}, rounds=6, rows=50)

    table = lake.scan("shop/orders").collect()
    assert lake.version("shop/orders") == 12
    assert table.filter(pl.col("month") == "b").select("writer", "row").rows() == [("nobody", 0)]
    rewritten = table.filter(pl.col("month") == "a")
    assert sorted(rewritten["row"]) == list(range(50))
    assert rewritten["writer"].n_unique() == 1
    assert rewritten["turn"].unique().to_list() == [5]


def test_processes_writing_different_partitions_lose_nothing(tmp_path, run_writers):
    lake = Lake(str(tmp_path / "lake"))
    run_writers(lake.root, "t", {"one": ["a", "b"], "two": ["c", "d"]}, rounds=4, rows=5)
    counts = lake.scan("t").group_by("month", "writer").len().sort("month").collect()
    assert counts.rows() == [("a", "one", 5), ("b", "one", 5), ("c", "two", 5), ("d", "two", 5)]


def test_the_first_writers_of_a_table_do_not_undo_one_another(tmp_path, run_writers):
    lake = Lake(str(tmp_path / "lake"))
    run_writers(lake.root, "t", {name: [name] for name in "abc"}, rounds=1, rows=5)
    assert lake.version("t") == 2
    assert sorted(lake.scan("t").collect()["writer"].unique()) == ["a", "b", "c"]
    assert lake.partitions("t", "month") == ["a", "b", "c"]


def test_a_writer_that_saw_no_table_keeps_what_another_created_meanwhile(tmp_path, monkeypatch):
    lake = Lake(str(tmp_path / "lake"))
    see, seen = Lake.exists, []

    def exists_and_then_somebody_else_writes(self, key):
        found = see(self, key)
        if not seen:
            seen.append(found)
            self.replace(key, pl.DataFrame({"month": ["theirs"], "value": [1]}), {"month": ["theirs"]})
        return found

    monkeypatch.setattr(Lake, "exists", exists_and_then_somebody_else_writes)
    written = lake.replace("t", pl.DataFrame({"month": ["ours"], "value": [2]}), {"month": ["ours"]})
    assert seen == [False]
    assert written.version == 1
    assert sorted(lake.scan("t").collect()["month"]) == ["ours", "theirs"]


def test_a_writer_that_keeps_losing_gives_up_with_the_conflict(tmp_path, monkeypatch):
    import deltalake
    from deltalake.exceptions import CommitFailedError

    tries = []

    def lose(*_, **__):
        tries.append(1)
        raise CommitFailedError("a concurrent transaction deleted the same data")

    monkeypatch.setattr(deltalake, "write_deltalake", lose)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(CommitFailedError, match="concurrent transaction"):
        Lake(str(tmp_path / "lake")).replace("t", pl.DataFrame({"a": [1]}))
    assert 5 <= len(tries) <= 50


def test_a_failure_that_is_no_conflict_is_not_tried_again(tmp_path, monkeypatch):
    import deltalake
    from deltalake.exceptions import DeltaError

    tries = []

    def fail(*_, **__):
        tries.append(1)
        raise DeltaError("no space left on device")

    monkeypatch.setattr(deltalake, "write_deltalake", fail)
    with pytest.raises(DeltaError, match="no space left"):
        Lake(str(tmp_path / "lake")).replace("t", pl.DataFrame({"a": [1]}))
    assert len(tries) == 1


def test_a_killed_writer_leaves_the_old_version(tmp_path, start_writer):
    lake = Lake(str(tmp_path / "lake"))
    old = pl.DataFrame({"month": ["a", "b"], "writer": ["before", "before"]})
    lake.replace("t", old, {"month": ["a", "b"]})
    files = set(data_files(lake))

    writer = start_writer(lake.root, "t", "killed", ["a"], rows=3_000_000)
    start_writer.go()
    deadline = time.monotonic() + 30
    while set(data_files(lake)) == files:
        assert time.monotonic() < deadline, "the writer never began to write"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(timeout=10) == -signal.SIGKILL

    assert set(data_files(lake)) > files, "the writer was killed before it wrote anything"
    assert lake.version("t") == 0
    assert lake.scan("t").sort("month").collect().rows() == [("a", "before"), ("b", "before")]
    lake.replace("t", pl.DataFrame({"month": ["a"], "writer": ["after"]}), {"month": ["a"]})
    assert lake.scan("t").sort("month").collect().rows() == [("a", "after"), ("b", "before")]


def data_files(lake):
    return [
        path for path in Path(lake.uri("t")).rglob("*") if ".parquet" in path.name and "_delta_log" not in str(path)
    ]


def test_of_two_first_writers_one_takes_what_a_source_holds(tmp_path):
    """Delta lets both make the table: the position of the source tells the second one that it is too late."""
    late = []
    for number in range(8):
        lake, begin = Lake(str(tmp_path / str(number))), threading.Barrier(3)

        def write(lake=lake, begin=begin):
            begin.wait()
            try:
                lake.append("log", pl.DataFrame({"n": [1]}), moves={"spool": (None, 1)})
            except PositionMoved:
                late.append(lake)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lake.scan("log").collect().height == 1
    assert len(late) == 16
