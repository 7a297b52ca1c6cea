"""What a connection may take: heads that are too large, that do not come, too many at once; and encryption."""

import asyncio
import json
import socket
import time
from functools import partial

import pytest

from ml_assets.serving.http.transport.guarded import ConnectionLimits, GuardedProtocol
from ml_assets_tests.threads import ThreadedServer

HEAD = b"POST /echo HTTP/1.1\r\nhost: x\r\n"


async def echo(scope, receive, send):
    """Answer with the number of headers and of bytes; /early without reading, /late after a while, /large at length."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/late":
        await asyncio.sleep(0.5)
    body = json.dumps([len(scope["headers"]), size]).encode().rjust(50_000_000 if scope["path"] == "/large" else 0)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def serve():
    """Opens real servers, one for each set of limits; gives host and port."""
    running = {}

    def address(**limits):
        key = tuple(sorted(limits.items()))
        if key not in running:
            made = ConnectionLimits(**limits)
            running[key] = ThreadedServer(
                echo, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=made.idle_seconds,
                http=partial(GuardedProtocol, made),
            )  # fmt: skip
        return running[key].where

    yield address
    for server in running.values():
        server.stop()


def connect(where, sent=b""):
    connection = socket.create_connection(where, timeout=30)
    connection.sendall(sent)
    return connection


def read_to_end(connection):
    told = b""
    try:
        while part := connection.recv(65536):
            told += part
    except ConnectionResetError:
        pass
    connection.close()
    return told


def read_answer(connection):
    told = b""
    while b"]" not in told:
        part = connection.recv(65536)
        assert part, told
        told += part
    return told


def test_a_head_that_is_just_small_enough_is_taken_and_one_byte_more_is_not(serve):
    where = serve(head_bytes=1000)
    begin = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\npad: "
    target, fields = len(b"/echo"), len(b"host: x\r\nconnection: close\r\npad: \r\n")
    for more, status in ((0, b"200"), (1, b"431")):
        pad = b"a" * (1000 - target - fields + more)
        told = read_to_end(connect(where, begin + pad + b"\r\n\r\n"))
        assert told.split()[1] == status, told
    assert json.loads(told.rpartition(b"\r\n\r\n")[2]) == {
        "error": "the head of the request is too large: send fewer headers"
    }


@pytest.mark.parametrize(
    "part", [b"a: b\r\n" * 50, b"c" * 300, b"\r\n" * 150], ids=["many headers", "one endless", "blank lines before"]
)
def test_a_head_without_an_end_is_refused_as_soon_as_it_is_too_large(serve, part):
    where = serve(head_bytes=1000)
    connection = connect(where, b"" if part.startswith(b"\r") else HEAD)
    sent = 0
    try:
        while sent < 50_000_000:
            sent += connection.send(part)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert sent < 40_000_000
    connection.close()
    told = read_to_end(connect(where, b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"y" * 2000))
    assert told.startswith(b"HTTP/1.1 431 ")


def test_what_trails_a_body_is_limited_and_large_bodies_are_not(serve):
    where = serve(head_bytes=1000, framing_bytes=2000)
    chunked = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (50_000, b"z" * 50_000)
    assert read_to_end(connect(where, chunked + chunk * 4 + b"0\r\n\r\n")).endswith(b"[3, 200000]")
    told = read_to_end(connect(where, chunked + b"0\r\n" + b"trailer: value\r\n" * 5000))
    assert b" 200 " not in told


def test_a_head_that_does_not_come_is_given_up_and_others_are_answered_meanwhile(serve):
    where = serve(head_seconds=0.4, idle_seconds=30)
    began = time.monotonic()
    connections = [connect(where, HEAD) for _ in range(20)]
    after_an_answer = connect(where, HEAD + b"\r\n")
    read_answer(after_an_answer)
    after_an_answer.sendall(HEAD)
    told = [read_to_end(each) for each in (*connections, after_an_answer)]
    assert time.monotonic() - began < 20
    assert {text.split(b"\r\n")[0] for text in told} == {b"HTTP/1.1 408 Request Timeout"}
    assert json.loads(told[0].rpartition(b"\r\n\r\n")[2]) == {
        "error": "the head of the request did not arrive within 0.4 seconds"
    }


def test_one_that_sends_a_byte_now_and_then_is_given_up_too(serve):
    where = serve(head_seconds=0.4, idle_seconds=30)
    connection = connect(where, HEAD)
    connection.settimeout(0.05)
    told, until = b"", time.monotonic() + 20
    while not told:
        assert time.monotonic() < until
        connection.sendall(b"a")
        try:
            told = connection.recv(1000)
        except TimeoutError:
            continue
    assert told.startswith(b"HTTP/1.1 408 ")
    connection.close()


def test_a_connection_without_a_request_is_closed_without_a_word(serve):
    where = serve(head_seconds=10, idle_seconds=0.3)
    fresh, used = connect(where), connect(where, HEAD + b"\r\n")
    read_answer(used)
    assert (read_to_end(fresh), read_to_end(used)) == (b"", b"")
    # Half a second of answering is no idleness, nor is it time of the head.
    patient = connect(serve(head_seconds=0.2, idle_seconds=0.2), b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
    assert read_answer(patient).endswith(b"[1, 0]")
    patient.close()


def test_a_body_that_nobody_waits_for_holds_no_connection(serve):
    where = serve(head_seconds=0.3, idle_seconds=0.3)
    connection = connect(where, b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
    read_answer(connection)
    told, until = None, time.monotonic() + 20
    connection.settimeout(0.05)
    while told is None:
        assert time.monotonic() < until
        try:
            connection.sendall(b"z")
            told = connection.recv(1000)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            told = b""
    assert told == b""
    connection.close()


def test_requests_one_after_the_other_and_at_once_are_answered(serve):
    where = serve(head_bytes=1000)
    connection = connect(where)
    for _ in range(30):
        connection.sendall(HEAD + b"pad: " + b"p" * 500 + b"\r\ncontent-length: 3\r\n\r\nabc")
        assert read_answer(connection).endswith(b"[3, 3]")
    connection.sendall((HEAD + b"content-length: 2\r\n\r\nab") * 30)
    told = b""
    while told.count(b"[2, 2]") < 30:
        told += connection.recv(65536)
    connection.close()


def test_one_more_than_may_be_open_takes_the_place_of_the_longest_idle(serve):
    where = serve(connections=3)
    first, second = connect(where), connect(where)
    for idle in (first, second):
        idle.sendall(HEAD + b"\r\n")
        read_answer(idle)
        time.sleep(0.05)  # the server's clock counts milliseconds
    busy = connect(where, b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(0.1)
    further = connect(where, HEAD + b"\r\n")
    assert read_answer(further).endswith(b"[1, 0]")
    assert read_to_end(first) == b""
    assert read_answer(busy).endswith(b"[1, 0]")
    for each in (second, busy, further):
        each.close()


def test_where_all_are_busy_one_more_is_turned_away(serve):
    where = serve(connections=2)
    busy = [connect(where, b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(2)]
    time.sleep(0.1)
    told = read_to_end(connect(where))
    assert told.startswith(b"HTTP/1.1 503 ")
    assert json.loads(told.rpartition(b"\r\n\r\n")[2]) == {"error": "too many connections at once: try again"}
    for each in busy:
        assert read_answer(each).endswith(b"[1, 0]")
        each.close()


def test_an_answer_that_nobody_takes_holds_no_connection_and_one_that_is_taken_slowly_is_whole(serve):
    where = serve(connections=1, head_seconds=0.3, idle_seconds=0.3)
    request = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"
    stalled = connect(where, request)
    assert stalled.recv(10) == b"HTTP/1.1 2"
    until = time.monotonic() + 20
    while b" 200 OK" not in read_to_end(connect(where, b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")):
        assert time.monotonic() < until
    stalled.close()
    slow, told = connect(serve(head_seconds=10, idle_seconds=0.3), request), 0
    while part := slow.recv(5_000_000):
        told += len(part)
        time.sleep(0.02)
    assert told > 50_000_000
