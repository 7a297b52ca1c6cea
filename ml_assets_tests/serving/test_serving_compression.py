"""Bodies that are compressed on their way."""

import gzip
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.compression import accepted_encoding, compress, decompress
from ml_assets.serving.http.limits import Limits

ROW = {"km": 12.5, "express": False, "courier": "bob"}
BODY = orjson.dumps({"instances": [ROW]})
GZIP = gzip.compress(BODY, mtime=0)  # with the time in it, each worker would know its tests by another name


def raw_deflate(body):
    writing = zlib.compressobj(wbits=-15)
    return writing.compress(body) + writing.flush()


@pytest.fixture
def client(registry, declared, store, noon):
    limits = Limits(body=200_000)
    with TestClient(make_app(registry, ["late"], limits, declared, store, clock=lambda: noon)) as client:
        yield client


def posted(client, body, encoding, path="/invocations", accept="identity"):
    headers = {"content-type": "application/json", "content-encoding": encoding, "accept-encoding": accept}
    return client.post(path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (GZIP, "gzip"),
        (GZIP, "X-GZIP"),
        (zlib.compress(BODY), "Deflate"),
        (raw_deflate(BODY), "deflate"),
        (BODY, "identity"),
    ],
)
def test_a_compressed_request_is_answered(client, body, encoding):
    assert posted(client, body, encoding).json() == client.post("/invocations", content=BODY, headers={
        "content-type": "application/json"}).json()  # fmt: skip


@pytest.mark.parametrize(
    ("body", "encoding", "status", "why"),
    [
        (BODY, "br", 415, "content-encoding must be gzip or deflate, not 'br'"),
        (GZIP, "gzip, gzip", 415, "content-encoding must be"),
        (BODY, "gzip", 400, "the body is not in gzip"),
        (b"\x07\x07", "deflate", 400, "the body is not in deflate"),
        (GZIP[:-9], "gzip", 400, "the body is not whole: its gzip is cut off"),
        (GZIP * 2, "gzip", 400, "the body is not whole: its gzip goes on"),
        (b"", "gzip", 400, "is cut off"),
        (gzip.compress(b" " * 200_001, mtime=0), "gzip", 413, "the body is larger than 200000 bytes"),
        (gzip.compress(b" " * 200_000, mtime=0), "gzip", 400, "no JSON"),
    ],
)
def test_what_cannot_be_read_is_refused(client, body, encoding, status, why):
    done = posted(client, body, encoding)
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text


def test_a_pushed_fact_may_be_compressed(client):
    fact = {"courier": "ann", "driven_at": "2024-01-31T11:30:00Z", "length": 3.0}
    assert posted(client, gzip.compress(orjson.dumps({"rows": [fact]})), "gzip", "/v1/push/route").status_code == 200


@pytest.mark.parametrize("accept", ["gzip", "deflate"])
def test_a_large_response_is_compressed_and_a_small_one_is_not(client, accept):
    def sent(rows):
        return client.post("/invocations", json={"instances": [ROW] * rows}, headers={"accept-encoding": accept})

    large, small = sent(300), sent(1)
    assert (large.headers["content-encoding"], large.headers["vary"]) == (accept, "accept-encoding")
    assert int(large.headers["content-length"]) < 0.2 * len(large.content)
    assert large.json()["predictions"] == small.json()["predictions"] * 300
    assert "content-encoding" not in small.headers
    described = client.get("/openapi.json", headers={"accept-encoding": accept})
    assert described.headers["content-encoding"] == accept
    assert described.json()["openapi"] == "3.1.0"
    plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == described.json()


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", None),
        ("br", None),
        ("gzip, deflate, br", "gzip"),
        ("Deflate", "deflate"),
        ("gzip;q=0, deflate;q=0.5", "deflate"),
        ("gzip; q=0.000", None),
        ("gzip;q=0.1", "gzip"),
    ],
)
def test_what_a_client_takes(header, encoding):
    assert accepted_encoding(header) == encoding


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_compressed_is_read_again(body, encoding):
    packed = compress(body, encoding)
    assert (gzip if encoding == "gzip" else zlib).decompress(packed) == body
    assert decompress(packed, encoding, 3000) == body
    if body:
        with pytest.raises(BadRequest, match="larger"):
            decompress(packed, encoding, len(body) - 1)
