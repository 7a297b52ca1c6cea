"""TensorFlow Serving's REST API and KServe's first protocol, as their clients speak them."""

import asyncio
import json

import httpx
import orjson
import polars as pl
import pytest
from starlette.testclient import TestClient

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.training.predictions.scored import scored

ROWS = [
    {"km": 12.5, "express": False, "courier": "bob"},
    {"km": None, "express": True, "courier": "ann"},
]
COLUMNS = {"km": [12.5, None], "express": [False, True], "courier": ["bob", "ann"]}
PREDICT = "/v1/models/late:predict"


@pytest.fixture
def client(registry):
    with TestClient(make_app(registry, ["late", "hours", "mood"], Limits(rows=50))) as client:
        yield client


def expected(models, name):
    rows = pl.DataFrame(COLUMNS)
    return scored(rows, models[name]).drop(rows.columns).to_dict(as_series=False)


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
@pytest.mark.parametrize("base", ["", "/versions/1", "/labels/champion"])
def test_rows_are_answered_by_row_and_columns_by_column(client, models, name, base):
    path, wanted = f"/v1/models/{name}{base}:predict", expected(models, name)
    by_row = [dict(zip(wanted, values, strict=True)) for values in zip(*wanted.values(), strict=True)]
    assert client.post(path, json={"instances": ROWS}).json() == {"predictions": by_row}
    assert client.post(path, json={"signature_name": "serving_default", "inputs": COLUMNS}).json() == {
        "outputs": wanted
    }


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [{name: [value] for name, value in row.items()} for row in ROWS]},
        {"instances": [list(row.values()) for row in ROWS]},
    ],
)
def test_other_ways_to_write_the_same_rows(client, body):
    plain = client.post(PREDICT, json={"instances": ROWS}).json()
    assert client.post(PREDICT, json=body).json() == plain


def test_columns_of_two_dimensions(client):
    deep = {name: [[value] for value in values] for name, values in COLUMNS.items()}
    plain = client.post(PREDICT, json={"inputs": COLUMNS}).json()
    assert client.post(PREDICT, json={"inputs": deep}).json() == plain


def test_nan_is_a_missing_value_and_stays_a_text(client):
    rows = [ROWS[0] | {"courier": 'Na"N, NaN'}, ROWS[1] | {"km": float("nan")}]
    body = json.dumps({"instances": rows})
    assert "NaN" in body
    plain = client.post(PREDICT, json={"instances": [rows[0], ROWS[1]]})
    # Without a content type, as KServe's client sends it.
    assert client.post(PREDICT, content=body).json() == plain.json()


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        (PREDICT, b"{}", 400, "either instances or inputs"),
        (PREDICT, b'{"instances": [], "inputs": {}}', 400, "either instances or inputs"),
        (PREDICT, b'{"instances": []}', 400, "there is no row to predict"),
        (PREDICT, b'{"instances": [3]}', 400, "row 0 must be an object"),
        (PREDICT, b'{"instances": {"km": [1]}}', 400, "instances: must be a list of rows"),
        (PREDICT, b'{"instances": [[1.0, true]]}', 400, "row 0 must be a list of 3 values, in the order of ['km'"),
        (PREDICT, b'{"instances": [[1.0, true, "bob"], {}]}', 400, "row 1 must be a list of 3 values"),
        (PREDICT, b'{"inputs": {"km": 3}}', 400, "inputs.km: must be a list of values"),
        (PREDICT, b'{"inputs": {"km": [[1, 2]], "express": [true], "courier": ["a"]}}', 400, "must be a number"),
        (PREDICT, b'{"signature_name": "other", "instances": []}', 400, "there is serving_default and not 'other'"),
        (PREDICT, b'{"instances": [{"km": Infinity}]}', 400, "no JSON"),
        (PREDICT, b'{"instances": "NaN, ' + b'\\"' * 99, 400, "no JSON"),
        ("/v1/models/late/versions/9:predict", b"{}", 404, "version '9' of late is not served; there is 1"),
        ("/v1/models/late/labels/best:predict", b"{}", 404, "label 'best' is not served; there is champion"),
        ("/v1/models/lates:predict", b"{}", 404, "model 'lates' is not served"),
        ("/v1/models/:predict", b"{}", 404, "there is no such path"),
        ("/v1/models/late:rank", b"{}", 404, "there is no such path"),
        ("/v1/models/late", b"{}", 405, "POST is not answered here"),
    ],
)
def test_what_is_wrong_is_refused(client, path, body, status, why):
    done = client.post(path, content=body)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


