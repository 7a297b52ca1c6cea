"""TorchServe's inference API, and what its management API gives to read."""

import json

import pytest
from starlette.testclient import TestClient

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

ROWS = [
    {"km": 12.5, "express": False, "courier": "bob"},
    {"km": None, "express": True, "courier": "ann"},
]


@pytest.fixture
def client(registry):
    with TestClient(make_app(registry, ["late", "hours"], Limits(rows=50))) as client:
        yield client


@pytest.fixture
def predictions(client):
    return client.post("/v1/models/late:predict", json={"instances": ROWS}).json()["predictions"]


@pytest.mark.parametrize("path", ["/predictions/late", "/predictions/late/1"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_predictions_have_the_form_of_the_request(client, predictions, path, method):
    def sent(body):
        # As curl -T sends a file: without a content type.
        return client.request(method, path, content=json.dumps(body)).json()

    assert sent(ROWS[0]) == predictions[0]
    assert sent(ROWS) == predictions
    assert sent([list(row.values()) for row in ROWS]) == predictions
    assert sent({"instances": ROWS}) == {"predictions": predictions}
    assert sent([ROWS[0], ROWS[1] | {"km": float("nan")}]) == predictions


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "why"),
    [
        ("POST", "/predictions/late", b"{", 400, "no JSON"),
        ("POST", "/predictions/late", b"{}", 400, "features ['courier', 'express', 'km'] are missing"),
        ("POST", "/predictions/late", b"[]", 400, "there is no row to predict"),
        ("POST", "/predictions/late", b"3", 400, "the body: must be a list of rows"),
        ("POST", "/predictions/late", b'{"instances": 3}', 400, "instances: must be a list of rows"),
        ("POST", "/predictions/lates", b"{}", 404, "model 'lates' is not served"),
        ("PUT", "/predictions/late/2", b"{}", 404, "version '2' of late is not served; there is 1"),
        ("DELETE", "/predictions/late", b"", 405, "DELETE is not answered here"),
        ("PUT", "/v2/models/late/infer", b"{}", 405, "PUT is not answered here"),
        ("POST", "/models", b"{}", 405, "POST is not answered here"),
        ("DELETE", "/models/late", b"", 405, "DELETE is not answered here"),
        ("GET", "/models/lates", b"", 404, "model 'lates' is not served"),
        ("GET", "/models/late/2", b"", 404, "version '2' of late is not served"),
    ],
)
def test_what_is_wrong_is_refused(client, method, path, body, status, why):
    done = client.request(method, path, content=body)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


def test_what_the_management_api_gives_to_read(client):
    assert client.get("/ping").json() == {"status": "Healthy"}
    assert client.get("/models").json() == {
        "models": [
            {"modelName": "late", "modelUrl": "models:/late/1"},
            {"modelName": "hours", "modelUrl": "models:/hours/1"},
        ]
    }
    for path in ("/models/late", "/models/late/1"):
        (described,) = client.get(path).json()
        assert (described["modelName"], described["modelVersion"]) == ("late", "1")
        assert [worker["status"] for worker in described["workers"]] == ["READY"]


def test_a_put_is_counted_and_other_methods_are_told_what_is_allowed(client):
    client.put("/predictions/late", content=json.dumps(ROWS[0]))
    assert 'ml_assets_answers_total{route="/predictions/{model}",status="200"} 1.0' in client.get("/metrics").text
    allowed = client.get("/predictions/late").headers["allow"]
    assert {each.strip() for each in allowed.split(",")} == {"POST", "PUT"}
