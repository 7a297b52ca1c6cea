"""The server beside its peers: requests per second and latency, one load generator, one run.

Run `python benchmarks/serving.py [--json] [--seconds 5] [--clients 16]`. A model of 300 trees over 30 numeric features
is fitted on made-up rows and registered in a temporary home. Each server runs with one worker on 127.0.0.1, gets the
same row again and again over kept connections, first from one client, then from all, and is stopped before the next:

- `no model`: Starlette on uvicorn, which reads the JSON and answers a constant - what the framework costs;
- `ml_assets`: `ml-assets serve`, `/invocations` and `/v2/.../infer`;
- `mlflow`: `mlflow models serve` of the same model, where it is installed.

The load generator shares the processors. Ratios to `no model` are what travels. Exit code 1 says that a request failed.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
FEATURES, TREES = 30, 300
MODEL = "benchmark"

NO_MODEL = """
import orjson, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def answer(request):
    orjson.loads(await request.body())
    return Response(b'{"predictions":[{"score":0.5,"prediction":true}]}', media_type="application/json")

async def ping(request):
    return Response()

app = Starlette(routes=[Route("/invocations", answer, methods=["POST"]), Route("/ping", ping)])
uvicorn.run(app, host="127.0.0.1", port=%d, access_log=False, log_level="error")
"""


@dataclass(frozen=True)
class Measured:
    """What one server did: per second with all clients, and milliseconds of a request, alone and among all."""

    server: str
    per_second: float
    ratio: float
    alone_p50: float
    alone_p99: float
    p50: float
    p99: float
    failed: int


def register_model(home: Path) -> str:
    """Fit the model, make it champion; returns where its MLflow files lie."""
    import numpy as np
    import polars as pl

    from ml_assets.home import Home
    from ml_assets.registry.records import RunOrigin
    from ml_assets.registry.registry import Registry
    from ml_assets.training.fit import fit_model
    from ml_assets.training.spec import TrainingSpec

    os.environ["ML_ASSETS_HOME"] = str(home)
    place = Home.from_environment()
    (home / "mlflow" / "artifacts").mkdir(parents=True)
    random = np.random.default_rng(0)
    values = random.normal(size=(20_000, FEATURES))
    names = [f"x{i}" for i in range(FEATURES)]
    label = values @ random.normal(size=FEATURES) + random.normal(size=20_000) > 0
    rows = pl.DataFrame(values, schema=names).with_columns(y=pl.Series(label))
    training = TrainingSpec(max_rounds=TREES, early_stopping_rounds=TREES)
    model = fit_model(
        rows.head(15_000), rows.tail(5_000), features=names, label="y", training=training, metric="log_loss", seed=0,
        parameters={"max_depth": 6, "learning_rate": 0.02},
    )  # fmt: skip
    registry = Registry(place.mlflow, place.mlflow_artifacts, "ml_assets")
    origin = RunOrigin(dagster_run_id="benchmark", code_commit="", table_versions={}, declaration={})
    with registry.training_run(MODEL, origin, tags={}) as run:
        logged = run.log_model(MODEL, model, rows.head(5))
        version = registry.register(MODEL, logged, tags={})
    registry.set_alias(MODEL, "challenger", version.version)
    registry.promote(MODEL, version.version)
    return registry.champion(MODEL).location


def free_port() -> int:
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
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | environment,
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


async def load(port: int, path: str, body: bytes, clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Seconds of each answered request, how many failed, and how long it took."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request, took, failed = head.encode() + body, [], 0
    ends = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < ends:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            headers = answer.lower()
            length = int(headers.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
            failed += not answer.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return took, failed, time.perf_counter() - began


def measure(server: str, port: int, path: str, body: bytes, clients: int, seconds: float, base: float) -> Measured:
    asyncio.run(load(port, path, body, 1, 1))  # warm
    alone, failed_alone, _ = asyncio.run(load(port, path, body, 1, seconds))
    among, failed, wall = asyncio.run(load(port, path, body, clients, seconds))
    rate = len(among) / wall

    def at(took: list[float], share: float) -> float:
        return round(1000 * sorted(took)[int(share * (len(took) - 1))], 3)

    return Measured(
        server, round(rate, 1), round(rate / (base or rate), 3), at(alone, 0.5), at(alone, 0.99), at(among, 0.5),
        at(among, 0.99), failed + failed_alone,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each load, 60 at most")
    parser.add_argument("--clients", type=int, default=16, help="clients at once, 64 at most")
    given = parser.parse_args()
    seconds, clients = min(given.seconds, 60.0), min(given.clients, 64)
    told: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        location = register_model(home)
        row = {f"x{i}": 0.1 * i for i in range(FEATURES)}
        records = json.dumps({"dataframe_records": [row]}).encode()
        inputs = [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in row.items()]
        tensors = json.dumps({"inputs": inputs}).encode()
        ports = [free_port() for _ in range(3)]
        servers = [
            ("no model", [sys.executable, "-c", NO_MODEL % ports[0]], ports[0], [("", "/invocations", records)]),
            (
                "ml_assets",
                [str(BIN / "ml-assets"), "serve", MODEL, "--port", str(ports[1])],
                ports[1],
                [(" /invocations", "/invocations", records), (" v2", f"/v2/models/{MODEL}/infer", tensors)],
            ),
            (
                "mlflow models serve",
                [str(BIN / "mlflow"), "models", "serve", "-m", location, "-p", str(ports[2]), "--env-manager", "local"],
                ports[2],
                [("", "/invocations", records)],
            ),
        ]
        for name, command, port, asked in servers:
            try:
                server = start(command, port, "/ping", {"ML_ASSETS_HOME": str(home)})
            except (RuntimeError, FileNotFoundError) as error:
                sys.stderr.write(f"{name} is left out: {error}\n")
                continue
            try:
                for what, path, body in asked:
                    base = told[0].per_second if told else 0.0
                    told.append(measure(name + what, port, path, body, clients, seconds, base))
            finally:
                stop(server)
    print(json.dumps([asdict(one) for one in told], indent=2) if given.json else table(told))  # noqa: T201
    return int(any(one.failed for one in told))


def table(told: list[Measured]) -> str:
    """Markdown."""
    lines = [
        "| server | requests/s | of no model | alone p50 / p99, ms | all p50 / p99, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.server} | {one.per_second:,.0f} | {one.ratio:.2f} | {one.alone_p50:.2f} / {one.alone_p99:.2f} "
        f"| {one.p50:.2f} / {one.p99:.2f} |"
        for one in told
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
