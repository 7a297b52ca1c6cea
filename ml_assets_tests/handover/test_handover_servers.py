"""The servers of other tools, started on what is handed over."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from ml_assets.handover.package import package_model
from ml_assets.training.predictions.scored import scored

pytestmark = pytest.mark.slow
PATIENCE = 180


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def served(command, port, ready, log, **options):
    """The server's address while it runs; it and what it started are ended afterwards."""
    with log.open("wb") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True, **options)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(PATIENCE * 4):
            assert server.poll() is None, log.read_text()[-3000:]
            try:
                if httpx.get(address + ready, timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.25)
        else:
            pytest.fail(f"no answer within {PATIENCE} s: {log.read_text()[-3000:]}")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_bentoml_serves_what_the_model_says(models, rows, candidate, peers, tmp_path):
    service, port = tmp_path / "mood", free_port()
    package_model(candidate(models["mood"], "mood"), "bentoml", service)
    command = [peers.program("bentoml"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    options = {"cwd": service, "env": peers.environment(tmp_path)}
    with served(command, port, "/readyz", tmp_path / "log", **options) as address:
        answer = httpx.post(f"{address}/predict", json={"rows": rows.to_dicts()}, timeout=60)
        assert answer.json() == scored(rows, models["mood"]).drop(rows.columns).to_dicts()
        wrong = httpx.post(f"{address}/predict", json={"rows": [{"km": 1}]}, timeout=60)
        assert (wrong.status_code, "features ['courier', 'express'] are missing" in wrong.text) == (400, True)
        assert httpx.post(f"{address}/predict", json={"rows": []}, timeout=60).json() == []


def test_the_onnx_package_needs_nothing_but_its_requirements(models, rows, candidate, ask, peers, tmp_path):
    package_model(candidate(models["late"]), "onnx", tmp_path / "out")
    answers = ask(tmp_path / "out", rows.to_dicts(), python=peers.program("python"))
    wanted = scored(rows, models["late"])
    assert [one["score"] for one in answers] == pytest.approx(wanted["score"].to_list(), abs=1e-6)
    assert [one["prediction"] for one in answers] == wanted["prediction"].to_list()


def test_mlflow_serves_the_directory_that_the_dockerfile_copies(models, rows, candidate, tmp_path):
    package_model(candidate(models["mood"], "mood", logged=True), "mlflow-docker", tmp_path / "out")
    (copied,) = (line.split()[1] for line in (tmp_path / "out/Dockerfile").read_text().splitlines() if "COPY" in line)
    port, mlflow = free_port(), Path(sys.executable).parent / "mlflow"
    # What the container's entry point does, without nginx in front.
    command = [mlflow, "models", "serve", "-m", tmp_path / "out" / copied, "-p", str(port), "--env-manager", "local"]
    path = f"{mlflow.parent}{os.pathsep}{os.environ['PATH']}"
    options = {"cwd": tmp_path, "env": {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}}
    encoded = models["mood"].encoding.encode(rows)
    data = [[None if np.isnan(value) else float(value) for value in row] for row in encoded]
    with served(list(map(str, command)), port, "/ping", tmp_path / "log", **options) as address:
        body = {"dataframe_split": {"columns": models["mood"].features, "data": data}}
        told = httpx.post(f"{address}/invocations", json=body, timeout=60).json()["predictions"]
    own = models["mood"].raw_scores(encoded)
    assert np.allclose(told, own, atol=1e-6)
