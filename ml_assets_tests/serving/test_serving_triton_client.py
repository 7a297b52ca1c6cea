"""What Triton's own HTTP client asks beside predictions, and bodies that it compresses."""

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.training.predictions.scored import scored

KINDS = {"km": "FP64", "express": "BOOL", "courier": "BYTES"}


@pytest.fixture
def client(registry, run_server, noon):
    app = make_app(registry, ["late", "hours", "mood"], Limits(), clock=lambda: noon)
    with triton.InferenceServerClient(run_server(app)) as client:
        yield client


def tensors(rows):
    """Some rows as the client's inputs, in binary."""
    inputs = []
    for name, kind in KINDS.items():
        values = rows[name].to_numpy()
        tensor = triton.InferInput(name, [rows.height], kind)
        inputs.append(tensor.set_data_from_numpy(values.astype(np.object_) if kind == "BYTES" else values))
    return inputs


def test_configuration_and_index(client):
    assert client.get_model_config("mood") == client.get_model_config("mood", "1")
    config = client.get_model_config("mood")
    assert (config["name"], config["max_batch_size"], config["backend"]) == ("mood", 0, "ml_assets")
    assert config["input"] == [
        {"name": "km", "data_type": "TYPE_FP64", "dims": [-1]},
        {"name": "express", "data_type": "TYPE_BOOL", "dims": [-1]},
        {"name": "courier", "data_type": "TYPE_STRING", "dims": [-1]},
    ]
    metadata = client.get_model_metadata("mood")
    assert [each["name"] for each in config["output"]] == [each["name"] for each in metadata["outputs"]]
    assert client.get_model_repository_index() == [
        {"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("late", "hours", "mood")
    ]
    offered = client.get_server_metadata()["extensions"]
    assert {"classification", "model_configuration", "model_repository", "statistics"} <= {*offered}


def test_statistics_count_what_was_answered(client, rows, noon):
    (before,) = client.get_inference_statistics("late")["model_stats"]
    assert before["inference_stats"]["success"] == {"count": 0, "ns": 0}
    assert (before["last_inference"], before["inference_count"]) == (0, 0)
    known = tensors(rows.drop_nulls().head(7))
    for _ in range(2):
        client.infer("late", known)
    with pytest.raises(InferenceServerException, match="are missing"):
        client.infer("late", known[:1])
    (after,) = client.get_inference_statistics("late", "1")["model_stats"]
    assert (after["name"], after["version"], after["inference_count"]) == ("late", "1", 14)
    assert after["last_inference"] == noon // 1000
    assert after["inference_stats"]["success"]["count"] == 2
    assert after["inference_stats"]["success"]["ns"] > 0
    every = client.get_inference_statistics()["model_stats"]
    assert [(each["name"], each["inference_count"]) for each in every] == [("late", 14), ("hours", 0), ("mood", 0)]


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda client: client.load_model("late"), "the champion of the registry serves"),
        (lambda client: client.unload_model("late"), "the champion of the registry serves"),
        (lambda client: client.get_trace_settings(), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (lambda client: client.update_trace_settings("late", {"trace_rate": "1"}), "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (lambda client: client.get_log_settings(), "ML_ASSETS_LOG_FORMAT"),
        (lambda client: client.update_log_settings({"log_info": True}), "ML_ASSETS_LOG_FORMAT"),
        (lambda client: client.get_system_shared_memory_status(), "there is no shared memory here"),
        (lambda client: client.get_system_shared_memory_status("a"), "there is no shared memory here"),
        (lambda client: client.register_system_shared_memory("a", "/a", 8), "there is no shared memory here"),
        (lambda client: client.unregister_system_shared_memory(), "there is no shared memory here"),
        (lambda client: client.get_cuda_shared_memory_status(), "there is no shared memory here"),
        (lambda client: client.register_cuda_shared_memory("a", b"a", 0, 8), "there is no shared memory here"),
        (lambda client: client.unregister_cuda_shared_memory("a"), "there is no shared memory here"),
    ],
)
def test_what_is_not_offered_says_so(client, ask, why):
    with pytest.raises(InferenceServerException, match=why):
        ask(client)


def test_tensors_in_shared_memory_are_refused(client, rows):
    inputs = tensors(rows.drop_nulls().head(1))
    output = triton.InferRequestedOutput("score")
    output.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match=r"outputs\.score: there is no shared memory here"):
        client.infer("late", inputs, outputs=[output])
    inputs[0].set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match=r"inputs\.km: there is no shared memory here"):
        client.infer("late", inputs)


@pytest.mark.parametrize(("name", "count"), [("mood", 2), ("mood", 9), ("late", 2), ("late", 1)])
def test_classes_are_those_of_the_highest_probability(client, models, rows, name, count):
    known = rows.drop_nulls()
    columns = scored(known, models[name])
    if name == "late":
        columns = columns.with_columns(probability_false=1 - pl.col("score"), probability_true=pl.col("score"))
    classes = ["false", "true"] if name == "late" else ["calm", "cross", "glad"]
    wanted = []
    for row in columns.select(f"probability_{each}" for each in classes).rows():
        ranked = sorted(zip(row, range(len(classes)), classes, strict=True), key=lambda each: -each[0])
        wanted.append([f"{probability!r}:{at}:{label}" for probability, at, label in ranked[:count]])
    asked = [triton.InferRequestedOutput("prediction", class_count=count), triton.InferRequestedOutput("score")]
    answer = client.infer(name, tensors(known), outputs=asked)
    assert [[text.decode() for text in row] for row in answer.as_numpy("prediction")] == wanted
    assert answer.as_numpy("score").tolist() == columns["score"].to_list()


@pytest.mark.parametrize(
    ("name", "output", "parameters", "why"),
    [
        ("late", "score", {"classification": 1}, "outputs.score: has no classes; prediction has them"),
        ("hours", "prediction", {"classification": 1}, "outputs.prediction: has no classes"),
        ("late", "prediction", {"classification": 0}, "classification must be a whole number of at least 1"),
        ("late", "prediction", {"classification": True}, "classification must be a whole number of at least 1"),
        ("late", "prediction", 3, "outputs.prediction: parameters must be an object"),
    ],
)
def test_classes_that_there_are_none_of(registry, name, output, parameters, why):
    row = {"km": ("FP64", 1.0), "express": ("BOOL", True), "courier": ("BYTES", "bob")}
    inputs = [{"name": each, "datatype": kind, "shape": [1], "data": [value]} for each, (kind, value) in row.items()]
    body = {"inputs": inputs, "outputs": [{"name": output, "parameters": parameters}]}
    with TestClient(make_app(registry, ["late", "hours"], Limits())) as client:
        done = client.post(f"/v2/models/{name}/infer", json=body)
    assert (done.status_code, why in done.json()["error"]) == (400, True), done.text


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("wanted", [None, "gzip", "deflate"])
def test_compressed_bodies_give_the_same_answer(client, models, rows, sent, wanted):
    many = pl.concat([rows.drop_nulls()] * 20)
    answer = client.infer(
        "late", tensors(many), request_compression_algorithm=sent, response_compression_algorithm=wanted
    )
    assert answer.as_numpy("score").tolist() == scored(many, models["late"])["score"].to_list()
