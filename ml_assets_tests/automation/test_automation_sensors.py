"""What the sensors ask for; that they work together is shown with the real daemon in ml_assets_tests/live."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from ml_assets.automation.recovery import close_lost_runs
from ml_assets.automation.sensors.drops import requests
from ml_assets.automation.sensors.retraining import attempts_of, has_settled, is_worked_on
from ml_assets.retraining.attempts import Attempt

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


def started_run(instance, process: int, status=dg.DagsterRunStatus.STARTED) -> str:
    @dg.op
    def nothing():
        pass

    @dg.job
    def idle():
        nothing()

    run = instance.create_run_for_job(idle, status=status)
    told = dg._core.events.EngineEventData.in_process(process)
    instance.report_engine_event("Started process for run", run, told)
    return run.run_id


@pytest.mark.parametrize("status", ["STARTING", "STARTED"])
def test_a_run_is_lost_when_its_process_is_gone(instance, status):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lost, alive = started_run(instance, gone.pid, dg.DagsterRunStatus[status]), started_run(instance, os.getpid())
    assert close_lost_runs(instance) == [lost]
    assert instance.get_run_by_id(lost).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(alive).status == dg.DagsterRunStatus.STARTED
    assert close_lost_runs(instance) == []


@pytest.fixture
def tried(instance):
    def made(status: str, **tags: str) -> dg.RunRecord:
        run = instance.add_run(dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus[status], tags=tags))
        return instance.get_run_record_by_id(run.run_id)

    return made


def test_a_lost_run_and_the_one_made_of_it_are_one_attempt(tried):
    will, done = {"dagster/will_retry": "true"}, {"dagster/auto_retry_run_id": "x"}
    assert attempts_of([tried("FAILURE", **will)]) == [Attempt(False, None)]
    assert attempts_of([tried("FAILURE", **will, **done), tried("STARTED")]) == [Attempt(False, None)]
    failed = tried("FAILURE", **{"dagster/will_retry": "false"})
    (attempt,) = attempts_of([tried("FAILURE", **will, **done), failed])
    assert attempt.ended is not None
    assert not attempt.succeeded


def test_a_run_that_was_never_handed_over_is_no_attempt(tried):
    assert attempts_of([tried("NOT_STARTED")]) == []


def test_a_run_killed_behind_its_last_step_has_done_its_work():
    instance = dg.DagsterInstance.ephemeral()

    def run(*names):
        assets = [dg.asset(name=name, key_prefix="returns")(lambda: None) for name in names]
        return dg.materialize(assets, instance=instance).run_id

    whole, half = run("model", "champion"), run("model")
    assert has_settled(instance, whole, "returns")
    assert not has_settled(instance, half, "returns")
    assert not has_settled(instance, whole, "other")


APRIL, MARCH = {"dagster/partition": "2024-04"}, {"dagster/partition": "2024-03"}
AROUND, BEHIND = (
    {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    for first, last in (("2024-03", "2024-05"), ("2024-05", "2024-06"))
)
LOST = {"dagster/will_retry": "true"}


@pytest.mark.parametrize(
    ("status", "tags", "waits"),
    [
        ("STARTED", APRIL, True),
        ("STARTING", APRIL, True),
        ("STARTED", MARCH, False),
        ("STARTED", {}, False),
        ("STARTED", AROUND, True),
        ("STARTED", BEHIND, False),
        ("SUCCESS", APRIL, False),
        ("NOT_STARTED", APRIL, False),
        ("FAILURE", APRIL, False),
        ("FAILURE", APRIL | LOST, True),
        ("FAILURE", APRIL | LOST | {"dagster/auto_retry_run_id": "x"}, False),
    ],
)
def test_a_training_waits_for_the_runs_on_its_drop(instance, tried, status, tags, waits):
    tried(status, **tags)
    assert is_worked_on(instance, "2024-04") is waits
