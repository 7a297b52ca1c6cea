"""A request protocol that a third party adds: what answers, logs and counts stays as it is."""

import socket
import threading

import pytest
from starlette.testclient import TestClient

from ml_assets.serving.declared import Declarations
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.prediction.answering import Answering
from ml_assets.serving.prediction.messages import FeatureRows, PredictionRequest, SpineRows
from ml_assets.serving.protocols.adapter import HttpBinding, ProtocolLimits, RequestProtocol
from ml_assets.serving.protocols.registry import REQUEST_PROTOCOLS
from ml_assets.serving.rollout.champions import Champions
from ml_assets.serving.rollout.choice import Choosing
from ml_assets_tests.serving.spooled import SpooledLog

ROWS = [
    {"km": 12.5, "express": False, "courier": "bob"},
    {"km": None, "express": True, "courier": "ann"},
    {"km": 71.25, "express": None, "courier": "zoe"},
]
LINES = b"late\n12.5 false bob\n- true ann\n71.25 - zoe\n"


class LineProtocol(RequestProtocol):
    """The model's name on the first line, then a row on each; the scores come back one on each line."""

    def read(self, body, parameters):  # noqa: ARG002
        model, *lines = body.decode().splitlines()
        return PredictionRequest(FeatureRows([_row(line) for line in lines]), model=model)

    def write(self, response):
        return "".join(f"{score!r}\n" for score in response.by_column()["score"]).encode()


class LinesOverHttp(LineProtocol):
    http = HttpBinding(paths=("/lines/{model}",), tag="lines")


def _row(line):
    if len(line.split()) != 3:
        raise BadRequest(f"{line!r}: must be km, express and courier")
    km, express, courier = (None if text == "-" else text for text in line.split())
    return {
        "km": None if km is None else float(km),
        "express": None if express is None else express == "true",
        "courier": courier,
    }


@pytest.fixture
def answering(registry):
    return Answering(Choosing(Champions(registry, ["late", "hours"])), Declarations(), None, most=50, replay=False)


@pytest.fixture
def lines():
    """The protocol, registered as an installed package would."""
    REQUEST_PROTOCOLS.register("lines", LinesOverHttp)
    yield
    REQUEST_PROTOCOLS.unregister("lines")


def over_http(registry, names):
    with TestClient(make_app(registry, names, Limits())) as client:
        done = client.post("/invocations", json={"dataframe_records": ROWS}).json()
    return [one["score"] for one in done["predictions"]]


def test_a_protocol_without_http_gives_the_same_bits(answering, registry):
    protocol = LineProtocol(ProtocolLimits())
    body = protocol.write(answering.answer(protocol.read(LINES, {}), "a7", 0))
    assert [float(line) for line in body.split()] == over_http(registry, ["late"])


def test_it_answers_over_a_socket(answering, registry):
    protocol = LineProtocol(ProtocolLimits())
    client, server = socket.socketpair()

    def serve():
        body = server.recv(4096)
        server.sendall(protocol.write(answering.answer(protocol.read(body, {}), "a7", 0)))
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with client:
        client.sendall(LINES)
        answer = client.makefile("rb").read()
    thread.join()
    assert [float(line) for line in answer.split()] == over_http(registry, ["late"])


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"lates\n12.5 false bob\n", 404, "model 'lates' is not served; there are late, hours"),
        (b"late\n1e39 false bob\n", 400, r"features \['km'\] hold infinite values"),
        (b"late\n", 400, "there is no row to predict"),
        (b"late\n" + b"1 true bob\n" * 51, 413, "51 rows are more than 50"),
    ],
)
def test_what_is_wrong_is_refused_as_over_http(answering, body, status, why):
    protocol = LineProtocol(ProtocolLimits())
    with pytest.raises(BadRequest, match=why) as refused:
        answering.answer(protocol.read(body, {}), "a7", 0)
    assert refused.value.status == status


@pytest.mark.usefixtures("lines")
def test_http_carries_a_registered_protocol_which_is_logged_and_counted(registry, noon, tmp_path):
    log = SpooledLog(tmp_path)
    app = make_app(registry, ["late", "hours"], Limits(), clock=lambda: noon, open_log=log.open)
    with TestClient(app) as client:
        done = client.post("/lines/late", content=LINES, headers={"x-request-id": "a7"})
        metrics = client.get("/metrics").text
        wrong = client.post("/lines/late", content=b"late\n1 2\n")
        assert client.get("/lines/late").status_code == 405
    scores = [float(line) for line in done.content.split()]
    assert scores == over_http(registry, ["late"])
    assert 'ml_assets_answers_total{route="/lines/{model}",status="200"} 1.0' in metrics
    assert 'ml_assets_rows_total{model="late",version="1"} 3.0' in metrics
    assert (wrong.status_code, wrong.json()["error"]) == (400, "'1 2': must be km, express and courier")
    ((key, frame),) = log.frames()
    assert key == "late/request_log"
    assert frame["score"].to_list() == scores
    assert frame.select("request_id", "row", "feature_courier").rows() == [
        ("a7", 0, "bob"),
        ("a7", 1, "ann"),
        ("a7", 2, "zoe"),
    ]


def test_rows_of_the_spine_need_no_http_either(registry, declared, store, noon):
    answering = Answering(Choosing(Champions(registry, ["late"])), declared, store, most=50, replay=False)
    given = [{"parcel": 1, "courier": "ann", "express": True}, {"parcel": 2, "courier": "bob", "express": False}]
    response = answering.answer(PredictionRequest(SpineRows(given)), "a7", noon)
    with TestClient(make_app(registry, ["late"], Limits(), declared, store, clock=lambda: noon)) as client:
        told = client.post("/v1/models/late/predict", json={"rows": given}).json()["predictions"]
    assert [row["score"] for row in response.by_row()] == [one["score"] for one in told]
