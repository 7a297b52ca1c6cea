"""What the sensors ask for; that they work together is shown with the real daemon in ml_assets_tests/live."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from ml_assets.automation.drop_sensor import requests
from ml_assets.automation.recovery import close_lost_runs

MONTHLY = {"a": "monthly", "b": "monthly"}


def test_drops_that_the_same_sources_have_due_are_one_run():
    due = {"a": {"2024-01": "x", "2024-02": "y", "2024-03": "z"}, "b": {"2024-02": "p", "2024-03": "q"}}
    alone, both = requests(due, MONTHLY)
    assert (alone.partition_key, alone.asset_selection) == ("2024-01", [dg.AssetKey(["a", "raw"])])
    assert both.partition_key is None
    assert both.asset_selection == [dg.AssetKey(["a", "raw"]), dg.AssetKey(["b", "raw"])]
    assert both.tags["dagster/asset_partition_range_start"] == "2024-02"
    assert both.tags["dagster/asset_partition_range_end"] == "2024-03"


def test_a_range_spans_no_drop_that_is_not_due():
    due = {"a": dict.fromkeys(["2024-01", "2024-02", "2024-04"], "x"), "d": dict.fromkeys(["2024-01-31"], "x")}
    asked = list(requests(due, {"a": "monthly", "d": "daily"}))
    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert [(r.tags["ml_assets/sources"], r.partition_key, r.tags.get(first), r.tags.get(last)) for r in asked] == [
        ("d", "2024-01-31", None, None),
        ("a", None, "2024-01", "2024-02"),
        ("a", "2024-04", None, None),
    ]


def test_a_table_delivered_whole_has_no_partition():
    (one,) = requests({"list": {"whole": "x"}}, {"list": "whole"})
    assert one.partition_key is None
    assert "dagster/asset_partition_range_start" not in one.tags


def test_the_run_key_follows_the_content():
    keys = [next(requests({"a": {"2024-01": content}}, MONTHLY)).run_key for content in ("x", "y", "x")]
    assert keys[0] == keys[2] != keys[1]


def test_nothing_due_asks_for_nothing():
    assert list(requests({"a": {}, "b": {}}, MONTHLY)) == []


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