@pytest.mark.parametrize("base", ["", "/versions/1", "/labels/champion"])
def test_state_and_signature_of_a_model(client, base):
    assert client.get(f"/v1/models/mood{base}").json() == {
        "name": "mood",
        "ready": True,
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
    }
    signed = client.get(f"/v1/models/mood{base}/metadata").json()
    assert signed["model_spec"] == {"name": "mood", "signature_name": "", "version": "1"}
    signature = signed["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["inputs"] == {
        name: {"dtype": dtype, "tensor_shape": shape, "name": name}
        for name, dtype in (("km", "DT_DOUBLE"), ("express", "DT_BOOL"), ("courier", "DT_STRING"))
    }
    assert {name: tensor["dtype"] for name, tensor in signature["outputs"].items()} == {
        "score": "DT_DOUBLE", "prediction": "DT_STRING", "probability_calm": "DT_DOUBLE",
        "probability_cross": "DT_DOUBLE", "probability_glad": "DT_DOUBLE",
    }  # fmt: skip


def test_what_is_not_there_is_not_read(client):
    assert client.get("/v1/models/mood/labels/best").status_code == 404
    assert client.get("/v1/models/moods").status_code == 404
    assert client.get(PREDICT).status_code == 405


def test_explanations_add_up_to_the_margin(client):
    rows = [{"km": 12.5, "express": False, "courier": "bob"}, {"km": 88.0, "express": True, "courier": "cleo"}]
    done = client.post("/v1/models/hours:explain", json={"instances": rows}).json()
    assert (
        done["predictions"] == client.post("/v1/models/hours:predict", json={"instances": rows}).json()["predictions"]
    )
    # The margin of a regression is its score.
    for prediction, explained in zip(done["predictions"], done["explanations"], strict=True):
        assert explained["features"].keys() == {"km", "express", "courier"}
        assert explained["base"] + sum(explained["features"].values()) == pytest.approx(prediction["score"], rel=1e-5)
    by_class = client.post("/v1/models/mood:explain", json={"instances": rows[:1]}).json()["explanations"]
    assert by_class[0].keys() == {"calm", "cross", "glad"}
    assert client.post("/v1/models/hours:explain", json={"instances": []}).status_code == 400


def test_what_kserves_client_reads(registry):
    """Its client's own steps: which body and headers it sends, and what it reads of each answer."""

    async def steps():
        transport = httpx.ASGITransport(app=make_app(registry, ["late"], Limits()))
        async with httpx.AsyncClient(transport=transport, base_url="http://served") as client:
            assert (await client.get("/")).json().get("status").lower() == "alive"
            assert (await client.get("/v2/health/live")).json().get("live") is True
            assert (await client.get("/v2/health/ready")).json().get("ready") is True
            assert (await client.get("/v1/models/late")).json().get("ready") is True
            assert (await client.get("/v2/models/late/ready")).json() == {"name": "late", "ready": True}
            assert (await client.get("/v1/models")).json() == {"models": ["late"]}
            for verb in ("predict", "explain"):
                done = await client.post(f"/v1/models/late:{verb}", content=orjson.dumps({"instances": ROWS}))
                assert len(orjson.loads(done.content)["predictions"]) == 2

    asyncio.run(steps())


def test_health_needs_no_key_and_models_do(registry):
    with TestClient(make_app(registry, ["late"], Limits(keys=("0" * 64,)))) as client:
        assert [client.get(path).status_code for path in ("/", "/v2/health/ready", "/ping", "/health")] == [200] * 4
        assert [client.get(path).status_code for path in ("/v1/models", "/v1/models/late", "/v2")] == [401] * 3
        assert client.post(PREDICT, json={"instances": ROWS}).status_code == 401
