"""The server as its clients see it."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import orjson
import polars as pl
import pytest
from starlette.testclient import TestClient
from tritonclient import http as triton

from ml_assets.serving.access.digests import hashed_keys
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.training.predictions.scored import scored
from ml_assets_tests.threads import ThreadedServer

ROW = {"km": 12.5, "express": False, "courier": "bob"}
INPUTS = [
    {"name": "km", "datatype": "FP64", "shape": [2], "data": [12.5, None]},
    {"name": "express", "datatype": "BOOL", "shape": [2, 1], "data": [[False], [True]]},
    {"name": "courier", "datatype": "BYTES", "shape": [2], "data": ["bob", "ann"]},
]


@pytest.fixture
def client(registry):
    with TestClient(make_app(registry, ["late", "hours", "mood"], Limits(rows=50, body=10_000))) as client:
        yield client


@pytest.fixture
def only(registry):
    with TestClient(make_app(registry, ["late"], Limits(rows=50, body=10_000))) as client:
        yield client


def expected(models, name, rows):
    return scored(rows, models[name]).drop(rows.columns).to_dict(as_series=False)


def test_health_and_metadata(client):
    assert [client.get(f"/v2/health/{state}").status_code for state in ("live", "ready")] == [200, 200]
    assert client.get("/v2").json()["name"] == "ml_assets"
    assert client.get("/v2/models/late/ready").status_code == 200
    told = client.get("/v2/models/mood/versions/1").json()
    assert told["inputs"] == [
        {"name": "km", "datatype": "FP64", "shape": [-1]},
        {"name": "express", "datatype": "BOOL", "shape": [-1]},
        {"name": "courier", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [(one["name"], one["datatype"]) for one in told["outputs"]] == [
        ("score", "FP64"), ("prediction", "BYTES"),
        ("probability_calm", "FP64"), ("probability_cross", "FP64"), ("probability_glad", "FP64"),
    ]  # fmt: skip
    assert told["versions"] == ["1"]


def test_infer_answers_in_tensors(client, models):
    answer = client.post("/v2/models/hours/infer", json={"id": "a7", "inputs": INPUTS}).json()
    asked = pl.DataFrame({"km": [12.5, None], "express": [False, True], "courier": ["bob", "ann"]})
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a7", "hours", "1")
    assert {one["name"]: one["data"] for one in answer["outputs"]} == expected(models, "hours", asked)
    assert all(one["shape"] == [2] for one in answer["outputs"])
    whole = [tensor | {"shape": [float(size) for size in tensor["shape"]]} for tensor in INPUTS]
    assert client.post("/v2/models/hours/infer", json={"id": "a7", "inputs": whole}).json() == answer
    fewer = client.post("/v2/models/hours/infer", json={"inputs": INPUTS, "outputs": [{"name": "upper"}]}).json()
    assert [one["name"] for one in fewer["outputs"]] == ["upper"]


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_invocations_takes_each_form_of_mlflow(only, models, rows, form):
    dicts = rows.to_dicts()
    columns = rows.to_dict(as_series=False)
    content = {
        "dataframe_split": {"columns": rows.columns, "data": [list(row.values()) for row in dicts]},
        "dataframe_records": dicts,
        "instances": dicts,
        "inputs": columns,
    }[form]
    done = only.post("/invocations", json={form: content})
    wanted = expected(models, "late", rows)
    assert done.json()["predictions"] == [
        {name: values[at] for name, values in wanted.items()} for at in range(rows.height)
    ]
    assert done.headers["x-model-version"] == "1"


def test_the_probes_of_mlflow_answer(only):
    import mlflow

    assert (only.get("/ping").status_code, only.get("/health").status_code) == (200, 200)
    assert only.get("/version").text == mlflow.__version__


TENSOR = {"name": "km", "datatype": "FP64", "shape": [1], "data": [1.0]}
WHOLE = [
    TENSOR,
    *({"name": name, "datatype": "BYTES", "shape": [1], "data": [None]} for name in ("express", "courier")),
]
BINARY = {"parameters": {"binary_data_size": True}}
WRONG = [
    ("/v2/models/lates/infer", {"inputs": []}, 404, "model 'lates' is not served; there are late"),
    ("/v2/models/late/versions/9/infer", {"inputs": []}, 404, "version '9' of late is not served; there is 1"),
    ("/v2/models/late/infer", [], 400, "the body must be a JSON object"),
    ("/v2/models/late/infer", {}, 400, "inputs: must be a list of tensors"),
    ("/v2/models/late/infer", {"inputs": [{"shape": [1]}]}, 400, "each tensor needs a name of its own"),
    ("/v2/models/late/infer", {"inputs": [TENSOR, TENSOR]}, 400, "each tensor needs a name of its own, not 'km'"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | {"shape": [1, 2]}]}, 400, "inputs.km: shape must be [rows] or"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | {"shape": [-1]}]}, 400, "inputs.km: shape must be [rows] or"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | {"data": [1, 2]}]}, 400, "data has 2 values, shape says 1"),
    ("/v2/models/late/infer", {"inputs": [TENSOR]}, 400, "features ['courier', 'express'] are missing"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | {"parameters": 3}]}, 400, "inputs.km: parameters must be an object"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | BINARY]}, 400, "inputs.km: binary_data_size must be a number"),
    ("/v2/models/late/infer", {"inputs": [TENSOR | {"datatype": ["FP64"]}]}, 400, "inputs.km: datatype must be one of"),
    ("/v2/models/late/infer", {"inputs": WHOLE, "outputs": 3}, 400, "outputs: must be a list of tensors"),
    ("/v2/models/late/infer", {"inputs": WHOLE, "outputs": ["score"]}, 400, "outputs: must be a list of tensors"),
    ("/v2/models/late/infer", {"inputs": WHOLE, "outputs": [{"name": ["score"]}]}, 400, "there is no \"['score']\""),
    ("/invocations", {"dataframe_split": {"columns": [["km"]], "data": []}}, 400, "columns must be names"),
    ("/invocations", {"dataframe_split": {"columns": ["km", "km"], "data": []}}, 400, "names, each one once"),
    ("/invocations", {}, 400, "exactly one of dataframe_split, dataframe_records, instances, inputs"),
    ("/invocations", {"instances": [ROW], "inputs": {}}, 400, "exactly one of"),
    ("/invocations", {"instances": 3}, 400, "instances: must be a list of rows"),
    ("/invocations", {"instances": [3]}, 400, "row 0 must be an object"),
    ("/invocations", {"instances": []}, 400, "there is no row to predict"),
    ("/invocations", {"instances": [ROW] * 51}, 413, "51 rows are more than 50"),
    ("/invocations", {"instances": [ROW | {"note": "x" * 10_000}]}, 413, "larger than 10000 bytes"),
    ("/invocations", {"dataframe_split": {"columns": ["km"]}}, 400, "with the lists columns and data"),
    ("/invocations", {"dataframe_split": {"columns": ["km"], "data": [[1, 2]]}}, 400, "row 0 must be a list of 1"),
]


@pytest.mark.parametrize(("path", "body", "status", "why"), WRONG)
def test_a_wrong_request_is_told_what_to_change(only, path, body, status, why):
    done = only.post(path, content=orjson.dumps(body), headers={"content-type": "application/json"})
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


@pytest.mark.parametrize("length", ["²", "-1", "x", "999"])
def test_a_length_of_the_header_that_is_none(only, length):
    headers = {"inference-header-content-length": length.encode("latin-1")}
    done = only.post("/v2/models/late/infer", content=b'{"inputs":[]}', headers=headers)
    assert (done.status_code, "is no length within the body" in done.json()["error"]) == (400, True)


def test_a_body_that_is_no_json_and_a_form_that_is_not_offered(only):
    done = only.post("/invocations", content=b"{", headers={"content-type": "application/json"})
    assert (done.status_code, "no JSON" in done.json()["error"]) == (400, True)
    done = only.post("/invocations", content=b"km\n1\n", headers={"content-type": "text/plain"})
    assert (done.status_code, "application/jsonlines, not 'text/plain'" in done.json()["error"]) == (415, True)
    assert only.get("/nothing").status_code == 404
    assert only.get("/invocations").status_code == 405


def test_with_several_models_an_invocation_has_to_name_one(client):
    done = client.post("/invocations", json={"instances": [ROW]})
    assert (done.status_code, "names no model: of late, hours, mood" in done.json()["error"]) == (404, True)


def test_who_has_no_key_is_not_let_in(registry):
    keys = hashed_keys(", ".join(hashlib.sha256(key).hexdigest() for key in (b"one", b"two")))
    with TestClient(make_app(registry, ["late"], Limits(keys=keys))) as client:
        body = {"instances": [ROW]}
        assert client.post("/invocations", json=body).status_code == 401
        assert client.post("/invocations", json=body, headers={"authorization": "Bearer three"}).status_code == 401
        assert client.post("/invocations", json=body, headers={"authorization": "Bearer two"}).status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.get("/v2/health/live").status_code == 200
    with pytest.raises(ValueError, match="entry 2 is no SHA-256 in hex") as told:
        hashed_keys(f"{keys[0]},secret")
    with pytest.raises(ValueError, match="entry 2 is the digest of an empty key"):
        hashed_keys(f"{keys[0]}, {hashlib.sha256(b'').hexdigest()}")
    with pytest.raises(ValueError, match="holds no digest"):
        hashed_keys(" , ")
    assert "secret" not in str(told.value)


def test_metrics_count_rows_nulls_refusals_and_versions(only):
    only.post("/invocations", json={"instances": [ROW, ROW | {"km": None}]})
    only.post("/invocations", json={})
    told = only.get("/metrics").text
    for line in (
        'ml_assets_rows_total{model="late",version="1"} 2.0',
        'ml_assets_missing_values_total{model="late"} 1.0',
        'ml_assets_answers_total{route="/invocations",status="400"} 1.0',
        'ml_assets_model_version{model="late"} 1.0',
        'ml_assets_request_seconds_count{model="late",route="/invocations"} 2.0',
    ):
        assert line in told.splitlines()


@pytest.fixture
def address(registry):
    """A real server on a free port of this machine."""
    with ThreadedServer(make_app(registry, ["late"], Limits(look_every=0.05))) as server:
        yield server.address.removeprefix("http://")


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_own_client_is_answered(address, models, rows, binary):
    known = rows.drop_nulls()
    inputs = []
    for name, kind in (("km", "FP64"), ("express", "BOOL"), ("courier", "BYTES")):
        values = known[name].to_numpy()
        tensor = triton.InferInput(name, [known.height], kind)
        tensor.set_data_from_numpy(values.astype(np.object_) if kind == "BYTES" else values, binary_data=binary)
        inputs.append(tensor)
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_model_ready("late")
    answer = client.infer("late", inputs, request_id="t1")
    wanted = expected(models, "late", known)
    assert answer.as_numpy("score").tolist() == wanted["score"]
    assert answer.as_numpy("prediction").tolist() == wanted["prediction"]
    assert answer.get_response()["id"] == "t1"
    client.close()


@pytest.mark.slow
def test_no_request_fails_or_mixes_versions_while_the_champion_changes(address, registry, models, other):
    row = pl.DataFrame([ROW])
    scores = {"1": expected(models, "late", row)["score"][0], "2": expected({"late": other}, "late", row)["score"][0]}
    assert scores["1"] != scores["2"]
    ends = time.monotonic() + 3

    def ask(_):
        seen = set()
        with httpx.Client() as client:
            while time.monotonic() < ends:
                done = client.post(f"http://{address}/invocations", json={"instances": [ROW]})
                assert done.status_code == 200
                version = done.headers["x-model-version"]
                assert done.json()["predictions"][0]["score"] == pytest.approx(scores[version], rel=1e-6)
                seen.add(version)
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        while time.monotonic() < ends:
            registry.champions["late"] = "2" if registry.champions["late"] == "1" else "1"
            time.sleep(0.2)
        assert set.union(*(one.result() for one in asking)) == {"1", "2"}
