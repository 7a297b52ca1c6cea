"""Triton's binary tensors over HTTP, in requests and in responses: the same answers as in JSON, to the last bit."""

import struct
from itertools import product

import numpy as np
import orjson
import pytest
from starlette.testclient import TestClient
from tritonclient import http as triton

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.protocols.open_inference.protocol import read_tensors
from ml_assets.training.predictions.scored import scored

FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""Datatype -> how Python's struct has it; BYTES are texts behind their lengths."""

KINDS = {"km": "FP64", "express": "BOOL", "courier": "BYTES"}
VALUES = {"km": [12.5, 88.125], "express": [True, False], "courier": ["bob", "\u00e9mile"]}
LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def client(models):
    class Registry:
        def champion(self, name):
            return type("Version", (), {"version": "1"}) if name in models else None

        def load(self, name, *, version):  # noqa: ARG002
            return models[name]

    with TestClient(make_app(Registry(), [*models], Limits())) as client:
        yield client


def packed(datatype, values):
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)


def unpacked(datatype, data):
    if datatype != "BYTES":
        size = struct.calcsize(FORMATS[datatype])
        return [*struct.unpack(f"<{len(data) // size}{FORMATS[datatype]}", data)]
    texts = []
    while data:
        (size,) = struct.unpack("<I", data[:4])
        texts.append(data[4 : 4 + size].decode())
        data = data[4 + size :]
    return texts


def in_json(kinds=KINDS, values=VALUES, **more):
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(values[name])], "data": values[name]}
        for name, kind in kinds.items()
    ]
    return {"inputs": inputs} | more


def behind(kinds=KINDS, values=VALUES, **more):
    """A request with its tensors behind the JSON, and the headers that it needs."""
    inputs, tensors = [], []
    for name, kind in kinds.items():
        tensors.append(packed(kind, values[name]))
        parameters = {"binary_data_size": len(tensors[-1])}
        inputs.append({"name": name, "datatype": kind, "shape": [len(values[name])], "parameters": parameters})
    header = orjson.dumps({"inputs": inputs} | more)
    return {"content": b"".join((header, *tensors)), "headers": {LENGTH: str(len(header))}}


def read(done):
    """The answer with its tensors where JSON has them."""
    if LENGTH not in done.headers:
        assert done.headers["content-type"] == "application/json"
        return done.json()
    assert done.headers["content-type"] == "application/octet-stream"
    length = int(done.headers[LENGTH])
    answer, rest = orjson.loads(done.content[:length]), done.content[length:]
    for output in answer["outputs"]:
        if "parameters" in output:
            size = output.pop("parameters")["binary_data_size"]
            output["data"], rest = unpacked(output["datatype"], rest[:size]), rest[size:]
    assert rest == b""
    return answer


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_an_answer_behind_the_json_is_the_one_in_it(client, name):
    path = f"/v2/models/{name}/infer"
    plain = client.post(path, json=in_json(id="a"))
    for body in (in_json(id="a", parameters={"binary_data_output": True}), in_json(id="a")):
        done = client.post(path, json=body)
        assert (LENGTH in done.headers, read(done)) == ("parameters" in body, plain.json())
    done = client.post(path, **behind(id="a", parameters={"binary_data_output": True}))
    assert (LENGTH in done.headers, read(done)) == (True, plain.json())


def test_each_output_is_answered_as_it_is_wanted(client):
    wanted = [
        {"name": "score", "parameters": {"binary_data": False}},
        {"name": "probability_glad"},
        {"name": "prediction", "parameters": {"classification": 2}},
    ]
    plain = client.post("/v2/models/mood/infer", json=in_json(outputs=wanted)).json()
    done = client.post("/v2/models/mood/infer", json=in_json(outputs=wanted, parameters={"binary_data_output": True}))
    outputs = orjson.loads(done.content[: int(done.headers[LENGTH])])["outputs"]
    assert ["data" in output for output in outputs] == [True, False, False]
    assert outputs[2]["shape"] == [2, 2]
    assert read(done) == plain
    alone = [wanted[0], wanted[1] | {"parameters": {"binary_data": True}}]
    done = client.post("/v2/models/mood/infer", json=in_json(outputs=alone))
    assert (LENGTH in done.headers, read(done)["outputs"]) == (True, plain["outputs"][:2])


@pytest.mark.parametrize(("feature", "datatype"), [*product(KINDS, [*FORMATS, "BYTES"])])
def test_every_datatype_means_what_it_means_in_json(client, feature, datatype):
    values = {"BOOL": [True, False], "FP32": [0.5, 1e-3], "FP64": [0.1, -7.5], "BYTES": ["bob", "\u00e9"]}
    kinds, given = KINDS | {feature: datatype}, VALUES | {feature: values.get(datatype, [1, 100])}
    for rows in (2, 1):
        shown = {name: each[:rows] for name, each in given.items()}
        plain = client.post("/v2/models/late/infer", json=in_json(kinds, shown))
        done = client.post("/v2/models/late/infer", **behind(kinds, shown))
        assert done.status_code == plain.status_code
        assert done.json() == plain.json()


