"""Which drops a source holds, lacks in the lake or corrected, told look by look."""

import functools
import http.server
import io
import json
import os
import threading
import zipfile

import pytest

from ml_assets.sources.delivery.read import read_drops
from ml_assets.sources.errors import SourceError
from ml_assets.sources.files.tokens import file_token
from ml_assets.sources.readers import csv
from ml_assets.sources.watch import due_drops, watch

NOW = 1_800_000_000.0
HEADER = "id,amount,shop,at\n"
BY_FILE = {"grain": "monthly", "start": "2024-01", "end": "2024-05"}
BY_COLUMN = BY_FILE | {"column": "at"}
JANUARY, FEBRUARY, MARCH = (f"{number},9.5,Oslo,2024-0{number}-15T00:00:00Z\n" for number in (1, 2, 3))


def deliver(path, content, age=60.0):
    """Write a file that was modified `age` seconds before NOW."""
    path.write_bytes(content if isinstance(content, bytes) else (HEADER + content).encode())
    os.utime(path, ns=(0, int((NOW - age) * 1e9)))


def zipped(*rows):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("orders.csv", HEADER + "".join(rows))
    return buffer.getvalue()


def hashes(spec, schema, *names):
    return {name: drop.content_hash for name, drop in read_drops(spec, list(names), schema).items()}


@pytest.fixture
def looker(orders_schema):
    """Looks at a source as a sensor does: what one look found goes through JSON to the next."""

    class Looker:
        def __init__(self, spec):
            self.spec, self.before, self.ingested = spec, {}, {}

        def look(self, now=NOW):
            tokens = watch(self.spec, orders_schema, self.before, now)
            due = due_drops(self.spec, orders_schema, tokens, self.before, self.ingested, now)
            self.before = json.loads(json.dumps(tokens))
            return due

        def ingest(self, *names):
            self.ingested |= hashes(self.spec, orders_schema, *names)

    return Looker


@pytest.fixture
def fetched(monkeypatch):
    """Every file that is read, in order."""
    seen = []
    fetch = csv.fetch
    monkeypatch.setattr(csv, "fetch", lambda address: seen.append(address.rpartition("/")[2]) or fetch(address))
    return seen


@pytest.fixture
def folder(orders, looker, tmp_path):
    """January and February as files of their own, both in the lake, looked at once."""
    deliver(tmp_path / "o-2024-01.csv", JANUARY)
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY)
    source = looker(orders("o-{partition}.csv", drops=BY_FILE))
    source.ingest("2024-01", "2024-02")
    assert source.look() == {}
    return source


@pytest.fixture
def shared(orders, looker, tmp_path):
    """January and February in one zip, both in the lake, looked at once."""
    deliver(tmp_path / "orders.csv.zip", zipped(JANUARY, FEBRUARY))
    source = looker(orders("orders.csv.zip", drops=BY_COLUMN))
    source.ingest("2024-01", "2024-02")
    assert source.look() == {}
    return source


def test_missing_drops_are_due_until_they_are_ingested(orders, looker, orders_schema, tmp_path):
    source = looker(orders("o-{partition}.csv", drops=BY_FILE))
    assert source.look() == {}
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY)
    deliver(tmp_path / "o-2024-05.csv", MARCH)
    deliver(tmp_path / "o-latest.csv", MARCH)
    february = hashes(source.spec, orders_schema, "2024-02")
    assert source.look() == february
    assert source.look() == february
    source.ingest("2024-02")
    assert source.look() == {}


def test_files_that_have_not_changed_are_not_read(folder, fetched):
    assert folder.look() == {}
    assert fetched == []


def test_only_the_corrected_file_is_read_and_due(folder, fetched, orders_schema, tmp_path):
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY.replace("9.5", "9.6"), age=30)
    due = folder.look()
    assert fetched == ["o-2024-02.csv"]
    assert due == hashes(folder.spec, orders_schema, "2024-02")
    assert due["2024-02"] != folder.ingested["2024-02"]


def test_a_correction_of_the_same_size_within_a_microsecond_is_seen(folder, tmp_path):
    path = tmp_path / "o-2024-02.csv"
    modified = path.stat().st_mtime_ns
    path.write_text(HEADER + FEBRUARY.replace("9.5", "9.6"))
    os.utime(path, ns=(0, modified + 1))
    assert list(folder.look()) == ["2024-02"]


