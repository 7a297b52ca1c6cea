"""The server beside its peers: requests per second and latency, one load generator, one run.

Run `python benchmarks/serving.py [--json] [--seconds 5] [--clients 16] [--only NAME] [--home .ml_assets]
[--peers-python PATH] [--beside CHECKOUT]`. Each server runs with one worker on 127.0.0.1, is asked in turn about what
`serving_made_up.py` and `serving_flights.py` say over kept connections - from one client, from all as fast as they are
answered, and at half of that rate whatever it answers - and is stopped before the next:

- `no model`: Starlette, and FastAPI with a pydantic body, which read the JSON and answer a constant;
- `FastAPI + XGBoost`: the usual way, `inplace_predict` behind FastAPI and a pydantic body;
- `ml_assets`: a made-up model of 300 trees over 30 numeric features by `/invocations`, `/v2/.../infer` and
  `/v1/.../predict`, with 1, 100 and 1,000 rows; the last looks 24 of the features up in SQLite by one of 20,000 keys
  and computes 6 from the request; also with every answer logged to the lake;
- `ml_assets flights`: the same of the flights' own model, whose `/v1/.../predict` looks up 13 views, and pushes of
  single facts; where `--home` is one in which `make run` has trained it, of which it takes a copy;
- `mlflow models serve`, and BentoML, LitServe and MLServer where the Python of `--peers-python` has them: the made-up
  model in the form that each documents; and Feast's server of the flights' look-ups, which predicts nothing.

`--beside` lets another checkout with an environment measure its own servers in the same run, those before the others.
The load generator shares the processors. Ratios to `no model` are what travels. Exit code 1 says that a request failed.
"""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from flights_served import copy_home
from serving_cases import Case, Server
from serving_flights import feast_server, flights_servers
from serving_load import Load, pace, saturate
from serving_made_up import BIN, build_online, peers, register_model, servers


@dataclass(frozen=True)
class Measured:
    """What one server did: a second with all clients, of `no model`, microseconds of processor time that a request took
    (0 where Linux does not tell), and milliseconds of a request alone, among all, and at half of that rate."""

    server: str
    rows: int
    per_second: float
    ratio: float
    cpu: float
    alone_p50: float
    alone_p99: float
    full_p50: float
    full_p99: float
    half_p50: float
    half_p99: float
    failed: int


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(command: list[str], port: int, ready: str, environment: dict[str, str]) -> subprocess.Popen:
    """Start a server and wait until it answers.

    Raises:
        RuntimeError: it ended, or did not answer within two minutes.
    """
    # A file takes what it says: a pipe that nobody reads would fill up and stop it.
    said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
    server = subprocess.Popen(
        command,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"} | environment,
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2)
            return server
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    stop(server)
    said.seek(0)
    raise RuntimeError(f"{' '.join(command)[:80]} does not answer: {said.read()[-500:].decode()}")


def stop(server: subprocess.Popen) -> None:
    """End the server and the workers that it started, and no other process."""
    if server.poll() is None:
        os.killpg(server.pid, 15)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def processor_seconds(server: subprocess.Popen) -> float:
    """What the server, its workers and the process that writes its log have used; 0 where /proc does not tell."""
    used = 0
    for told in Path("/proc").glob("[0-9]*/stat"):
        try:
            parts = told.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if server.pid in (int(parts[1]), int(parts[2])):
            used += int(parts[11]) + int(parts[12])
    return used / os.sysconf("SC_CLK_TCK")


def measure(name: str, server: subprocess.Popen, port: int, case: Case, load: "LoadSettings", base: float) -> Measured:
    """Ask one server alone, fully and at half of what it did fully."""
    requests = deque(_request(case.path, body) for body in case.bodies)
    clients, seconds = load.clients, load.seconds
    _go_on(requests, saturate(port, requests, clients=clients, seconds=min(1, seconds)))  # warm
    alone = _go_on(requests, saturate(port, requests, clients=1, seconds=seconds))
    used = processor_seconds(server)
    full = _go_on(requests, saturate(port, requests, clients=clients, seconds=seconds))
    used = 1e6 * (processor_seconds(server) - used) / len(full.seconds)
    half = pace(port, requests, rate=full.per_second / 2, seconds=max(seconds, 4 / full.per_second))
    shares = [round(load.milliseconds(share), 3) for load in (alone, full, half) for share in (0.5, 0.99)]
    rate = full.per_second
    failed = alone.failed + full.failed + half.failed
    return Measured(name, case.rows, round(rate, 1), round(rate / (base or rate), 3), round(used, 1), *shares, failed)


