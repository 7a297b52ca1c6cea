"""What a server counts, of one process and of several, in both formats."""

import os
import signal
import subprocess
import sys
from errno import ENOSPC

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from starlette.testclient import TestClient

from ml_assets.serving.access.allowance import shared_number
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.observability import shared_cells
from ml_assets.serving.http.observability.measured import Measured
from ml_assets.serving.http.observability.shared_cells import SharedCells

ROW = {"km": 12.5, "express": False, "courier": "bob"}


def read(text, parse=prometheus):
    families = parse(text if isinstance(text, str) else text.decode())
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def answered(status):
    return ("ml_assets_answers_total", ("route", "/invocations"), ("status", status))


def test_the_format_is_the_one_that_is_accepted(registry):
    with TestClient(make_app(registry, ["late"], Limits())) as client:
        client.post("/invocations", json={"instances": [ROW]})
        plain = client.get("/metrics")
        accepted = "application/openmetrics-text;version=1.0.0;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        other = client.get("/metrics", headers={"accept": accepted})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {response.headers["vary"] for response in (plain, other)} == {"accept"}
    assert other.text.endswith("# EOF\n")
    first, second = read(plain.text), read(other.text, open_metrics)
    assert first[answered("200")] == second[answered("200")] == 1
    assert first["ml_assets_rows_total", ("model", "late"), ("version", "1")] == 1
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"):
        assert first[(name,)] > 0
        assert (name,) in second


def counting(folder, requests):
    measured = Measured(folder)
    for seconds in requests:
        measured.answers["/invocations", "200"] += 1
        measured.seconds["late", "/invocations"].add(seconds)
    measured.counters["log_dropped_rows"] = ("Lost.", lambda: len(requests))
    measured.publish()
    return measured


def bucket(bound):
    return ("ml_assets_request_seconds_bucket", ("le", bound), ("model", "late"), ("route", "/invocations"))


def test_any_process_tells_the_sum_of_all_and_nothing_twice(tmp_path):
    one, two = counting(tmp_path, [0.0001, 0.003]), counting(tmp_path, [0.003, 0.5, 2.0])
    for measured in (one, two, one):
        told = read(measured.render("")[0])
        assert told[answered("200")] == 5
        assert told[("ml_assets_log_dropped_rows_total",)] == 5
        assert [told[bucket(bound)] for bound in ("0.0002", "0.002", "0.005", "0.25", "1.0", "+Inf")] == [
            1,
            1,
            3,
            3,
            4,
            5,
        ]
        labels = (("model", "late"), ("route", "/invocations"))
        assert told["ml_assets_request_seconds_sum", *labels] == pytest.approx(2.5061)
    alone, both = read(Measured().render("")[0]), read(one.render("")[0])
    # Two stand for two processes here; both are this one.
    for name in ("process_max_fds", "process_open_fds"):
        assert both[(name,)] == pytest.approx(2 * alone[(name,)], abs=4)
    assert both[("process_start_time_seconds",)] == alone[("process_start_time_seconds",)]


KILLED = """
import os, signal, sys
from pathlib import Path
from ml_assets.serving.http.observability.measured import Measured
measured = Measured(Path(sys.argv[1]))
measured.counters["log_dropped_rows"] = ("Lost.", lambda: 7)
measured.publish()
measured.seconds["late", "/invocations"].add(0.003)
measured.answers["/invocations", "503"] += 2
measured.answers["/invocations", "503"] += 5
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_counted_stays_and_it_has_no_memory_any_more(tmp_path):
    one = counting(tmp_path, [0.003])
    before = read(one.render("")[0])
    for died in (1, 2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == -signal.SIGKILL
        told = read(one.render("")[0])
        assert (told[answered("200")], told[answered("503")]) == (1, 7 * died)
        assert (told[bucket("+Inf")], told[("ml_assets_log_dropped_rows_total",)]) == (1 + died, 1 + 7 * died)
        assert told[("process_max_fds",)] == before[("process_max_fds",)]
        assert told[("process_cpu_seconds_total",)] > before[("process_cpu_seconds_total",)]
        before = told
    assert len(os.listdir(tmp_path)) == 3
    # A sparse file: a process takes the room of what it counts.
    assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) < 1 << 20


def test_where_the_disk_is_full_a_process_counts_for_itself(tmp_path, monkeypatch):
    first, steps = SharedCells(tmp_path / "counts"), iter([None, OSError(ENOSPC, "No space left on device")])

    def reserve(*_):
        if (error := next(steps)) is not None:
            raise error

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    monkeypatch.setattr(shared_cells, "_STEP", 64)
    mine = SharedCells(tmp_path / "counts")
    shared, own = mine.allocate(("a",), 1), mine.allocate(("b",), 20)
    shared[0], own[19] = 3.0, 4.0
    assert [numbers for _, numbers in first.others()] == [{("a",): [3.0]}]
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(ENOSPC, "full")))
    number = shared_number(tmp_path / "allowances", "key")
    number[0] = 5
    assert number[0] == 5