def test_the_same_content_written_again_is_not_due(folder, fetched, tmp_path):
    deliver(tmp_path / "o-2024-01.csv", JANUARY, age=30)
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY.replace("9.5", "9.50"))
    assert folder.look() == {}
    assert fetched == ["o-2024-01.csv", "o-2024-02.csv"]
    assert folder.look() == {}
    assert len(fetched) == 2


def test_corrections_made_while_nobody_looked_are_due(folder, tmp_path):
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY.replace("9.5", "9.6"))
    folder.before = {}
    assert list(folder.look()) == ["2024-02"]


def test_a_vanished_file_asks_for_nothing(folder, tmp_path):
    (tmp_path / "o-2024-01.csv").unlink()
    assert folder.look() == {}
    assert list(folder.before) == ["2024-02"]
    deliver(tmp_path / "o-2024-01.csv", JANUARY)
    assert folder.look() == {}


def test_a_broken_file_is_due_by_its_token_and_hides_no_other(folder, orders_schema, tmp_path):
    deliver(tmp_path / "o-2024-01.csv", "1,dear,Oslo,2024-01-15T00:00:00Z\n", age=30)
    deliver(tmp_path / "o-2024-03.csv", b"id;amount\n")
    deliver(tmp_path / "o-2024-04.csv", MARCH)
    due = folder.look()
    assert due == {
        "2024-01": "unread:" + folder.before["2024-01"],
        "2024-03": "unread:" + folder.before["2024-03"],
        **hashes(folder.spec, orders_schema, "2024-04"),
    }
    assert list(folder.look()) == ["2024-03", "2024-04"]
    deliver(tmp_path / "o-2024-03.csv", MARCH)
    assert folder.look()["2024-03"] == hashes(folder.spec, orders_schema, "2024-03")["2024-03"]


@pytest.mark.parametrize(("age", "seen"), [(-60, True), (-1, False), (0, False), (1.5, False), (2, True), (60, True)])
def test_a_file_that_may_still_be_written_is_left_out(orders, orders_schema, tmp_path, age, seen):
    deliver(tmp_path / "o-2024-01.csv", JANUARY, age)
    deliver(tmp_path / "orders.csv", JANUARY, age)
    by_file, whole = orders("o-{partition}.csv", drops=BY_FILE), orders("orders.csv")
    assert list(watch(by_file, orders_schema, {}, NOW)) == ["2024-01"] * seen
    assert list(watch(whole, orders_schema, {}, NOW)) == ["whole"] * seen
    assert list(watch(whole, orders_schema, {}, NOW, settle=0)) == ["whole"]


def test_a_correction_is_due_once_its_file_rests(folder, tmp_path):
    deliver(tmp_path / "o-2024-02.csv", FEBRUARY.replace("9.5", "9.6"), age=1)
    assert folder.look() == {}
    assert list(folder.look(now=NOW + 30)) == ["2024-02"]


def test_a_whole_file(orders, looker, orders_schema, tmp_path):
    source = looker(orders("orders.csv"))
    assert source.look() == {}
    deliver(tmp_path / "orders.csv", JANUARY)
    assert source.look() == hashes(source.spec, orders_schema, "whole")
    source.ingest("whole")
    assert source.look() == {}
    deliver(tmp_path / "orders.csv", JANUARY + FEBRUARY)
    assert source.look() == hashes(source.spec, orders_schema, "whole")


def test_a_shared_file_is_parsed_only_when_it_changed(shared, fetched, orders_schema, tmp_path):
    assert shared.look() == {}
    assert fetched == []
    assert list(shared.before) == ["2024-01", "2024-02"]
    content = zipped(JANUARY, FEBRUARY.replace("9.5", "9.6"), MARCH, MARCH.replace("2024-03", "2024-07"))
    deliver(tmp_path / "orders.csv.zip", content)
    due = shared.look()
    assert fetched == ["orders.csv.zip"] * 2
    assert due == hashes(shared.spec, orders_schema, "2024-02", "2024-03")