def test_a_missing_number_is_nan(client):
    plain = client.post("/v2/models/late/infer", json=in_json(values=VALUES | {"km": [None, 1.0]}))
    done = client.post("/v2/models/late/infer", **behind(values=VALUES | {"km": [float("nan"), 1.0]}))
    assert (done.status_code, done.json()) == (200, plain.json())


def changed(size=None, length=None, tail=b"", cut=0, **tensor):
    """A request of which something is wrong."""
    body = behind()
    header = int(body["headers"][LENGTH])
    content, rest = orjson.loads(body["content"][:header]), body["content"][header:]
    km = content["inputs"][0]
    km |= tensor
    if size is not None:
        km["parameters"] = {"binary_data_size": size}
    written = orjson.dumps(content)
    length = str(len(written)) if length is None else length
    whole = written + rest + tail
    return {"content": whole[: len(whole) - cut], "headers": {LENGTH: length} if length else {}}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (changed(length="1000000"), "inference-header-content-length: '1000000' is no length within the body of "),
        (changed(length="-1"), "inference-header-content-length: '-1' is no length"),
        (changed(length="9" * 5000), "inference-header-content-length: '99999999999999999999' is no length"),
        (changed(length="1e2"), "inference-header-content-length: '1e2' is no length"),
        (changed(length="10"), "the body is no JSON"),
        (changed(length=""), "the body is no JSON"),
        (changed(size=17), "inputs.km: 17 bytes are no whole number of FP64"),
        (changed(size=24), "inputs.km: data has 3 values, shape says 2"),
        (changed(size=8), "inputs.km: data has 1 values, shape says 2"),
        (changed(size=-8), "inputs.km: binary_data_size must be a number of bytes"),
        (changed(size="16"), "inputs.km: binary_data_size must be a number of bytes"),
        (changed(size=2**63), "inputs.km: binary_data_size is 9223372036854775808, and 35 bytes are left"),
        (changed(cut=1), "inputs.courier: binary_data_size is 17, and 16 bytes are left behind the JSON"),
        (changed(tail=b"xy"), "2 bytes follow the last tensor"),
        (changed(data=[1.0, 2.0]), "inputs.km: has data beside binary_data_size: send one of them"),
        (changed(parameters={}), "inputs.km: data must be a list"),
        (changed(datatype="FP16"), "inputs.km: datatype must be one of BYTES, BOOL"),
        (changed(shape=[3]), "inputs.km: data has 2 values, shape says 3"),
        (changed(datatype="BOOL", shape=[16]), "inputs.km: a BOOL is a byte of 0 or 1"),
        (changed(datatype="BYTES"), "inputs.km: a text is cut off"),
        (
            {"json": in_json() | {"inputs": [in_json()["inputs"][0] | {"parameters": {"binary_data_size": 8}}]}},
            "inputs.km: has data beside binary_data_size",
        ),
        (
            {
                "json": {
                    "inputs": [{"name": "km", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}]
                }
            },
            "inputs.km: binary_data_size needs the header Inference-Header-Content-Length",
        ),
        (
            {"json": in_json(parameters={"binary_data_output": 1})},
            "parameters.binary_data_output must be true or false",
        ),
        ({"json": in_json(parameters=[1])}, "parameters: must be an object"),
        (
            {"json": in_json(outputs=[{"name": "score", "parameters": {"binary_data": "yes"}}])},
            "outputs.score: binary_data must be true or false",
        ),
    ],
)
def test_what_is_malformed_is_refused_with_one_reason(client, body, why):
    done = client.post("/v2/models/late/infer", **body)
    assert (done.status_code, done.headers["content-type"], [*done.json()]) == (400, "application/json", ["error"])
    assert why in done.json()["error"]


@pytest.mark.parametrize("compressed", [None, "gzip"])
def test_what_tritons_client_wants_by_default_comes_in_binary(registry, run_server, models, rows, compressed):
    known = rows.drop_nulls()
    inputs = []
    for name, kind in KINDS.items():
        values = known[name].to_numpy()
        tensor = triton.InferInput(name, [known.height], kind)
        inputs.append(tensor.set_data_from_numpy(values.astype(np.object_) if kind == "BYTES" else values))
    with triton.InferenceServerClient(run_server(make_app(registry, ["mood"], Limits()))) as client:
        answer = client.infer(
            "mood", inputs, request_compression_algorithm=compressed, response_compression_algorithm=compressed
        )
    expected = scored(known, models["mood"])
    for output in answer.get_response()["outputs"]:
        assert output["parameters"]["binary_data_size"] > 0
        values = answer.as_numpy(output["name"])
        values = [value.decode() for value in values] if output["datatype"] == "BYTES" else values.tolist()
        assert values == expected[output["name"]].to_list()


class Watched(bytes):
    """Bytes that count how many of them are copied."""

    copied = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        Watched.copied += len(part)
        return part if key.start is None else Watched(part)


def test_each_byte_of_many_tensors_is_copied_once():
    tensors = [
        {"name": f"t{at}", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 1}}
        for at in range(500)
    ]
    header = orjson.dumps({"inputs": tensors})
    body = Watched(header + bytes(range(250)) * 2)
    _, read = read_tensors(body, str(len(header)))
    assert [values.tolist() for values in read.values()] == [[at % 250] for at in range(500)]
    assert Watched.copied == len(body)
