import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ml_assets.automation.recovery import GRACE, MOST_REPORTS, ask_again_for_retries, close_dead_runs, hold_lock

pytestmark = pytest.mark.slow

HOLDER = """
import sys, time
from pathlib import Path
from ml_assets.automation.recovery import hold_lock
with hold_lock(Path(sys.argv[1]), lambda: print("waits", flush=True)):
    print("holds", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_holder(tmp_path):
    """Starts a process that asks for the lock and keeps it until it is killed or told to end."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def told(process):
    return process.stdout.readline().strip()


@pytest.mark.timeout(60)
def test_the_second_process_waits_for_the_end_of_the_first(start_holder):
    first = start_holder()
    assert told(first) == "holds"
    second = start_holder()
    assert told(second) == "waits"
    heard = []
    listener = threading.Thread(target=lambda: heard.append(told(second)))
    listener.start()
    listener.join(timeout=0.3)
    assert heard == []
    first.communicate("end\n", timeout=10)
    listener.join(timeout=10)
    assert heard == ["holds"]


@pytest.mark.timeout(60)
def test_the_lock_of_a_killed_process_is_free(start_holder, tmp_path):
    doomed = start_holder()
    assert told(doomed) == "holds"
    doomed.kill()
    doomed.wait(timeout=10)
    waited = []
    with hold_lock(tmp_path / "lock", lambda: waited.append(1)):
        assert waited == []


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), hold_lock(tmp_path / "lock", pytest.fail):
        raise RuntimeError("inside")
    with hold_lock(tmp_path / "lock", pytest.fail):
        pass


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def add_run(instance, status, launched_by="cli"):
    tags = {"ml_assets/launched_by": launched_by} if launched_by else {}
    return instance.add_run(dg.DagsterRun(job_name="shop_drop", status=status, tags=tags)).run_id


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
def test_an_unfinished_run_of_a_lifecycle_is_marked_as_failed_and_says_why(instance, status):
    dead = add_run(instance, dg.DagsterRunStatus[status])
    assert close_dead_runs(instance) == [dead]
    assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
    messages = [entry.dagster_event.message for entry in instance.all_logs(dead) if entry.dagster_event]
    assert any("ended without finishing" in message for message in messages)
    assert close_dead_runs(instance) == []


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "CANCELED"])
def test_a_finished_run_is_left_alone(instance, status):
    done = add_run(instance, dg.DagsterRunStatus[status])
    assert close_dead_runs(instance) == []
    assert instance.get_run_by_id(done).status == dg.DagsterRunStatus[status]


def test_a_run_that_somebody_else_launched_is_left_alone(instance):
    theirs = add_run(instance, dg.DagsterRunStatus.STARTED, launched_by=None)
    assert close_dead_runs(instance) == []
    assert instance.get_run_by_id(theirs).status == dg.DagsterRunStatus.STARTED


def test_waiting_is_said_once(tmp_path, start_holder):
    holder = start_holder()
    assert told(holder) == "holds"
    said = []
    timer = threading.Timer(0.5, lambda: holder.communicate("end\n"))
    timer.start()
    before = time.monotonic()
    with hold_lock(tmp_path / "lock", lambda: said.append(1)):
        assert time.monotonic() - before > 0.3
    timer.join()
    assert said == [1]


def failures(instance, run_id):
    return len(instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE))


def test_a_failed_run_that_was_not_made_again_is_told_once_more_until_it_is(tmp_path):
    with dg.DagsterInstance.local_temp(
        str(tmp_path), overrides={"run_retries": {"enabled": True, "max_retries": 5}}
    ) as instance:
        run_id = add_run(instance, dg.DagsterRunStatus.STARTED, launched_by=None)
        instance.report_run_failed(instance.get_run_by_id(run_id), "Its process is gone.")
        assert instance.get_run_by_id(run_id).tags["dagster/will_retry"] == "true"
        now = datetime.now(UTC)
        assert ask_again_for_retries(instance, now) == []
        later = now + GRACE + timedelta(seconds=5)
        assert ask_again_for_retries(instance, later) == [run_id]
        assert failures(instance, run_id) == 2
        assert instance.get_run_by_id(run_id).tags["dagster/will_retry"] == "true"
        instance.add_run_tags(run_id, {"dagster/auto_retry_run_id": "its successor"})
        assert ask_again_for_retries(instance, later + GRACE) == []


def test_a_run_that_never_is_made_again_is_given_up(tmp_path):
    with dg.DagsterInstance.local_temp(
        str(tmp_path), overrides={"run_retries": {"enabled": True, "max_retries": 5}}
    ) as instance:
        run_id = add_run(instance, dg.DagsterRunStatus.STARTED, launched_by=None)
        instance.report_run_failed(instance.get_run_by_id(run_id), "Its process is gone.")
        later = datetime.now(UTC) + GRACE + timedelta(seconds=60)
        asked = [ask_again_for_retries(instance, later) for _ in range(MOST_REPORTS + 2)]
        assert asked == [[run_id]] * (MOST_REPORTS - 1) + [[], [], []]
        assert instance.get_run_by_id(run_id).tags["dagster/will_retry"] == "false"
