"""What answers large requests may hang, end or not begin: the server refuses them, and is not held up by it."""

import asyncio
import logging
import multiprocessing
import threading
import time
from types import SimpleNamespace

import pytest

from ml_assets.serving.apart.answering import serve_connection
from ml_assets.serving.apart.child import Started
from ml_assets.serving.apart.messages import READY, Reply
from ml_assets.serving.apart.process import LargeRequestProcess
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.exchange import Endpoint, Exchange

MODULE = "ml_assets.serving.apart.process"


class Hanging:
    """Stands for a process that is ready, or not, and then reads and says nothing until it is killed."""

    pid = 0

    def __init__(self, *, ready=True):
        self.ready, self.starts, self.killed, self._theirs = ready, 0, 0, None

    def start(self):
        ours, self._theirs = multiprocessing.Pipe()
        if self.ready:
            self.say_ready()
        self.starts += 1
        return Started(ours, self)

    def say_ready(self):
        self._theirs.send_bytes(READY)

    def kill(self):
        self.killed += 1
        self._theirs.close()

    def wait(self, timeout=None):  # noqa: ARG002
        return -9


def until(reached):
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def answer(process, body=b""):
    exchange = Exchange(Endpoint("/", None, 0), {}, "r1", 0)
    exchange.body = body
    return await process.answer(exchange, {})


def ask(process, body=b""):
    return asyncio.run(answer(process, body))


def refused(process, body=b""):
    """Ask, and return the message and the seconds after which to try again."""
    with pytest.raises(BadRequest) as refusal:
        ask(process, body)
    assert refusal.value.status == 503
    return str(refusal.value), int(refusal.value.headers["retry-after"])


def begun(child):
    """A process that is ready: its first request is left to the server."""
    process = LargeRequestProcess(child.start)
    assert ask(process) is None
    until(lambda: process.ready)
    return process


@pytest.mark.parametrize("size", [0, 8 << 20], ids=["unanswered", "not even read"])
def test_a_request_that_takes_too_long_ends_the_process_and_not_the_server(size, monkeypatch):
    monkeypatch.setattr(f"{MODULE}.LIMIT", 0.05)
    child = Hanging()
    process = begun(child)
    child.ready = False
    message = "what answers large requests has taken too long, and is killed: try again"
    assert refused(process, b"x" * size) == (message, 5)
    assert child.killed == 1
    until(lambda: child.starts == 2)  # with nobody asking
    for _ in range(3):
        message = "what answers large requests has ended, and begins again: try again"
        assert refused(process) == (message, 5), "no thread of the server takes what may have ended the process"
    child.say_ready()
    until(lambda: process.ready)
    assert (child.starts, process.fault) == (2, "")
    child.kill()
    process.close()


def test_a_process_that_hangs_with_nobody_asking_is_noticed(monkeypatch):
    monkeypatch.setattr(f"{MODULE}.LIMIT", 0.05)
    child = Hanging()
    process = begun(child)
    child.ready = False
    process.look()
    until(lambda: child.starts == 2)
    assert child.killed == 1
    process.close()


def test_a_process_that_cannot_begin_again_is_tried_again_and_the_server_refuses_meanwhile(monkeypatch, caplog):
    monkeypatch.setattr(f"{MODULE}.LIMIT", 0.05)
    monkeypatch.setattr(f"{MODULE}.PAUSE", 0.0)
    monkeypatch.setattr(f"{MODULE}.PATIENCE", 0.01)
    child = Hanging()
    process = begun(child)
    child.ready = False
    refused(process)
    until(lambda: "cannot begin, they are refused: it took more than 0.01 seconds and was killed" in caplog.text)
    assert refused(process)[1] == 5
    child.ready = True
    until(lambda: process.look() or process.ready)
    child.kill()
    process.close()


def test_a_process_that_is_lost_again_and_again_rests_for_a_minute(monkeypatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(f"{MODULE}.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(f"{MODULE}.LIMIT", 0.02)
    child = Hanging()
    process = begun(child)
    for seconds in (0, 40, 50, 5):  # the third is within a minute of the second only, the fourth of both
        now[0] += seconds
        until(lambda: process.ready)
        refused(process)
    now[0] += 20
    process.look()
    assert refused(process) == ("what answers large requests has ended, and begins again: try again", 40)
    assert child.starts == 4
    until(lambda: "it has ended 3 times within 60 seconds" in caplog.text)
    assert caplog.text.count("large requests are refused for 60 seconds") == 1
    assert process.fault == "", "others are answered: the server stays ready"
    now[0] += 40
    process.look()
    until(lambda: process.ready)
    assert child.starts == 5
    child.kill()
    process.close()


def test_large_requests_that_wait_have_a_limit_of_their_own(monkeypatch):
    monkeypatch.setattr(f"{MODULE}.WAITING", 2)
    child = Hanging()
    process = begun(child)

    async def crowd():
        waiting = [asyncio.create_task(answer(process)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BadRequest, match="too many large requests at once: try again") as refusal:
            await answer(process)
        child.ready = False
        child.kill()
        return refusal.value, await asyncio.gather(*waiting, return_exceptions=True)

    refusal, others = asyncio.run(crowd())
    assert [each.status for each in (refusal, *others)] == [503] * 3
    process.close()


def test_what_only_begins_when_the_server_ends_is_killed(caplog):
    child = Hanging(ready=False)
    process = LargeRequestProcess(child.start)
    assert ask(process) is None
    until(lambda: child.starts == 1)
    process.close()
    assert child.killed == 1
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR], "nothing is wrong"


@pytest.mark.parametrize("was_begun", [True, False])
def test_a_server_that_has_ended_refuses(was_begun, monkeypatch):
    monkeypatch.setattr(f"{MODULE}.GRACE", 0.05)
    child = Hanging()
    process = begun(child) if was_begun else LargeRequestProcess(child.start)
    process.close()
    assert refused(process) == ("the server ends: try again", 5)
    process.look()
    assert child.starts == was_begun


class Counting:
    """Logs each request after it is answered, and once more when it is closed."""

    count = 0

    def answer(self, asked, body):
        def later():
            self.count += asked is not None

        return self.counted(), body, later

    def counted(self):
        return Reply(counters={"logged_rows": self.count})

    def close(self):
        self.count += 1


class Threaded:
    """Stands for a process that ends with its connection."""

    pid = 0

    def start(self):
        ours, theirs = multiprocessing.Pipe()
        self._thread = threading.Thread(target=serve_connection, args=(theirs, lambda _: Counting()))
        self._thread.start()
        return Started(ours, self)

    def wait(self, timeout=None):
        self._thread.join(timeout)
        return 0


def test_what_is_logged_last_is_counted():
    process = begun(Threaded())
    assert ask(process, b"x") == b"x"
    assert process.counted("logged_rows") == 0, "it is logged after it is answered"
    process.close()
    assert process.counted("logged_rows") == 2
