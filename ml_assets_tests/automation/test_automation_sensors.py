"""What the sensors ask for; that they work together is shown with the real daemon in ml_assets_tests/live."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from ml_assets.automation.drop_sensor import requests
from ml_assets.automation.recovery import close_lost_runs


def test_drops_that_the_same_sources_have_due_are_one_run():
    due = {"a": {"2024-01": "x", "2024-02": "y", "2024-03": "z"}, "b": {"2024-02": "p", "2024-03": "q"}}
    alone, both = requests(due)
    assert (alone.partition_key, alone.asset_selection) == ("2024-01", [dg.AssetKey(["a", "raw"])])
    assert both.partition_key is None
    assert both.asset_selection == [dg.AssetKey(["a", "raw"]), dg.AssetKey(["b", "raw"])]
    assert both.tags["dagster/asset_partition_range_start"] == "2024-02"
    assert both.tags["dagster/asset_partition_range_end"] == "2024-03"


def test_a_table_delivered_whole_has_no_partition():
    (one,) = requests({"list": {"whole": "x"}})
    assert one.partition_key is None
    assert "dagster/asset_partition_range_start" not in one.tags


def test_the_run_key_follows_the_content():
    keys = [next(requests({"a": {"2024-01": content}})).run_key for content in ("x", "y", "x")]
    assert keys[0] == keys[2] != keys[1]


def test_nothing_due_asks_for_nothing():
    assert list(requests({"a": {}, "b": {}})) == []


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def started_run(instance, process: int) -> str:
    @dg.op
    def nothing():
        pass

    @dg.job
    def idle():
        nothing()

    run = instance.create_run_for_job(idle, status=dg.DagsterRunStatus.STARTED)
    told = dg._core.events.EngineEventData.in_process(process)
    instance.report_engine_event("Started process for run", run, told)
    return run.run_id


def test_a_run_is_lost_when_its_process_is_gone(instance):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lost, alive = started_run(instance, gone.pid), started_run(instance, os.getpid())
    assert close_lost_runs(instance) == [lost]
    assert instance.get_run_by_id(lost).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(alive).status == dg.DagsterRunStatus.STARTED
    assert close_lost_runs(instance) == []