def test_a_shared_file_written_again_or_gone_asks_for_nothing(shared, tmp_path):
    path = tmp_path / "orders.csv.zip"
    deliver(path, zipped(JANUARY, FEBRUARY), age=30)
    assert shared.look() == {}
    path.unlink()
    assert shared.look() == {}
    assert shared.before == {}


def test_another_cut_of_an_unchanged_file_is_noticed(orders, looker, shared):
    wider = looker(orders("orders.csv.zip", drops=BY_COLUMN | {"start": "2024-02"}))
    wider.ingest("2024-02")
    assert wider.look() == {}
    wider.spec = shared.spec
    assert wider.look() == {"2024-01": shared.ingested["2024-01"]}


def test_one_broken_month_of_a_shared_file_hides_no_other(shared, orders_schema, tmp_path):
    rows = JANUARY.replace("9.5", "9.6"), FEBRUARY.replace("9.5", "dear"), MARCH
    deliver(tmp_path / "orders.csv.zip", zipped(*rows))
    due = shared.look()
    unread = {"2024-02": "unread:" + shared.before["2024-02"]}
    assert due == hashes(shared.spec, orders_schema, "2024-01", "2024-03") | unread


def test_a_broken_shared_file_is_due_once_and_looked_into_until_it_is_whole(shared, fetched, tmp_path):
    shared.ingested.pop("2024-02")
    content = zipped(JANUARY, FEBRUARY, MARCH)
    deliver(tmp_path / "orders.csv.zip", content[:-30])
    due = shared.look()
    assert list(due) == ["2024-01", "2024-02"]
    assert due == shared.before
    assert all(identity.startswith("unread:size=") for identity in due.values())
    assert shared.look() == {"2024-02": due["2024-02"]}
    assert len(fetched) == 2
    deliver(tmp_path / "orders.csv.zip", content)
    assert list(shared.look()) == ["2024-02", "2024-03"]


def test_a_shared_file_that_was_never_readable_is_due_as_its_first_month(orders, looker, orders_schema, tmp_path):
    deliver(tmp_path / "orders.csv", "1,9.5,Oslo,yesterday\n")
    source = looker(orders("orders.csv", drops=BY_COLUMN))
    due = source.look()
    assert due == source.before
    assert list(due) == ["2024-01"]
    with pytest.raises(SourceError, match="column 'at': wrong type"):
        read_drops(source.spec, list(due), orders_schema)
    source.spec = orders("orders.csv", drops=BY_COLUMN, null_values=["yesterday"])
    assert list(source.look()) == ["2024-01"]
    deliver(tmp_path / "orders.csv", MARCH)
    assert list(source.look()) == ["2024-03"]


def test_a_shared_file_that_cannot_be_fetched_tells_nothing_of_its_months(shared, monkeypatch, tmp_path):
    deliver(tmp_path / "orders.csv.zip", zipped(JANUARY, FEBRUARY, MARCH))
    fetch = csv.fetch
    monkeypatch.setattr(csv, "fetch", lambda _: fetch("http://127.0.0.1:9/orders.csv.zip"))
    with pytest.raises(SourceError, match="unreachable"):
        shared.look()
    monkeypatch.setattr(csv, "fetch", fetch)
    assert list(shared.look()) == ["2024-03"]


def test_a_file_in_an_installed_package(orders, looker, monkeypatch, tmp_path):
    package = tmp_path / "watched_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    deliver(package / "orders.csv.zip", zipped(JANUARY, FEBRUARY))
    source = looker(orders(where={"package": "watched_package", "file": "orders.csv.zip"}, drops=BY_COLUMN))
    assert list(source.look()) == ["2024-01", "2024-02"]
    source.spec = orders(where={"package": "absent_package", "file": "orders.csv.zip"}, drops=BY_COLUMN)
    with pytest.raises(SourceError, match="package 'absent_package' is not installed"):
        source.look()


@pytest.fixture
def web(tmp_path):
    """A server of tmp_path; returns its address and the header names that it leaves out."""
    left_out = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def send_header(self, name, value):
            if name not in left_out:
                super().send_header(name, value)

        def send_head(self):
            if "down" in self.path:
                return self.send_error(503)
            return self.send_error(403) if "private" in self.path else super().send_head()

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", left_out
        server.shutdown()
        thread.join()


