import socket
import subprocess
import sys
import time
import urllib.request

import polars as pl
import pytest

from ml_assets.lake import Lake, TableMissing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def s3_server():
    """moto's S3 in a process of its own: deltalake holds the interpreter's lock while it waits for an answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/moto-api/", server)
            yield address
        finally:
            server.kill()


def _wait_for(address, server):
    for _ in range(400):
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            assert server.poll() is None, "moto's server did not start"
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{address} does not answer")


@pytest.fixture
def lake(s3_server, monkeypatch, request):
    settings = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1", "ALLOW_HTTP": "true"}
    for name, value in {**settings, "ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = request.node.name.replace("_", "-")[:60].rstrip("-")
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")).close()
    return Lake(f"s3://{bucket}/tables")


def test_tables_in_an_object_store_behave_like_local_ones(lake):
    assert not lake.exists("shop/orders")
    with pytest.raises(TableMissing, match=r"not in the lake at s3://"):
        lake.scan("shop/orders")
    frame = pl.DataFrame({"month": ["a", "b"], "value": [1, 2]})
    assert lake.replace("shop/orders", frame, {"month": ["a", "b"]}).version == 0
    assert lake.replace("shop/orders", pl.DataFrame({"month": ["a"], "value": [9]}), {"month": ["a"]}).version == 1
    assert lake.version("shop/orders") == 1
    assert lake.partitions("shop/orders", "month") == ["a", "b"]
    assert lake.scan("shop/orders").sort("month").collect().rows() == [("a", 9), ("b", 2)]
    assert lake.scan("shop/orders", 0).sort("month").collect().rows() == [("a", 1), ("b", 2)]


def test_the_files_lie_in_the_bucket(lake, s3_server):
    lake.replace("shop/orders", pl.DataFrame({"value": [1]}))
    bucket = lake.root.removeprefix("s3://").split("/")[0]
    listing = urllib.request.urlopen(f"{s3_server}/{bucket}?list-type=2").read().decode()
    assert "<Key>tables/shop/orders/_delta_log/00000000000000000000.json</Key>" in listing


def test_two_processes_overwriting_one_partition_in_an_object_store_both_end_well(lake, run_writers):
    lake.replace("t", pl.DataFrame({"month": ["a", "b"], "writer": ["nobody"] * 2}), {"month": ["a", "b"]})
    run_writers(lake.root, "t", {"one": ["a"], "two": ["a"]}, rounds=2, rows=20)
    table = lake.scan("t").collect()
    assert lake.version("t") == 4
    assert table.filter(pl.col("month") == "b").height == 1
    assert sorted(table.filter(pl.col("month") == "a")["row"]) == list(range(20))
