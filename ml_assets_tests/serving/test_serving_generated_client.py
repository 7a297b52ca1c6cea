"""A client that openapi-python-client makes from the description, used against the server."""

import importlib
import re
import subprocess
import sys

import httpx
import pytest

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

pytestmark = pytest.mark.slow

ROW = {"km": 12.5, "express": False, "courier": "bob"}
INPUTS = [
    {"name": "km", "datatype": "FP64", "shape": [1], "data": [12.5]},
    {"name": "express", "datatype": "BOOL", "shape": [1], "data": [False]},
    {"name": "courier", "datatype": "BYTES", "shape": [1], "data": ["bob"]},
]
PARCEL = {"parcel": 1, "courier": "ann", "express": True}


@pytest.fixture
def server(registry, declared, store, noon, run_server):
    return "http://" + run_server(make_app(registry, ["late"], Limits(rows=5), declared, store, clock=lambda: noon))


@pytest.fixture
def made(server, tmp_path, monkeypatch):
    """The client's package, and what its maker could not make."""
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{server}/openapi.json").content)
    (tmp_path / "config.yaml").write_bytes(b"post_hooks: []")
    command = ["generate", "--path", "openapi.json", "--output-path", "made_client", "--meta", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command, "--config", "config.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield done.stdout + done.stderr
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_client"]:
        del sys.modules[name]


def test_it_has_every_operation_and_gets_the_answers_that_others_get(made, server):
    unread = [line for line in made.splitlines() if line.startswith(("WARNING", "ERROR", "Unsupported", "Cannot"))]
    # CSV and lines of JSON are not for it.
    assert {*unread} == {
        "WARNING parsing POST /invocations within mlflow.",
        "Unsupported content type text/csv",
        "Unsupported content type application/jsonlines",
    }
    client = importlib.import_module("made_client").Client(base_url=server)

    models = importlib.import_module("made_client.models")

    def operation(name):
        return importlib.import_module(f"made_client.api.{name}")

    def call(name, path, body):
        # The first class among what the body may be.
        sync = operation(name).sync
        kind = next(each for each in re.findall(r"\w+", str(sync.__annotations__["body"])) if each in models.__all__)
        answer = sync(client=client, body=getattr(models, kind).from_dict(body)).to_dict()
        assert answer == httpx.post(server + path, json=body).json()
        return answer

    scores = [
        call("tensorflow_serving.post_v1_models_latepredict", "/v1/models/late:predict", {"instances": [ROW]}),
        call(
            "mlflow.post_invocations",
            "/invocations",
            {"dataframe_split": {"columns": [*ROW], "data": [[*ROW.values()]]}},
        ),
    ]
    assert scores[0]["predictions"][0]["score"] == scores[1]["predictions"][0]["score"]
    call("v2.post_v2_models_late_infer", "/v2/models/late/infer", {"inputs": INPUTS})
    call("torchserve.post_predictions_late", "/predictions/late", ROW)
    metadata = operation("v2.get_v2_models_late").sync(client=client)
    assert metadata.to_dict() == httpx.get(f"{server}/v2/models/late").json()
    assert operation("health.get_v2_health_ready").sync(client=client).ready is True
    named = httpx.get(f"{server}/v2/models/late/versions/1").json()["versions"]
    assert [each.version for each in operation("v2.post_v2_repository_index").sync(client=client)] == named
    answered = operation("v1.post_v1_models_late_predict").sync_detailed(
        client=client, body=models.PostV1ModelsLatePredictLateRows.from_dict({"rows": [PARCEL]})
    )
    assert (answered.status_code, answered.parsed.model) == (200, "late")
