"""A real Redis server without a trace on disk, from the `redis-server` program."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

REQUIRE = "ML_ASSETS_REQUIRE_REDIS"
SLOTS = [(0, 5460), (5461, 10922), (10923, 16383)]


@contextmanager
def redis_server(log: str, *settings: str, clustered: bool = False) -> Iterator[str]:
    """Starts a server; yields its address. Skips the test where there is no such program, unless it is required."""
    program = shutil.which("redis-server")
    if program is None:
        missing = "no `redis-server` program on PATH: install redis-server"
        if os.environ.get(REQUIRE):
            pytest.fail(missing)
        pytest.skip(missing)
    given = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--logfile", log, *settings]
    for _ in range(10):
        # A port that was free may be taken by now.
        port = _free_port()
        ports = ["--port", str(port), *(["--cluster-port", str(_free_port())] if clustered else [])]
        server = subprocess.Popen([program, *given, *ports], cwd="/")
        if _answers(server, port):
            break
        server.wait(30)
    else:
        pytest.fail(f"Redis does not start: {Path(log).read_text()}")
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()  # there is nothing to save
        server.wait(30)


@contextmanager
def redis_cluster(folder: Path) -> Iterator[list[str]]:
    """Starts three servers that share the slots of a cluster; yields their addresses."""
    with ExitStack() as stack:
        addresses = []
        for place in range(3):
            cluster = ["--cluster-enabled", "yes", "--cluster-config-file", str(folder / f"nodes{place}.conf")]
            cluster += ["--cluster-node-timeout", "2000"]
            log = str(folder / f"log{place}")
            addresses.append(stack.enter_context(redis_server(log, *cluster, clustered=True)))
        nodes = [stack.enter_context(redis.Redis.from_url(address)) for address in addresses]
        for place, node in enumerate(nodes):
            node.execute_command("CLUSTER ADDSLOTSRANGE", *SLOTS[place])
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
        ports = [node.connection_pool.connection_kwargs["port"] for node in nodes]
        bus = [node.config_get("cluster-port")["cluster-port"] for node in nodes]
        for port, through in zip(ports[1:], bus[1:], strict=True):
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port, through)
        for _ in range(400):
            told = [node.cluster("INFO") for node in nodes]
            if all(each["cluster_state"] == "ok" and each["cluster_known_nodes"] == "3" for each in told):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"the nodes make no cluster: {told}")
        yield addresses


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answers(server: subprocess.Popen, port: int) -> bool:
    """Waits until the server answers; gives whether it does, or has ended."""
    with redis.Redis(port=port) as asked:
        for _ in range(400):
            if server.poll() is not None:
                return False
            try:
                return asked.info("server")["process_id"] == server.pid
            except redis.ConnectionError:
                time.sleep(0.05)
    pytest.fail("Redis does not answer")
