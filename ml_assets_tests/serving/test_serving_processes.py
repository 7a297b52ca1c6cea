"""A server of several processes: how it starts, encrypts and ends."""

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from ml_assets.commands.serving.tls import Tls, given_tls
from ml_assets.serving.http.transport.running import _Supervisor


@pytest.fixture
def start(tmp_path):
    """Starts servers; gives the process and the port."""
    running = []

    def begin(workers, *files):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, str(Path(__file__).with_name("echo_workers.py")), str(tmp_path), str(port)]
        log = (tmp_path / "log").open("w")
        process = subprocess.Popen([*command, str(workers), *map(str, files)], stderr=log, start_new_session=True)
        running.append(process)
        return process, port

    yield begin
    for process in running:
        process.kill()
        process.wait()


def get(port, path="/", context=None):
    made = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = made("127.0.0.1", port, timeout=60, **({"context": context} if context else {}))
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return int(body), answer.headers["x-scheme"]


def first(port, context=None):
    until = time.monotonic() + 60
    while True:
        try:
            return get(port, context=context)
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_signal_to_end_lets_both_processes_answer_and_close(start, tmp_path, certificate):
    trusting = ssl.create_default_context(cafile=certificate)
    process, port = start(2, certificate, certificate)
    assert first(port, trusting)[1] == "https"
    with pytest.raises((OSError, http.client.HTTPException)):
        get(port)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(get(port, "/slow", trusting))) for _ in range(8)]
    for each in asking:
        each.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    for each in asking:
        each.join()
    assert process.wait(60) == 0
    workers = {number for number, _ in answers}
    assert len(answers) == 8
    ended = {int(path.name.partition("-")[2]) for path in tmp_path.glob("ended-*")}
    assert (len(ended), ended >= workers) == (2, True)
    assert (tmp_path / "returned").exists()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_workers_end_with_the_process_that_started_them(start, tmp_path):
    process, port = start(2)
    number, _ = first(port)
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while alive(number):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (tmp_path / f"ended-{number}").exists()


def test_an_app_that_cannot_be_made_is_a_failure(start, tmp_path):
    (tmp_path / "broken").touch()
    process, _ = start(2)
    assert process.wait(60) == 1
    log = (tmp_path / "log").read_text()
    assert "the app cannot be made" in log
    assert "RuntimeError: the server did not start: see above" in log


def test_a_worker_that_ends_while_it_is_asked_is_noticed_at_once():
    """As one whose gRPC finds its port taken: nothing is waited for that nobody can answer any more."""
    worker = Process.__new__(Process)
    worker.parent_conn, worker.child_conn = Pipe()
    worker.process = SimpleNamespace(
        is_alive=lambda: True, kill=lambda: None, join=lambda: None, exitcode=STARTUP_FAILURE, pid=1
    )
    others_end = Connection(os.dup(worker.child_conn.fileno()))

    def end_when_asked():
        others_end.recv()
        others_end.close()

    ending = threading.Thread(target=end_when_asked)
    ending.start()
    supervisor = _Supervisor.__new__(_Supervisor)
    supervisor.config, supervisor.processes = SimpleNamespace(timeout_worker_healthcheck=3600), [worker]
    supervisor.should_exit = threading.Event()
    supervisor.keep_subprocess_alive()
    ending.join()
    assert supervisor.should_exit.is_set()


def test_a_certificate_is_given_with_its_key(certificate, tmp_path):
    assert given_tls(None, None) is None
    assert given_tls(certificate, certificate) == Tls(certificate=certificate, key=certificate)
    with pytest.raises(ValueError, match="--tls-key is missing"):
        given_tls(certificate, None)
    with pytest.raises(ValueError, match=r"--tls-key .*none\.pem cannot be read: No such file"):
        given_tls(certificate, tmp_path / "none.pem")
    (tmp_path / "wrong.pem").write_text("wrong")
    with pytest.raises(ValueError, match="are no certificate and its key in PEM"):
        given_tls(certificate, tmp_path / "wrong.pem")
