"""TensorFlow Serving's REST API for examples: classes and values."""

import base64
import json

import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.training.predictions.scored import scored

ROWS = [
    {"km": 12.5, "express": False, "courier": "bob"},
    {"km": None, "express": True, "courier": "ann"},
    {"km": 70.0, "express": True, "courier": "bob"},
]
CLASSIFY, REGRESS = "/v1/models/mood:classify", "/v1/models/hours:regress"


@pytest.fixture
def client(registry):
    with TestClient(make_app(registry, ["late", "hours", "mood"], Limits(rows=3))) as client:
        yield client


def score(models, name):
    return scored(pl.DataFrame(ROWS), models[name])


@pytest.mark.parametrize("base", ["", "/versions/1", "/labels/champion"])
def test_examples_are_classified_and_given_values(client, models, base):
    body = {"signature_name": "serving_default", "examples": ROWS}
    columns = score(models, "mood")
    classes = ["calm", "cross", "glad"]
    wanted = [[list(each) for each in zip(classes, row, strict=True)]
              for row in columns.select(f"probability_{name}" for name in classes).rows()]  # fmt: skip
    assert client.post(f"/v1/models/mood{base}:classify", json=body).json() == {"result": wanted}
    wanted = [[["false", 1 - late], ["true", late]] for late in score(models, "late")["score"]]
    assert client.post(f"/v1/models/late{base}:classify", json=body).json() == {"result": wanted}
    wanted = score(models, "hours")["score"].to_list()
    assert client.post(f"/v1/models/hours{base}:regress", json=body).json() == {"result": wanted}


@pytest.mark.parametrize(
    "body",
    [
        {"examples": [{name: [value] for name, value in row.items()} for row in ROWS[::2]]},
        {
            "context": {"courier": {"b64": base64.b64encode(b"bob").decode()}},
            "examples": [{"km": [12.5], "express": False}, {"km": 70, "express": [True]}],
        },
        {"context": {}, "examples": ROWS[::2]},
    ],
)
def test_other_ways_to_write_the_same_examples(client, body):
    plain = client.post(REGRESS, json={"examples": ROWS[::2]}).json()
    assert client.post(REGRESS, json=body).json() == plain
    assert len(plain["result"]) == 2


def test_nan_is_a_missing_value(client):
    body = json.dumps({"examples": [ROWS[1] | {"km": float("nan")}]})
    assert client.post(REGRESS, content=body).json() == client.post(REGRESS, json={"examples": ROWS[1:2]}).json()


def test_a_text_in_base64_is_read_in_the_other_forms_too(client):
    coded = {"b64": base64.b64encode(b"bob").decode()}
    for plain, other in (
        ({"instances": ROWS[:1]}, {"instances": [ROWS[0] | {"courier": coded}]}),
        ({"inputs": {name: [value] for name, value in ROWS[0].items()}},
         {"inputs": {"km": [12.5], "express": [False], "courier": [coded]}}),
    ):  # fmt: skip
        answers = [client.post("/v1/models/hours:predict", json=body).json() for body in (plain, other)]
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        (
            "/v1/models/hours:classify",
            {"examples": ROWS},
            400,
            "hours predicts a value and tells no classes apart: ask it by :regress",
        ),
        *[
            (f"/v1/models/{name}:regress", {"examples": ROWS}, 400,
             f"{name} tells classes apart and predicts no value: ask it by :classify")
            for name in ("late", "mood")
        ],
        (CLASSIFY, {}, 400, "examples: must be a list of examples"),
        (CLASSIFY, {"examples": {}}, 400, "examples: must be a list of examples"),
        (CLASSIFY, {"examples": []}, 400, "there is no row to predict"),
        (CLASSIFY, {"examples": [3]}, 400, "example 0 must be an object"),
        (CLASSIFY, {"examples": ROWS, "context": []}, 400, "context: must be an object"),
        (CLASSIFY, {"examples": ROWS, "context": {"km": 1}}, 400, "example 0: gives 'km', which context gives"),
        (CLASSIFY, {"examples": [{"km": 1}], "context": {"express": True}}, 400, "['courier'] are missing"),
        (CLASSIFY, {"examples": [ROWS[0] | {"miles": 1}]}, 400, "there are no features ['miles']"),
        (CLASSIFY, {"examples": [ROWS[0] | {"km": "far"}]}, 400, "km: must be a number"),
        (CLASSIFY, {"examples": [ROWS[0] | {"courier": {"b64": "%"}}]}, 400, "b64: '%' is no text in base64"),
        (CLASSIFY, {"examples": [ROWS[0] | {"courier": {"b64": "/w=="}}]}, 400, "is no text in base64"),
        (CLASSIFY, {"examples": [ROWS[0] | {"courier": {"b64": 3}}]}, 400, "b64: '3' is no text in base64"),
        (CLASSIFY, {"examples": ROWS, "signature_name": "other"}, 400, "there is serving_default and not 'other'"),
        (CLASSIFY, {"examples": [*ROWS, ROWS[0]]}, 413, "4 rows are more than 3"),
        ("/v1/models/mood/versions/9:classify", {"examples": ROWS}, 404, "version '9' of mood is not served"),
        ("/v1/models/mood/labels/best:classify", {"examples": ROWS}, 404, "label 'best' is not served"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(client, path, body, status, why):
    done = client.post(path, json=body)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


def test_each_model_is_described_by_what_it_can_be_asked(client):
    paths = client.get("/openapi.json").json()["paths"]
    asked = {path for path in paths if path.endswith((":classify", ":regress")) and "{" not in path}
    assert asked == {"/v1/models/late:classify", CLASSIFY, REGRESS}
    assert client.get(CLASSIFY).status_code == 405


def test_a_small_body_cannot_ask_for_much_memory(client):
    body = {"context": {f"k{at}": 1 for at in range(2_001)}, "examples": [{}] * 500}
    refused = client.post(REGRESS, json=body)
    assert refused.status_code == 413
    assert "context: 2001 features of 500 examples are more than 1,000,000 values" in refused.json()["error"]
