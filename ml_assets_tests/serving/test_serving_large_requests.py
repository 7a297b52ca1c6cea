"""Large requests are answered apart: the same answers, log and counts, by what may end at any time."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ml_assets.serving.apart.answering import LargeAnswers, serve_connection
from ml_assets.serving.apart.child import Started, start_command
from ml_assets.serving.apart.messages import Asked, Reply
from ml_assets.serving.apart.process import LargeRequestProcess
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.exchange import Elsewhere, Endpoint, Exchange
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.observability.row_counts import RowCounts
from ml_assets_tests.serving.spooled import SpooledLog

PATH = "/v1/models/late/predict"
ROWS = [{"parcel": at, "courier": ("ann", "bob", "cleo", None)[at % 4], "express": at % 3 == 0} for at in range(120)]
LARGE = {"rows": ROWS}
FEATURES = {"dataframe_records": [{"km": float(at), "express": None, "courier": "ann"} for at in range(900)]}
TENSORS = {
    "inputs": [
        {"name": "km", "datatype": "FP64", "shape": [900], "data": [each / 7 for each in range(900)]},
        {"name": "express", "datatype": "BOOL", "shape": [900], "data": [True] * 900},
        {"name": "courier", "datatype": "BYTES", "shape": [900], "data": ["someone unknown " * 3] * 900},
    ]
}
COUNTED = (
    "ml_assets_rows", "ml_assets_missing", "ml_assets_online", "ml_assets_feature", "ml_assets_answers",
    "ml_assets_logged", "ml_assets_log_dropped", "ml_assets_shadow_done", "ml_assets_fallback",
)  # fmt: skip


class Thread(threading.Thread):
    """Stands for a process."""

    pid = 0

    def wait(self, timeout=None):
        self.join(timeout)
        return 0


class Beside:
    """What answers large requests, on a thread that stands for its process."""

    def __init__(self, make):
        self.make, self.starts, self.answered, self.dies, self.broken = make, 0, 0, False, False
        self.held, self.released = threading.Event(), threading.Event()
        self.released.set()

    def start(self):
        self.starts += 1
        if self.broken:
            raise OSError("no more processes")
        ours, theirs = multiprocessing.Pipe()
        thread = Thread(target=self._serve, args=(theirs,))
        thread.start()
        return Started(ours, thread)

    def _serve(self, connection):
        with connection:
            serve_connection(connection, self._answers)

    def _answers(self, serving):
        self._own = self.make(serving)
        return self

    def answer(self, asked, body):
        if self.dies and asked is not None:
            raise ConnectionError
        self.answered += asked is not None
        self.held.set()
        assert self.released.wait(60)
        return self._own.answer(asked, body)

    def counted(self):
        return self._own.counted()

    def close(self):
        self._own.close()


def until(reached):
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def serve(registry, store, noon, tmp_path):
    """Serves `late`, alone or with what answers large requests beside it, which begins with the first one."""
    opened = []

    def begin(declared, *, large, **limits):
        taken = Limits(**{"rows": 1000, "large": 1000, "look_every": 0.01} | limits)
        log = SpooledLog(tmp_path / f"log-{len(opened)}")
        beside = Beside(lambda serving: LargeAnswers(registry, serving, taken, declared, store, log.open))
        process = LargeRequestProcess(beside.start) if large else None
        app = make_app(registry, ["late"], taken, declared, store, clock=lambda: noon, open_log=log.open, large=process)
        client = TestClient(app)
        client.__enter__()
        opened.append(client)
        client.beside, client.process, client.log = beside, process, log
        return client

    yield begin
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def both(serve):
    """Two servers of the same: all by itself, and with what answers large requests, which is there already."""

    def begin(declared, **limits):
        alone, apart = serve(declared, large=False, **limits), serve(declared, large=True, **limits)
        for client in (alone, apart):
            assert ask(client, LARGE, "first").status_code == 200
        until(lambda: apart.process.ready)
        return alone, apart

    return begin


def ask(client, body, request_id="r1", path=PATH, **headers):
    return client.post(path, json=body, headers={"x-request-id": request_id, **headers})


def seen(done):
    return done.status_code, dict(done.headers), done.content


def counted(client):
    return sorted(line for line in client.get("/metrics").text.splitlines() if line.startswith(COUNTED))


def logged(client):
    rows = client.log.rows()
    assert all(row.pop("latency_ms") > 0 for row in rows)
    return sorted(rows, key=lambda row: (row["request_id"], row["role"], row["row"]))


REQUESTS = [
    (PATH, LARGE),
    (PATH, {"rows": ROWS[:1]}),
    (PATH, {"rows": [*ROWS, {"parcel": 1, "courier": "dora", "express": None}]}),
    (PATH, {"rows": ROWS * 9}),
    (PATH, {"rows": [], "more": "x" * 5000}),
    (PATH, LARGE | {"contributions": True}),
    ("/v1/models/late/versions/1/predict", LARGE),
    ("/v1/models/late/versions/2/predict", LARGE),
    ("/v1/models/night/predict", LARGE),
    ("/v2/models/late/infer", TENSORS),
    ("/v2/models/late/infer", TENSORS | {"parameters": {"binary_data_output": True}}),
    ("/invocations", FEATURES),
    ("/invocations", {"dataframe_records": [{"km": 1.0}] * 4000}),
]


def test_answers_refusals_log_and_counts_are_those_of_the_server_itself(both, tried):
    alone, apart = both(tried(canary=0.3, shadow=True))
    for number, (path, body) in enumerate(REQUESTS):
        assert seen(ask(apart, body, f"r{number}", path)) == seen(ask(alone, body, f"r{number}", path)), path
    assert apart.beside.answered == len(REQUESTS) - 1, "all but the request of one row"
    assert counted(apart) == counted(alone)
    assert any("missing_values" in line for line in counted(alone))
    assert logged(apart) == logged(alone)


def test_a_challenger_answers_its_keys_and_scores_in_the_shadow(both, tried, registry):
    registry.challengers["late"] = "2"
    alone, apart = both(tried(canary=0.5, shadow=True))
    first, second = ask(alone, LARGE), ask(apart, LARGE)
    assert seen(first) == seen(second)
    assert {row.get("version") for row in first.json()["predictions"]} == {None, "2"}
    until(lambda: logged(apart) == logged(alone))
    assert {row["role"] for row in logged(apart)} == {"champion", "canary", "shadow"}
    until(lambda: counted(apart) == counted(alone))


def test_versions_change_with_the_server_and_not_before(both, declared, registry):
    alone, apart = both(declared)
    registry.champions["late"] = "3"  # which is broken: the server goes on with what it has
    until(lambda: "refused_versions" in apart.get("/metrics").text and ask(apart, LARGE).json()["version"] == "1")
    registry.champions["late"] = "2"
    for client in (alone, apart):
        until(lambda of=client: ask(of, {"rows": ROWS[:1]}, "wait").json()["version"] == "2")
    assert seen(ask(apart, LARGE)) == seen(ask(alone, LARGE))
    assert ask(apart, LARGE).json()["version"] == "2"


def test_a_version_that_cannot_be_loaded_there_is_answered_here(both, declared, registry):
    _, apart = both(declared)
    registry.champions["late"] = "2"
    until(lambda: ask(apart, {"rows": ROWS[:1]}).json()["version"] == "2")
    model, registry.versions["late", "2"] = registry.versions["late", "2"], ValueError("files are gone")
    before = apart.beside.answered
    assert ask(apart, LARGE).json()["version"] == "2"
    assert apart.beside.answered == before + 1
    registry.versions["late", "2"] = model


def test_facts_that_are_pushed_are_in_the_next_large_answer(both, declared):
    alone, apart = both(declared)
    facts = {"rows": [{"courier": "cleo", "driven_at": "2024-01-31T11:30:00Z", "length": 5.0}] * 80}
    assert len(str(facts)) > 5000
    assert apart.post("/v1/push/route", json=facts).status_code == 200
    assert apart.beside.answered == 0, "pushes are the server's own"
    assert seen(ask(apart, LARGE)) == seen(ask(alone, LARGE))


def test_answers_that_are_large_themselves_are_whole_also_compressed(both, declared):
    alone, apart = both(declared)
    for encoding in ("identity", "gzip"):
        first, second = (ask(of, {"rows": ROWS * 8}, **{"accept-encoding": encoding}) for of in (alone, apart))
        assert len(first.content) > 100_000
        assert (first.content, first.headers) == (second.content, second.headers)


def test_what_ends_is_told_and_begun_again(serve, declared):
    client = serve(declared, large=True)
    assert client.beside.starts == 0, "a server that sees no large request pays for none"
    assert ask(client, {"rows": ROWS[:1]}).status_code == 200
    assert client.beside.starts == 0
    assert ask(client, LARGE).status_code == 200
    until(lambda: client.process.ready)
    client.beside.dies = True
    refused = ask(client, LARGE)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json() == {"error": "what answers large requests has ended: try again"}
    client.beside.dies = False
    until(lambda: client.process.ready)
    assert ask(client, LARGE).status_code == 200
    assert (client.beside.starts, client.beside.answered) == (2, 1)
    assert "ml_assets_logged_rows_total 241.0" in client.get("/metrics").text


def test_what_cannot_begin_leaves_requests_to_the_server(serve, declared):
    client = serve(declared, large=True)
    client.beside.broken = True
    for _ in range(3):
        assert ask(client, LARGE).status_code == 200
    assert client.beside.starts == 1, "it is not tried with each request"


def test_small_requests_are_not_turned_away_for_large_ones_that_wait(serve, declared):
    client = serve(declared, large=True, waiting=1)
    assert ask(client, LARGE).status_code == 200
    until(lambda: client.process.ready)
    client.beside.released.clear()
    with ThreadPoolExecutor(2) as clients:
        waiting = [clients.submit(ask, client, LARGE) for _ in range(2)]
        assert client.beside.held.wait(60)
        small = ask(client, {"rows": ROWS[:1]})
        client.beside.released.set()
        assert small.status_code == 200
        assert [each.result().status_code for each in waiting] == [200, 200]


def test_messages_are_json_and_say_the_same_there():
    asked = Asked(
        "/v1/models/é/predict", "POST", {b"x-name": bytes(range(32, 256))}, "r1", 2**60, "shop", 0.1 + 0.2,
        {"late": ("1", None), "é": ("2", "3")},
    )  # fmt: skip
    assert Asked.decode(asked.encode()) == asked
    counts = RowCounts()
    counts.rows["late", "1"] += 3
    counts.missing[("late",)] += 2
    counts.ages[("route",)].add(61.5, 3)
    told = Elsewhere("late", "1", ["champion", "shadow"])
    reply = Reply(
        refusal=("no \"é\"", 429, {"retry-after": "1"}), media_type="text/csv", headers=[(b"a", b"\xff"), (b"a", b"")],
        elsewhere=told, counts=counts, counters={"logged_rows": 7}, fault="disk",
    )  # fmt: skip
    for each in (reply, Reply(), replace(reply, able=False, refusal=None)):
        again = Reply.decode(each.encode())
        assert replace(again, counts=None) == replace(each, counts=None)
        assert (again.counts is None) == (each.counts is None)
    total = RowCounts()
    total.add(Reply.decode(reply.encode()).counts)
    assert (total.rows, total.missing, total.fallbacks) == ({("late", "1"): 3}, {("late",): 2}, {})
    assert total.ages[("route",)].cells == counts.ages[("route",)].cells


def test_a_process_is_killed_while_it_answers_and_another_one_ends_with_its_server():
    command = [sys.executable, str(Path(__file__).with_name("large_echo.py"))]
    process = LargeRequestProcess(lambda: start_command(command))

    def asked(body):
        exchange = Exchange(Endpoint("/", None, 0), {}, "r1", 0)
        exchange.body = body
        return exchange

    async def talk():
        assert await process.answer(asked(b"first"), {}) is None
        await asyncio.to_thread(until, lambda: process.ready)
        number = int(await process.answer(asked(b"second"), {}))
        slow = asyncio.create_task(process.answer(asked(b"slow"), {}))
        await asyncio.sleep(0.1)
        os.kill(number, signal.SIGKILL)
        with pytest.raises(BadRequest, match="has ended") as refused:
            await slow
        return number, refused.value.status

    number, status = asyncio.run(talk())
    assert status == 503
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    started = start_command(command)
    started.connection.send_bytes(b"{}")
    assert started.connection.recv_bytes() == b"ready"
    assert started.finish(60) == Reply()
    assert started.end(60) == 0