def _go_on(requests: deque[bytes], load: Load) -> Load:
    """Put those that were asked behind the others, so that a fact is pushed once."""
    requests.rotate(-len(load.seconds))
    return load


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass(frozen=True)
class LoadSettings:
    """How long and from how many clients each case is asked, and which servers beside the first."""

    seconds: float
    clients: int
    only: str


def measure_all(offered: Iterator[Server], home: Path, load: LoadSettings, measured: list[Measured]) -> None:
    """Measure servers one after the other; one that does not start is left out, and said."""
    for one in offered:
        wanted = [case for case in one.cases if not measured or load.only in one.name + case.what]
        if not wanted:
            continue
        port = free_port()
        try:
            server = start(one.command(port), port, one.ready, {"ML_ASSETS_HOME": str(home)} | one.environment)
        except (RuntimeError, FileNotFoundError) as error:
            sys.stderr.write(f"{one.name} is left out: {error}\n")
            continue
        try:
            for case in wanted:
                base = measured[0].per_second if measured else 0.0
                measured.append(measure(one.name + case.what, server, port, case, load, base))
        except ConnectionError as error:
            sys.stderr.write(f"{one.name}{case.what} is left out, and what comes after it: {error}\n")
        finally:
            stop(server)


def measure_beside(checkout: Path, load: LoadSettings) -> list[Measured]:
    """Let another checkout measure its servers by its own script; those of `no model` are measured here.

    Raises:
        CalledProcessError: it cannot.
    """
    command = [checkout / ".venv/bin/python", checkout / "benchmarks/serving.py", "--json", "--only", "ml_assets"]
    options = ["--seconds", str(load.seconds), "--clients", str(load.clients)]
    own = os.environ | {"PYTHONPATH": str(checkout)}  # also where its environment is another checkout's
    done = subprocess.run([*command, *options], cwd=checkout, env=own, stdout=subprocess.PIPE, check=True)
    rows = json.loads(done.stdout)["servers"][1:]
    return [Measured(**{"rows": 1} | row | {"server": f"before: {row['server']}"}) for row in rows]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each load, 60 at most")
    parser.add_argument("--clients", type=int, default=16, help="clients at once, 64 at most")
    parser.add_argument("--only", default="", help="servers and cases whose name holds this text, beside the first")
    parser.add_argument("--home", type=Path, default=Path(".ml_assets"), help="where `make run` trained the flights")
    parser.add_argument("--peers-python", type=Path, help="Python of the environment that `make peers` makes")
    parser.add_argument("--beside", type=Path, help="another checkout, whose servers are measured too")
    given = parser.parse_args()
    load = LoadSettings(min(given.seconds, 60.0), min(given.clients, 64), given.only)
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        location = register_model(home)
        build_online(home)
        measure_all(servers(home, location), home, load, measured)
        if given.peers_python is not None:
            measure_all(peers(location, given.peers_python), home, load, measured)
        measure_flights(given.home, Path(folder), given.peers_python, load, measured)
        if given.beside is not None:
            measured += measure_beside(given.beside, load)
    machine = (
        f"{os.cpu_count()} CPUs, {_processor()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    as_json = json.dumps({"machine": machine, "servers": [asdict(one) for one in measured]}, indent=2)
    print(as_json if given.json else f"{machine}\n\n{table(measured)}")  # noqa: T201
    return int(any(one.failed for one in measured))


def measure_flights(
    lived: Path, folder: Path, python: Path | None, load: LoadSettings, measured: list[Measured]
) -> None:
    """Measure the servers of the flights, where a home has their model."""
    try:
        flights = copy_home(lived, folder / "flights")
    except SystemExit as error:
        sys.stderr.write(f"the flights are left out: {error}\n")
        return
    measure_all(flights_servers(flights), flights.home.root, load, measured)
    if python is not None and load.only in "Feast, the look-ups alone":
        feast = feast_server(flights, folder / "feast", python)
        measure_all(iter([feast]), flights.home.root, load, measured)


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")), "")


def table(measured: list[Measured]) -> str:
    """Return the measurements as Markdown."""
    lines = [
        "| server | requests/s | of no model | processor, us a request | us a row | alone p50 / p99, ms "
        "| full p50 / p99, ms | half load p50 / p99, ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in measured:
        pairs = ((one.alone_p50, one.alone_p99), (one.full_p50, one.full_p99), (one.half_p50, one.half_p99))
        times = " | ".join(f"{half:.2f} / {most:.2f}" for half, most in pairs)
        used = f"{one.cpu:,.0f} | {one.cpu / one.rows:,.0f}"
        lines.append(f"| {one.server} | {one.per_second:,.0f} | {one.ratio:.2f} | {used} | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
