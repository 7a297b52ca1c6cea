"""What the server tells about a request: its line, and its span."""

import gzip
import hashlib
import io
import json
import logging
import logging.config
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.testclient import TestClient

from ml_assets.serving.access.digests import hashed_keys
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.http.observability.telemetry import (
    Finished,
    JsonLines,
    TextLines,
    access,
    logging_settings,
    write_line,
)
from ml_assets.serving.http.observability.tracing import Tracing, open_tracing

ANSWERED = Finished("r-1", "POST", "/v2/models/{model}/infer", 200, 2.34567, "late", "3", "champion")
FAILED = Finished("r-2", "GET", "/metrics", 500, 0.5)


@pytest.fixture
def written():
    """What the access log writes, by format."""
    before = access.handlers[:], access.level, access.propagate
    access.propagate = False

    def using(form):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonLines() if form == "json" else TextLines())
        access.handlers = [handler]
        access.setLevel(logging_settings(form)["loggers"][access.name]["level"])
        return lambda: stream.getvalue().splitlines()

    yield using
    access.handlers, access.level, access.propagate = before
    access.setLevel(before[1])


def test_as_json_a_request_is_a_line_with_what_is_known_about_it(written):
    lines = written("json")
    write_line(ANSWERED)
    write_line(FAILED)
    first, second = map(json.loads, lines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info", "logger": "ml_assets.access", "message": "POST /v2/models/{model}/infer 200",
        "request_id": "r-1", "method": "POST", "route": "/v2/models/{model}/infer", "status": 200,
        "milliseconds": 2.346, "model": "late", "version": "3", "role": "champion",
    }  # fmt: skip
    assert (second["level"], second["status"], second["model"]) == ("error", 500, "")


def test_as_text_only_failures_are_shown(written):
    lines = written("text")
    write_line(ANSWERED)
    write_line(FAILED)
    (line,) = lines()
    assert line.endswith("ERROR GET /metrics 500 0.5 ms  r-2")


def test_an_exception_stays_on_one_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord("ml_assets", logging.ERROR, __file__, 1, "it %s", ("broke",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "it broke"
    assert json.loads(line)["exception"].endswith("ValueError: first\nsecond")


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="log format 'xml' must be one of json, text"):
        logging_settings("xml")


def test_a_span_tells_model_version_and_status_and_belongs_to_its_caller():
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, clock=lambda: 10_000_000_000)
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    tracing.record(Finished(*[getattr(ANSWERED, name) for name in ANSWERED.__slots__[:-1]], f"00-{trace}-{caller}-01"))
    tracing.record(FAILED)
    tracing.close()
    answered, failed = exporter.get_finished_spans()
    assert answered.name == "POST /v2/models/{model}/infer"
    assert dict(answered.attributes) == {
        "http.request.method": "POST", "http.route": "/v2/models/{model}/infer", "http.response.status_code": 200,
        "ml_assets.request_id": "r-1", "ml_assets.model": "late", "ml_assets.version": "3",
        "ml_assets.role": "champion",
    }  # fmt: skip
    assert (answered.start_time, answered.end_time) == (10_000_000_000 - 2_345_670, 10_000_000_000)
    assert f"{answered.context.trace_id:032x}" == trace
    assert f"{answered.parent.span_id:016x}" == caller
    assert (answered.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert failed.parent is None
    assert "ml_assets.model" not in failed.attributes


def test_nothing_is_opened_or_imported_without_an_endpoint():
    assert open_tracing({}) is None
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}) is None


def test_an_exporter_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ValueError, match=r"OTLP_ENDPOINT is set, .* install the extra `ml_assets\[otel\]`"):
        open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


@pytest.fixture
def collector():
    """A collector on this machine: its address, and the requests that it was sent."""
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_collector_is_sent_the_spans(collector, monkeypatch):
    address, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    tracing = open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "scores"})
    for _ in range(3):
        tracing.record(ANSWERED)
    tracing.close()
    spans = [
        span
        for path, request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        if path == "/v1/traces"
    ]
    assert len(spans) == 3
    names = {one.key: one.value.string_value for one in received[0][1].resource_spans[0].resource.attributes}
    assert names["service.name"] == "scores"


def test_the_server_tells_who_answered_and_nothing_of_what_was_asked(registry, written):
    lines, exporter = written("json"), InMemorySpanExporter()
    keys = hashed_keys(hashlib.sha256(b"SECRET-KEY").hexdigest())
    with TestClient(make_app(registry, ["late"], Limits(keys=keys), tracing=Tracing(exporter))) as client:
        given = {"authorization": "Bearer SECRET-KEY", "x-request-id": "r-7"}
        row = {"km": 12.5, "express": False, "courier": "SECRET-NAME"}
        assert client.post("/invocations", json={"instances": [row]}, headers=given).status_code == 200
        given["x-request-id"] = "a b"
        assert client.post("/invocations", json={"SECRET": 1}, headers=given).status_code == 400
        assert client.get("/v2", headers={"authorization": "Bearer SECRET-GUESS"}).status_code == 401
        assert client.get("/v2/health/live").status_code == 200
    told = [json.loads(line) for line in lines()]
    assert [(one["route"], one["status"], one["model"], one["version"]) for one in told] == [
        ("/invocations", 200, "late", "1"),
        ("/invocations", 400, "late", "1"),
        ("/v2", 401, "late", ""),
    ]
    assert (told[0]["request_id"], told[0]["role"]) == ("r-7", "champion")
    assert re.fullmatch("[0-9a-f]{32}", told[1]["request_id"]), "what cannot be logged is not taken"
    assert told[0]["milliseconds"] > 0
    assert "SECRET" not in "".join(lines())
    spans = exporter.get_finished_spans()
    found = [(span.attributes["http.route"], span.attributes["http.response.status_code"]) for span in spans]
    assert found == [("/invocations", 200), ("/invocations", 400), ("/v2", 401)]
    assert (spans[0].attributes["ml_assets.model"], spans[0].attributes["ml_assets.version"]) == ("late", "1")
    assert not [span for span in spans if "SECRET" in str(span.attributes)]
