"""The same deliveries over HTTP, from an object store and by file URL."""

import functools
import http.server
import threading

import pytest

from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.errors import SourceError

CSV = b"id,amount,shop,at\n1,9.5,Oslo,2024-01-15T00:00:00Z\n"
BY_FILE = {"grain": "monthly", "start": "2024-01", "end": "2024-04"}


@pytest.fixture
def web(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            if self.path.startswith("/private"):
                self.send_error(403)
            else:
                super().do_GET()

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket of a local S3 stand-in; returns a function that puts a file into it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="deliveries")
    yield lambda key, body: client.put_object(Bucket="deliveries", Key=key, Body=body)
    server.stop()


def test_http(orders, orders_schema, tmp_path, web):
    (tmp_path / "orders.csv").write_bytes(CSV)
    spec = orders(where={"path": f"{web}/orders.csv"})
    assert list_drops(spec, orders_schema) == ["whole"]
    drop = read_drops(spec, None, orders_schema)["whole"]
    assert drop.frame["id"].to_list() == [1]
    local = orders("orders.csv")
    assert drop.content_hash == read_drops(local, None, orders_schema)["whole"].content_hash
    assert fingerprint(spec, ["whole"], orders_schema) == fingerprint(local, ["whole"], orders_schema)


def test_http_drops_are_asked_for_one_by_one(orders, orders_schema, tmp_path, web):
    for name in ("2024-01", "2024-03", "2024-04"):
        (tmp_path / f"o-{name}.csv").write_bytes(CSV)
    where = {"path": f"{web}/o-{{partition}}.csv"}
    assert list_drops(orders(where=where, drops=BY_FILE), orders_schema) == ["2024-01", "2024-03"]
    endless = orders(where=where, drops={"grain": "monthly", "start": "2024-01"})
    with pytest.raises(SourceError) as raised:
        list_drops(endless, orders_schema)
    assert str(raised.value) == (
        f"source 'orders', drop 'all': unreachable: a web server cannot be listed ({web}/o-{{partition}}.csv); "
        "give drops an `end`, so that each is asked for"
    )
    assert list(read_drops(endless, ["2024-03"], orders_schema)) == ["2024-03"]


def test_http_missing_file(orders, orders_schema, web):
    spec = orders(where={"path": f"{web}/absent.csv"})
    assert list_drops(spec, orders_schema) == []
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["whole"], orders_schema)
    assert str(raised.value) == (
        f"source 'orders', drop 'whole': missing file: there is no file {web}/absent.csv; deliver it or change `where`"
    )


def test_http_refusal(orders, orders_schema, web):
    with pytest.raises(SourceError) as raised:
        read_drops(orders(where={"path": f"{web}/private.csv"}), ["whole"], orders_schema)
    assert raised.value.kind == "unreachable"
    assert str(raised.value).startswith(
        f"source 'orders', drop 'whole': unreachable: {web}/private.csv cannot be read ("
    )
    assert "403" in str(raised.value)
    assert str(raised.value).endswith("; check the address, the network and the credentials")


def test_http_server_that_is_not_there(orders, orders_schema):
    with pytest.raises(SourceError) as raised:
        read_drops(orders(where={"path": "http://127.0.0.1:9/orders.csv"}), ["whole"], orders_schema)
    assert raised.value.kind == "unreachable"
    assert "\n" not in str(raised.value)


def test_protocol_that_nobody_knows(orders, orders_schema):
    with pytest.raises(SourceError, match=r"unreachable: carrier-pigeon://orders\.csv cannot be read"):
        read_drops(orders(where={"path": "carrier-pigeon://orders.csv"}), ["whole"], orders_schema)


def test_file_url(orders, orders_schema, tmp_path):
    for name in ("2024-01", "2024-02"):
        (tmp_path / f"o-{name}.csv").write_bytes(CSV)
    spec = orders(where={"path": f"file://{tmp_path}/o-{{partition}}.csv"}, drops=BY_FILE)
    assert list_drops(spec, orders_schema) == ["2024-01", "2024-02"]
    assert read_drops(spec, ["2024-02"], orders_schema)["2024-02"].frame.height == 1


def test_s3(orders, orders_schema, bucket):
    bucket("in/2024-01/o.csv", CSV)
    bucket("in/2024-03/o.csv", CSV)
    spec = orders(where={"path": "s3://deliveries/in/{partition}/o.csv"}, drops=BY_FILE)
    assert list_drops(spec, orders_schema) == ["2024-01", "2024-03"]
    assert read_drops(spec, ["2024-03"], orders_schema)["2024-03"].frame["id"].to_list() == [1]
    before = fingerprint(spec, ["2024-03"], orders_schema)
    bucket("in/2024-03/o.csv", CSV.replace(b"9.5", b"9.6"))
    assert fingerprint(spec, ["2024-03"], orders_schema) != before
    with pytest.raises(SourceError) as raised:
        read_drops(spec, ["2024-02"], orders_schema)
    assert str(raised.value) == (
        "source 'orders', drop '2024-02': missing file: there is no file s3://deliveries/in/2024-02/o.csv; "
        "deliver it or change `where`"
    )
    bucket("in/2024-02/o.csv", CSV)
    assert list_drops(spec, orders_schema) == ["2024-01", "2024-02", "2024-03"]
