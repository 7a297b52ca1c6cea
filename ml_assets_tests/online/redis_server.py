"""A real Redis server without a trace on disk, from the `redis-server` program."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

REQUIRE = "ML_ASSETS_REQUIRE_REDIS"


@contextmanager
def redis_server(log: str) -> Iterator[str]:
    """Starts a server; yields its address. Skips the test where there is no such program, unless it is required."""
    program = shutil.which("redis-server")
    if program is None:
        missing = "no `redis-server` program on PATH: install redis-server"
        if os.environ.get(REQUIRE):
            pytest.fail(missing)
        pytest.skip(missing)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--logfile", log]
    server = subprocess.Popen([program, *settings], cwd="/")
    try:
        _wait(server, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen, port: int) -> None:
    for _ in range(200):
        assert server.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("Redis does not answer")
