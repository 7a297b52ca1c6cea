"""What the server takes on: keys, sizes, requests at once, and bodies that do not come."""

import hashlib
import http.client
import json
import socket
import threading
import time

import pytest

from ml_assets.scoring.predictor import Predictor
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets_tests.threads import ThreadedServer

ROW = {"km": 12.5, "express": False, "courier": "bob"}
BODY = json.dumps({"instances": [ROW]}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture
def serve(registry):
    """Opens real servers on free ports; gives host and port."""
    running = []

    def open_server(**limits):
        running.append(ThreadedServer(make_app(registry, ["late"], Limits(**limits))))
        return running[-1].where

    yield open_server
    for server in running:
        server.stop()


def ask(where, path="/invocations", body=BODY, method="POST", **headers):
    connection = http.client.HTTPConnection(*where, timeout=20)
    connection.request(method, path, body, JSON | headers)
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    return answer.status, json.loads(told) if told.startswith(b"{") else told


def stalled(where, sent=BODY[:10]):
    """A connection whose request promises more than it sends."""
    connection = socket.create_connection(where)
    head = ["POST /invocations HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(BODY)}"]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + sent)
    return connection


def test_a_body_that_stalls_is_given_up_and_its_connection_closed(serve):
    where = serve(body_seconds=0.3)
    connection = stalled(where)
    connection.settimeout(20)
    told = b""
    while part := connection.recv(4096):
        told += part
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {"error": "the body did not arrive within 0.3 seconds"}
    connection.close()


def test_bodies_that_stall_block_nobody(serve):
    """Three times as many as may be answered at once."""
    where = serve(waiting=2, body_seconds=60)
    connections = [stalled(where) for _ in range(6)]
    assert [ask(where)[0] for _ in range(5)] == [200] * 5
    for connection in connections:
        connection.sendall(BODY[10:])
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        connection.close()


def test_only_so_many_bodies_are_waited_for(serve):
    where = serve(reading=2, body_seconds=60)
    connections = [stalled(where) for _ in range(2)]
    until = time.monotonic() + 20
    while (found := ask(where))[0] != 503:
        assert time.monotonic() < until
    assert found == (503, {"error": "too many requests at once: try again"})
    assert ask(where, "/v2/health/live", method="GET")[0] == 200
    for connection in connections:
        connection.close()
    while ask(where)[0] != 200:
        assert time.monotonic() < until


def test_a_client_that_leaves_within_its_body_gives_its_place_back(serve):
    where = serve(reading=1, body_seconds=60)
    until = time.monotonic() + 20
    for _ in range(3):
        stalled(where).close()
        while ask(where)[0] != 200:
            assert time.monotonic() < until


def test_more_requests_than_are_answered_at_once_are_turned_away(serve, monkeypatch):
    where = serve(waiting=2)
    begun, go, predict = threading.Semaphore(0), threading.Event(), Predictor.predict

    def slow(self, matrix):
        if len(matrix) > 1:
            begun.release()
            go.wait(20)
        return predict(self, matrix)

    monkeypatch.setattr(Predictor, "predict", slow)
    many = json.dumps({"instances": [ROW] * 2_000}).encode()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(where, body=many)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert begun.acquire(timeout=20)
    assert ask(where) == (503, {"error": "too many requests at once: try again"})
    assert ask(where, "/v2/health/live", method="GET")[0] == 200
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200]
    assert ask(where)[0] == 200


def test_a_request_that_began_is_answered_to_its_end_when_the_server_stops(registry, monkeypatch):
    begun, go, predict = threading.Event(), threading.Event(), Predictor.predict

    def slow(self, matrix):
        if len(matrix) > 1:
            begun.set()
            go.wait(20)
        return predict(self, matrix)

    monkeypatch.setattr(Predictor, "predict", slow)
    running = ThreadedServer(make_app(registry, ["late"], Limits()))
    where, answers = running.where, []
    many = json.dumps({"instances": [ROW] * 2_000}).encode()
    asking = threading.Thread(target=lambda: answers.append(ask(where, body=many)))
    asking.start()
    assert begun.wait(20)
    running.end()
    while running.server.servers[0].is_serving():
        time.sleep(0.01)
    go.set()
    asking.join()
    running.stop()
    ((status, told),) = answers
    assert (status, len(told["predictions"])) == (200, 2_000)


def test_sizes_are_limited_and_the_next_request_is_answered(serve):
    where = serve(rows=3, body=1_000)
    status, told = ask(where, body=json.dumps({"instances": [ROW] * 4}).encode())
    assert (status, told) == (413, {"error": "4 rows are more than 3: send fewer at once"})
    status, told = ask(where, body=BODY + b" " * 1_000)
    assert (status, told) == (413, {"error": "the body is larger than 1000 bytes: send fewer rows at once"})
    assert ask(where)[0] == 200


def test_without_a_key_nothing_but_health_is_told(serve):
    where = serve(keys=(hashlib.sha256(b"one").hexdigest(),))
    paths = ["/v2", "/v2/models/late", "/version", "/metrics", "/openapi.json", "/docs", "/v2/models/late/ready"]
    wrong = ("Bearer two", "Basic one", "", "one", " one", "Bearerone", "Bearer", "Bearer Bearer one")
    for given in ({}, *({"authorization": text} for text in wrong)):
        assert [ask(where, path, method="GET", **given)[0] for path in paths] == [401] * len(paths)
        for path in ("/invocations", "/v2/models/late/infer", "/v1/models/late/predict", "/v1/push/route"):
            assert ask(where, path, **given)[0] == 401
    assert [ask(where, path, method="GET")[0] for path in ("/ping", "/v2/health/live")] == [200, 200]
    status, page = ask(where, "/docs", method="GET")
    assert (status, b"/v2/models" in page, b'id="key"' in page) == (401, False, True)
    for key in ({"authorization": "bearer one"}, {"authorization": "Bearer one"}):
        assert [ask(where, path, method="GET", **key)[0] for path in paths] == [200] * len(paths)
    assert ask(where, **key)[0] == 200
