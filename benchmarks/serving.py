"""The server beside its peers: requests per second and latency, one load generator, one run.

Run `python benchmarks/serving.py [--json] [--seconds 5] [--clients 16] [--only NAME] [--peers-python PATH]`. A model of
300 trees over 30 numeric features is fitted on made-up rows and registered in a temporary home. Each server runs with
one worker on 127.0.0.1, is asked about 2,000 rows in turn over kept connections - from one client, from all as fast as
they are answered, and at half of that rate whatever it answers - and is stopped before the next:

- `no model`: Starlette, and FastAPI with a pydantic body, which read the JSON and answer a constant;
- `FastAPI + XGBoost`: the usual way, `inplace_predict` behind FastAPI and a pydantic body;
- `ml_assets`: `/invocations`, `/v2/.../infer` and `/v1/.../predict`; the last looks 24 of the features up in SQLite by
  one of 20,000 keys and computes 6 from the request; also with every answer logged to the lake;
- `mlflow models serve`, and BentoML, LitServe and MLServer where the Python of `--peers-python` has them: the same
  booster in the form that each documents.

The load generator shares the processors. Ratios to `no model` are what travels. Exit code 1 says that a request failed.
"""

import argparse
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from serving_load import pace, saturate

BIN, HERE = Path(sys.executable).parent, Path(__file__).parent
SERVERS, PEERS = HERE / "servers", HERE / "peers"
FEATURES, TREES, ENTITIES, REQUESTS = 30, 300, 20_000, 2_000
STORED = range(6, FEATURES)
MODEL = "benchmark"
NAMES = [f"x{number}" for number in range(FEATURES)]

