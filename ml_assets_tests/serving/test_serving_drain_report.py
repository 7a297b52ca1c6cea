"""A log that is not written from the spool to the lake is seen."""

import time

import pytest
from starlette.testclient import TestClient

from ml_assets.commands.serving import spooled
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.log.drain_report import LATE_SECONDS, DrainReport, DrainWatch
from ml_assets.serving.log.draining import Drained

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
def watch(tmp_path, clock):
    return DrainWatch(tmp_path, lambda: clock[0])


def test_each_model_is_behind_since_its_last_success(tmp_path, clock, watch):
    assert watch.behind(["late"]) == {"late": 0}
    report = DrainReport(tmp_path, START + SECOND)
    clock[0] += 7 * SECOND
    assert watch.behind(["late"]) == {"late": 7}  # nothing is reported: since the server began
    report.write([], START + 5 * SECOND)
    assert watch.behind(["late", "hours"]) == {"late": 2, "hours": 2}
    for later in (6, 9, 100):
        report.write(["late"], START + later * SECOND)
        clock[0] = START + (later + 1) * SECOND
        assert watch.behind(["late", "hours"]) == {"late": later + 1 - 5, "hours": 1}
    report.write([], START + 200 * SECOND)
    clock[0] = START + 201 * SECOND
    assert watch.behind(["late", "hours"]) == {"late": 1, "hours": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["draining.json"]


def test_what_was_before_the_server_is_not_its_lateness(tmp_path, clock, watch):
    DrainReport(tmp_path, 0).write([], START - 1000 * SECOND)
    clock[0] += 3 * SECOND
    assert watch.behind(["late"]) == {"late": 3}


def test_a_server_whose_log_stays_behind_is_not_ready_and_says_why(registry, tmp_path, clock, watch, monkeypatch):
    monkeypatch.setattr("ml_assets.serving.http.app._EVERY", 0.01)
    report = DrainReport(tmp_path, START)
    report.write([], START)
    with TestClient(make_app(registry, ["late"], Limits(), drained=watch)) as client:

        def behind():
            lines = client.get("/metrics").text.splitlines()
            return [line.split()[1] for line in lines if line.startswith('ml_assets_log_behind_seconds{model="late"}')]

        clock[0] = START + int(LATE_SECONDS) * SECOND
        report.write(["late"], clock[0])
        assert client.get("/v2/health/ready").status_code == 200
        clock[0] += 1 * SECOND
        refused = client.get("/v2/health/ready")
        assert refused.status_code == 503
        assert refused.json()["error"].startswith(
            f"the answers of late have not been written from the spool {tmp_path} to the lake for 10 minutes"
        )
        until = time.monotonic() + 20
        while behind() != [str(LATE_SECONDS + 1)]:
            assert time.monotonic() < until
        report.write([], clock[0])
        assert client.get("/v2/health/ready").status_code == 200


def test_the_process_beside_a_server_reports_each_pass(tmp_path, clock, watch, monkeypatch):
    passes = iter([Drained(), Drained(failed=["late"]), Drained(failed=["late"]), Drained(), Drained()])
    monkeypatch.setattr(spooled.Draining, "drain", lambda _: next(passes))
    monkeypatch.setattr(spooled.time, "time_ns", lambda: clock[0] * 1000)
    told = []

    def wait(_):
        told.append(watch.behind(["late"])["late"])
        clock[0] += 10 * SECOND
        return len(told) == 5

    spooled.drain_until(tmp_path, str(tmp_path / "lake"), wait)
    # Looked at before each pass: one at 10 s succeeds, those at 20 and 30 s fail, that at 40 s succeeds.
    assert told == [0, 10, 0, 10, 20]
