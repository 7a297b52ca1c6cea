"""The process beside a server that writes its answers to the lake."""

import os
import signal
import time

import polars as pl
import pytest

from ml_assets.commands.serving.spooled import drain_spool, drain_until, draining_beside
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.serving.log.draining import Drained, alone_with
from ml_assets.serving.log.request_log import Answered, LogSchema
from ml_assets.serving.log.spool import Spool

SCHEMA = LogSchema(given={}, features={"km": pl.Float64()}, answer={"score": pl.Float64()})


def answered(request):
    return Answered(request, 0, "late", "1", "champion", 1_700_000_000_000_000, 0.001, {}, {}, {"score": 0.5}, {}, {})


@pytest.fixture
def home(tmp_path):
    return Home.under(tmp_path / "home")


@pytest.fixture
def spool(home):
    opened = Spool(home.spool, lambda *_: SCHEMA)
    yield opened
    opened.close()


def kept(home):
    lake = Lake(home.lake)
    if not lake.exists("late/request_log"):
        return []
    return sorted(lake.scan("late/request_log").collect()["request_id"])


def wait_until(holds):
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_once_writes_what_is_there_where_nobody_else_does(home, spool):
    spool.put("late", [answered("a")])
    with alone_with(home.spool):
        assert drain_spool(home.spool, home.lake) is None
    assert drain_spool(home.spool, home.lake) == Drained(rows=1)
    assert kept(home) == ["a"]


def test_one_that_stands_by_goes_on_where_the_other_has_ended(home, spool):
    spool.put("late", [answered("a")])
    other = alone_with(home.spool)
    other.__enter__()
    waited = []

    def wait(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            other.__exit__(None, None, None)
        if len(waited) == 5:
            spool.put("late", [answered("b")])
        return len(waited) == 6

    assert drain_until(home.spool, home.lake, wait) == Drained(rows=2)
    assert waited[:3] == [1.0, 1.0, 1.0], "it has looked three times"
    assert kept(home) == ["a", "b"]


@pytest.mark.slow
def test_the_process_beside_a_server_is_started_again_and_ends_with_everything_written(home, spool, caplog):
    with draining_beside(home, "text"):
        spool.put("late", [answered("a")])
        wait_until(lambda: kept(home) == ["a"])
        (child,) = [pid for pid in children() if b"ml_assets.commands.serving.spooled" in command_line(pid)]
        os.kill(child, signal.SIGTERM)  # it is for the server to end
        os.kill(child, signal.SIGKILL)
        spool.put("late", [answered("b")])
        wait_until(lambda: kept(home) == ["a", "b"])
        spool.put("late", [answered("c")])
    assert kept(home) == ["a", "b", "c"]
    assert "has ended with -9: started again" in caplog.text
    assert not [pid for pid in children() if b"ml_assets.commands.serving.spooled" in command_line(pid)]


def children():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        own = file.read().split()
    return [int(pid) for pid in own]


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