Body = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Server:
    """How to start a server, and what to ask it: (what, path, body of a row)."""

    name: str
    command: Callable[[int], list[str]]
    ready: str
    asked: Sequence[tuple[str, str, Body]]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What one server did: a second with all clients, of `no model`, microseconds of processor time that a request took
    (0 where Linux does not tell), and milliseconds of a request alone, among all, and at half of that rate."""

    server: str
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


def register_model(home: Path) -> Path:
    """Fit the model, make it champion; returns where its MLflow files lie."""
    import numpy as np
    import polars as pl

    from ml_assets.home import Home
    from ml_assets.registry.records import RunOrigin
    from ml_assets.registry.registry import Registry
    from ml_assets.settings import read_settings
    from ml_assets.training.fit import fit_model
    from ml_assets.training.spec import TrainingSpec

    os.environ["ML_ASSETS_HOME"] = str(home)
    place = Home.of(read_settings())
    (home / "mlflow" / "artifacts").mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, FEATURES))
    label = values @ rng.normal(size=FEATURES) + rng.normal(size=20_000) > 0
    rows = pl.DataFrame(values, schema=NAMES).with_columns(y=pl.Series(label))
    training = TrainingSpec(max_rounds=TREES, early_stopping_rounds=TREES)
    model = fit_model(
        rows.head(15_000), rows.tail(5_000), features=NAMES, label="y", training=training, metric="log_loss", seed=0,
        parameters={"max_depth": 6, "learning_rate": 0.02},
    )  # fmt: skip
    registry = Registry(place.mlflow, place.mlflow_artifacts, "ml_assets")
    origin = RunOrigin(dagster_run_id="benchmark", code_commit="", table_versions={}, declaration={})
    with registry.training_run(MODEL, origin, tags={}) as run:
        logged = run.log_model(MODEL, model, rows.head(5))
        version = registry.register(MODEL, logged, tags={})
    registry.set_alias(MODEL, "challenger", version.version)
    registry.promote(MODEL, version.version)
    return Path(registry.champion(MODEL).location.removeprefix("file://"))


def build_online(home: Path) -> Path:
    """Keep 24 features of every account ready in SQLite; returns the settings of a server that knows of them."""
    from datetime import UTC, datetime, timedelta

    import numpy as np
    import polars as pl

    from ml_assets.commands.serving.serve import ServeSettings
    from ml_assets.features.spec import FeatureViewSpec
    from ml_assets.home import Home
    from ml_assets.online.build import build_view
    from ml_assets.online.stores.opening import open_store
    from ml_assets.serving.declared import Declarations, OnlineView, RequestField, ServedModel
    from ml_assets.settings import read_settings

    accounts = FeatureViewSpec(
        name="accounts", description="What is known of an account.", table="accounts", entity=["account"],
        known_at="known_at", latest={f"x{at}": f"x{at}" for at in STORED},
    )  # fmt: skip
    asked = FeatureViewSpec(
        name="asked", description="What a request tells.",
        request={
            **{f"x{at}": f"a{at}" for at in range(4)},
            "x4": "CAST(minute AS DOUBLE) / 720 - 1",
            "x5": "FLOOR(minute / 60) / 12 - 1",
        },
    )  # fmt: skip
    now = datetime.now(UTC)
    values = np.random.default_rng(1).normal(size=(ENTITIES, len(STORED)))
    table = pl.DataFrame(values, schema=[f"x{at}" for at in STORED]).with_columns(
        account=pl.int_range(ENTITIES), known_at=pl.lit(now - timedelta(minutes=5)).cast(pl.Datetime("us", "UTC"))
    )
    build_view(
        open_store(Home.of(read_settings()).online_store), accounts, table.lazy(), as_of=now, max_age=timedelta(days=1),
        build="benchmark",
    )  # fmt: skip
    fields = [
        RequestField(name="account", kind="integer", dtype="Int64", nullable=False),
        *(RequestField(name=f"a{at}", kind="number", dtype="Float64", minimum=-10, maximum=10) for at in range(4)),
        RequestField(name="minute", kind="integer", dtype="Int64", minimum=0, maximum=1439),
    ]
    model = ServedModel(name=MODEL, key=["account"], time="asked_at", fields=fields, views=[asked, accounts])
    declared = Declarations(models={MODEL: model}, online={"accounts": OnlineView(view=accounts, fields=[])})
    for logged in (False, True):
        settings = ServeSettings(models=[MODEL], declared=declared, logged=logged)
        (home / f"logged_{logged}.json").write_text(settings.model_dump_json())
    return home


def rows() -> Iterator[dict[str, Any]]:
    """What is asked: features, and beside them an account and what goes with it."""
    drawn = random.Random(0)
    for _ in range(REQUESTS):
        told = {"account": drawn.randrange(ENTITIES), "minute": drawn.randrange(1440)}
        yield {name: drawn.gauss(0, 1) for name in NAMES} | told


def _features(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in NAMES}


def _records(row: dict[str, Any]) -> dict[str, Any]:
    return {"dataframe_records": [_features(row)]}


def _tensors(row: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": "FP64", "shape": [1], "data": [row[name]]} for name in NAMES]}


def _by_key(row: dict[str, Any]) -> dict[str, Any]:
    asked = {f"a{at}": min(max(row[f"x{at}"], -10), 10) for at in range(4)}
    return {"rows": [{"account": row["account"], **asked, "minute": row["minute"]}]}


def servers(home: Path, location: Path, peers: Path | None) -> Iterator[Server]:
    """Ours and the others."""
    booster = str(location / "model.ubj")

    def script(
        name: str, *arguments: str, python: str = sys.executable, folder: Path = SERVERS
    ) -> Callable[[int], list[str]]:
        return lambda port: [python, str(folder / f"{name}.py"), str(port), *arguments]

    yield Server("no model: Starlette", script("no_model"), "/ready", [("", "/predict", _features)])
    yield Server("no model: FastAPI", script("fastapi_xgboost"), "/ready", [("", "/predict", _features)])
    yield Server("FastAPI + XGBoost", script("fastapi_xgboost", booster), "/ready", [("", "/predict", _features)])
    predict, infer = f"/v1/models/{MODEL}/predict", f"/v2/models/{MODEL}/infer"
    ours = [(" /invocations", "/invocations", _records), (" v2", infer, _tensors), (" v1, looked up", predict, _by_key)]
    yield Server("ml_assets", script("ml_assets_server", str(home / "logged_False.json")), "/ping", ours)
    logged = [(" v1, looked up, logged", predict, _by_key)]
    yield Server("ml_assets", script("ml_assets_server", str(home / "logged_True.json")), "/ping", logged)
    mlflow = [str(BIN / "mlflow"), "models", "serve", "-m", str(location), "--env-manager", "local", "-p"]
    yield Server("mlflow models serve", lambda port: [*mlflow, str(port)], "/ping", [("", "/invocations", _records)])
    if peers is None:
        return
    for name, file, ready, path, body in (
        ("LitServe", "litserve_server", "/health", "/invocations", _records),
        ("BentoML", "bentoml_server", "/readyz", "/invocations", _records),
        ("MLServer", "mlserver_server", "/v2/health/ready", infer, _tensors),
    ):
        command = script(file, python=str(peers), folder=PEERS)
        yield Server(name, command, ready, [("", path, body)], {"BENCHMARK_MODEL": booster})


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


def measure(
    name: str, server: subprocess.Popen, port: int, path: str, body: Body, clients: int, seconds: float, base: float
) -> Measured:
    """Ask one server alone, fully and at half of what it did fully."""
    requests = []
    for row in rows():
        told = json.dumps(body(row)).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(told)}\r\n\r\n"
        )
        requests.append(head.encode() + told)
    saturate(port, requests, clients=clients, seconds=1)  # warm
    alone = saturate(port, requests, clients=1, seconds=seconds)
    used = processor_seconds(server)
    full = saturate(port, requests, clients=clients, seconds=seconds)
    used = 1e6 * (processor_seconds(server) - used) / len(full.seconds)
    half = pace(port, requests, rate=full.per_second / 2, seconds=seconds)
    shares = [round(load.milliseconds(share), 3) for load in (alone, full, half) for share in (0.5, 0.99)]
    rate = full.per_second
    failed = alone.failed + full.failed + half.failed
    return Measured(name, round(rate, 1), round(rate / (base or rate), 3), round(used, 1), *shares, failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each load, 60 at most")
    parser.add_argument("--clients", type=int, default=16, help="clients at once, 64 at most")
    parser.add_argument("--only", default="", help="servers whose name holds this text, beside the first")
    parser.add_argument("--peers-python", type=Path, help="Python of the environment that `make peers` makes")
    given = parser.parse_args()
    seconds, clients = min(given.seconds, 60.0), min(given.clients, 64)
    told: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        location = register_model(home)
        build_online(home)
        for one in servers(home, location, given.peers_python):
            if told and given.only not in one.name:
                continue
            port = free_port()
            try:
                server = start(one.command(port), port, one.ready, {"ML_ASSETS_HOME": str(home)} | one.environment)
            except (RuntimeError, FileNotFoundError) as error:
                sys.stderr.write(f"{one.name} is left out: {error}\n")
                continue
            try:
                for what, path, body in one.asked:
                    base = told[0].per_second if told else 0.0
                    told.append(measure(one.name + what, server, port, path, body, clients, seconds, base))
            finally:
                stop(server)
    machine = (
        f"{os.cpu_count()} CPUs, {_processor()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    told_as_json = json.dumps({"machine": machine, "servers": [asdict(one) for one in told]}, indent=2)
    print(told_as_json if given.json else f"{machine}\n\n{table(told)}")  # noqa: T201
    return int(any(one.failed for one in told))


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")), "")


def table(told: list[Measured]) -> str:
    """Markdown."""
    lines = [
        "| server | requests/s | of no model | processor, us | alone p50 / p99, ms | full p50 / p99, ms "
        "| half load p50 / p99, ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in told:
        pairs = ((one.alone_p50, one.alone_p99), (one.full_p50, one.full_p99), (one.half_p50, one.half_p99))
        times = " | ".join(f"{half:.2f} / {most:.2f}" for half, most in pairs)
        lines.append(f"| {one.server} | {one.per_second:,.0f} | {one.ratio:.2f} | {one.cpu:.0f} | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