def test_http_drops(orders, looker, orders_schema, fetched, tmp_path, web):
    source = looker(orders(where={"path": f"{web[0]}/o-{{partition}}.csv"}, drops=BY_FILE))
    assert source.look() == {}
    deliver(tmp_path / "o-2024-01.csv", JANUARY)
    deliver(tmp_path / "o-2024-03.csv", MARCH)
    assert source.look() == hashes(source.spec, orders_schema, "2024-01", "2024-03")
    source.ingest("2024-01", "2024-03")
    fetched.clear()
    assert source.look() == {}
    assert fetched == []
    deliver(tmp_path / "o-2024-03.csv", MARCH.replace("9.5", "9.6"), age=30)
    assert list(source.look()) == ["2024-03"]
    assert fetched == ["o-2024-03.csv"]


def test_http_shared_file(orders, looker, fetched, tmp_path, web):
    source = looker(orders(where={"path": f"{web[0]}/orders.csv.zip"}, drops=BY_COLUMN))
    assert source.look() == {}
    deliver(tmp_path / "orders.csv.zip", zipped(JANUARY, FEBRUARY))
    assert list(source.look()) == ["2024-01", "2024-02"]
    source.ingest("2024-01", "2024-02")
    fetched.clear()
    assert source.look() == {}
    assert fetched == []


def test_http_token_is_whatever_the_server_tells(tmp_path, web):
    address, left_out = web
    deliver(tmp_path / "o.csv", JANUARY)
    size = len(HEADER + JANUARY)
    token = f"Last-Modified=Fri, 15 Jan 2027 07:59:00 GMT size={size}"
    assert file_token(f"{address}/o.csv", NOW, 2) == token
    left_out.add("Last-Modified")
    assert file_token(f"{address}/o.csv", NOW, 2) == f"size={size}"
    left_out.add("Content-Length")
    hashed = file_token(f"{address}/o.csv", NOW, 2)
    assert hashed.startswith("sha256=")
    deliver(tmp_path / "o.csv", JANUARY.replace("9.5", "9.6"))
    assert file_token(f"{address}/o.csv", NOW, 2) != hashed


def test_http_absence_is_told_from_failure(orders, orders_schema, web):
    assert file_token(f"{web[0]}/absent.csv", NOW, 2) is None
    assert file_token(f"{web[0]}/private.csv", NOW, 2) is None
    for address in (f"{web[0]}/down.csv", "http://127.0.0.1:9/o.csv"):
        with pytest.raises(SourceError, match=rf"drop 'all': unreachable: {address} cannot be read \(Client") as raised:
            watch(orders(where={"path": address}), orders_schema, {}, NOW)
        assert raised.value.kind == "unreachable"


def test_a_web_server_cannot_be_listed(orders, orders_schema, web):
    endless = {"grain": "monthly", "start": "2024-01"}
    with pytest.raises(SourceError, match=r"all': unreachable: a web server cannot be listed .* give drops an `end`"):
        watch(orders(where={"path": f"{web[0]}/o-{{partition}}.csv"}, drops=endless), orders_schema, {}, NOW)


def test_s3(orders, looker, monkeypatch):
    import boto3
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # it would remember the server of an earlier test
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="watched")

    def put(key, rows):
        client.put_object(Bucket="watched", Key=key, Body=(HEADER + rows).encode())

    by_file = looker(orders(where={"path": "s3://watched/in/{partition}/o.csv"}, drops=BY_FILE))
    whole = looker(orders(where={"path": "s3://watched/orders.csv"}))
    try:
        assert by_file.look() == whole.look() == {}
        for key, rows in {"in/2024-01/o.csv": JANUARY, "in/2024-03/o.csv": MARCH, "orders.csv": MARCH}.items():
            put(key, rows)
        assert list(by_file.look()) == ["2024-01", "2024-03"]
        assert list(whole.look()) == ["whole"]
        by_file.ingest("2024-01", "2024-03")
        whole.ingest("whole")
        for key, rows in {"in/2024-01/o.csv": JANUARY, "in/2024-03/o.csv": MARCH, "orders.csv": FEBRUARY}.items():
            put(key, rows.replace("9.5", "9.6") if rows == MARCH else rows)
        assert list(by_file.look()) == ["2024-03"]
        assert list(whole.look()) == ["whole"]
    finally:
        server.stop()
        S3FileSystem.clear_instance_cache()
