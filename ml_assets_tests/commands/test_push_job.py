"""`ml-assets push`: rows of a file in batches, into the store or to a server, each once."""

import io
import json
import os
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import polars as pl
import pytest
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.commands.serving import push_job
from ml_assets.commands.serving.push_job import PAUSES, Answer, push_batches, table_of, to_server
from ml_assets.commands.session import Session
from ml_assets.declarations.project import DeclaredProject
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.facts.files import format_of, read_batches
from ml_assets.online.stores.opening import open_store
from ml_assets.serving.declared import OnlineTable, RequestField
from ml_assets_tests.streams.shop import SCHEMA, VIEWS, build

KINDS = {"shop": "text", "n": "integer", "amount": "number", "ok": "boolean", "at": "moment"}
FIELDS = [
    RequestField(name="shop", kind="text", dtype="String"),
    RequestField(name="at", kind="moment", dtype="Datetime"),
    RequestField(name="amount", kind="number", dtype="Float64"),
]
SALES = OnlineTable(table="sales", views=[VIEWS["sales"]], fields=FIELDS)


def batches(text, form, size=2, kinds=KINDS):
    return [(each.first, each.rows) for each in read_batches(io.BytesIO(text), form, size, kinds)]


def test_csv_is_read_by_the_kinds_of_columns():
    text = b'\xef\xbb\xbfshop,n,amount,ok,other\n001,7,2.5,true,1\n,,,,\n\n"a, b",1_0,nan,perhaps,x\n'
    assert batches(text, "csv") == [
        (1, [
            {"shop": "001", "n": 7, "amount": 2.5, "ok": True, "other": "1"},
            {"shop": None, "n": None, "amount": None, "ok": None, "other": None},
        ]),
        (3, [{"shop": "a, b", "n": "1_0", "amount": "nan", "ok": "perhaps", "other": "x"}]),
    ]  # fmt: skip


def test_ndjson_and_parquet_give_json_objects():
    assert batches(b'{"n": 1}\n\n{"n": null}\n{"n": "x"}', "ndjson") == [
        (1, [{"n": 1}, {"n": None}]), (3, [{"n": "x"}])
    ]  # fmt: skip
    file = io.BytesIO()
    moment = datetime(2024, 3, 10, 12, tzinfo=UTC)
    frame = {"at": [moment], "day": [moment.date()], "price": [Decimal("1.50")], "long": [timedelta(seconds=2)]}
    pl.DataFrame(frame).write_parquet(file)
    (read,) = read_batches(file, "parquet", 10, {})
    assert read.rows == [{"at": "2024-03-10T12:00:00+00:00", "day": "2024-03-10", "price": "1.50", "long": 2_000_000}]


def test_parquet_needs_a_file():
    end, other = os.pipe()
    os.close(other)
    with open(end, "rb") as pipe, pytest.raises(ValueError, match="cannot be read from a pipe: name the file"):
        list(read_batches(pipe, "parquet", 10, {}))


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        (b'{"n": 1}\n[1]', "ndjson", "line 2: must be a JSON object"),
        (b"{", "ndjson", "line 1: no JSON"),
        (b"a,b\n1,2\n1", "csv", "line 3: 1 values where the first line names 2"),
        (b"", "xml", "format 'xml': it must be one of csv, ndjson, parquet"),
    ],
)
def test_what_is_no_row_is_refused_with_its_line(text, form, message):
    with pytest.raises(ValueError, match=message.replace("[", "\\[")):
        batches(text, form)


def test_a_format_is_known_by_the_ending():
    assert [format_of(name) for name in ("a.CSV", "b/c.jsonl", "d.parquet")] == ["csv", "ndjson", "parquet"]
    with pytest.raises(ValueError, match="give --format csv, ndjson or parquet"):
        format_of("facts.txt")


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = Home.under(tmp_path / "home")
    home.root.mkdir()
    build(open_store(home.online_store)).close()
    monkeypatch.setattr(push_job, "table_of", lambda *_: SALES)
    monkeypatch.setattr(Session, "read_declarations", lambda _: DeclaredProject([]))
    monkeypatch.setattr(Session, "prepare_home", lambda _: home)
    return home


def run(*arguments, **more):
    return CliRunner().invoke(app, ["push", "sales", *map(str, arguments)], **more)


def test_a_file_is_pushed_once_and_what_breaks_a_rule_is_told(home, tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text(
        "shop,at,amount\n" + "".join(f"a,2024-03-10T0{hour}:00:00Z,{hour}\n" for hour in range(5)) + "a,x,1\n"
    )
    first, again = (json.loads(run(file, "--batch", 2, "--json").stdout) for _ in range(2))
    rules = "at: it must be a moment in ISO 8601 with its zone"
    assert first == {
        "table": "sales", "rows": 5, "retracted": 0, "quarantined": 1, "repeated": 0, "batches": 3,
        "examples": [{"row": 6, "rules": rules}],
    }  # fmt: skip
    assert (again["rows"], again["repeated"], again["quarantined"]) == (0, 5, 1)
    assert run(file, "--name", "again").stdout.splitlines() == [
        "sales: 5 rows pushed, 1 in pushed_quarantine/sales", f"  row 6: {rules}"
    ]  # fmt: skip
    line = '{"shop": "a", "at": "2024-03-10T04:00:00Z", "amount": 4.0}\n'
    assert run("-", "--retract", input=line).stdout == "sales: 1 rows taken back\n"
    store = open_store(home.online_store)
    assert [row.retracts for row in store.pushed_since("sold", 0)] == [False] * 10 + [True]


@pytest.mark.usefixtures("home")
def test_a_batch_that_fails_says_what_is_in(tmp_path):
    file = tmp_path / "sales.ndjson"
    file.write_text('{"shop": "a", "at": "2024-03-10T04:00:00Z", "amount": 4.0}\nno\n')
    done = run(file, "--batch", 1)
    assert done.exit_code == 1
    assert "line 2: no JSON" in done.output.replace("\n", " ")
    assert "1 rows before it are in" in done.output.replace("\n", " ")
    done = run(file, "--retract")
    assert done.exit_code == 1


def test_a_table_that_takes_no_facts_is_named(tmp_path, monkeypatch):
    from ml_assets.commands.serving import served

    monkeypatch.setattr(served, "declarations", lambda *_: served.Declarations(tables={"sales": SALES}))
    with pytest.raises(ValueError, match="table 'sale' takes no facts; there are sales"):
        table_of(DeclaredProject([]), Home.under(tmp_path), "sale")


class Server(BaseHTTPRequestHandler):
    """Answers with what is scripted, and keeps what it is sent."""

    script: list
    seen: list

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, self.headers["authorization"], self.headers["idempotency-key"], body))
        status, answer = self.script.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    Server.script, Server.seen = [], []
    with HTTPServer(("127.0.0.1", 0), Server) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}/"
        made.shutdown()
        thread.join()


def test_a_server_gets_each_batch_with_a_key_and_again_while_it_cannot_take_it(server):
    taken = {"rows": 1, "retracted": 0, "refused": [{"row": 1, "rules": "r", "columns": "c"}], "repeated": False}
    Server.script += [(503, {"error": "busy"}), (200, taken), (503, {}), (422, {"error": "no"})]
    pauses = []
    send = to_server(server, "fleet/validated", "secret", pauses.append)
    assert send({"rows": [1, 2]}, "k") == Answer(1, 0, [(1, "r")], False)
    assert Server.seen == [("/v1/push/table/fleet/validated", "Bearer secret", "k", {"rows": [1, 2]})] * 2
    with pytest.raises(RuntimeError, match=r'answers 422: \{"error": "no"\}'):
        send({"rows": []}, "l")
    assert pauses == [PAUSES[0], PAUSES[0]]
    with pytest.raises(ValueError, match="must be the address of a server"):
        to_server("localhost:8080", "sales", "")


def test_equal_batches_of_one_file_have_keys_of_their_own():
    keys = []

    def send(body, key):
        keys.append(key)
        return Answer(len(body["rows"]), 0, [], False)

    def push(**more):
        lines = io.BytesIO(b'{"n": 1}\n' * 3)
        batched = read_batches(lines, "ndjson", 1, SCHEMA)
        return push_batches(batched, "t", send, **{"name": "", "retract": False, "say": len, **more})

    assert push().rows == 3
    assert len(set(keys)) == 3
    push()
    assert keys[:3] == keys[3:]
    push(name="other")
    assert len(set(keys)) == 6


@pytest.mark.usefixtures("home")
def test_what_cannot_be_opened_or_reached_is_told_in_words(tmp_path):
    """Exit code 2 for what was typed, 1 for what is so at the moment."""
    file = tmp_path / "sales.ndjson"
    file.write_text('{"shop": "a", "at": "2024-03-10T04:00:00Z", "amount": 4.0}\n')
    empty = tmp_path / "key"
    empty.touch()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{unused.getsockname()[1]}"
        cases = [
            ([tmp_path / "no.csv"], 2, f"cannot be opened: No such file or directory ({tmp_path}/no.csv): name one"),
            ([tmp_path, "--format", "csv"], 2, "the file to push cannot be opened: Is a directory"),
            ([file, "--format", "xml"], 2, "format 'xml': it must be one of csv, ndjson, parquet"),
            ([file, "--url", away, "--key-file", tmp_path / "none"], 2, "--key-file cannot be read: No such file"),
            ([file, "--url", away, "--key-file", empty], 2, f"--key-file {empty}: it is empty"),
            ([file, "--url", away], 1, "cannot be reached (Connection refused): start it by `ml-assets serve`, or"),
        ]  # fmt: skip
        for arguments, code, message in cases:
            done = run(*arguments)
            assert (done.exit_code, message in done.output.replace("\n", " ")) == (code, True), done.output
            assert "Errno" not in done.output


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", b"shop,at,amount\nb\xff,x,1\n", "it is no text in UTF-8"),
        ("a.csv", b"shop,at,amount\n" + b"x" * 200_000 + b",x,1\n", "line 2: no CSV (field larger than field limit"),
        ("a.ndjson", b'{"shop": "\xff"}', "line 1: no JSON"),
        ("a.parquet", b"no parquet", "arquet"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_file_that_is_not_what_its_name_says_fails_with_a_message(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_bytes(text)
    done = run(file)
    assert (done.exit_code, message in done.output.replace("\n", " ")) == (1, True), done.output


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (200, {"status": "ok"}, "answers what no server of predictions does"),
        (401, {"error": "give a key"}, 'answers 401: {"error": "give a key"}: give a key that it knows by --key-file'),
        (403, {}, "give a key with the scope push by --key-file"),
    ],
)
def test_an_answer_that_is_none_of_a_push_is_told(server, status, answer, message):
    Server.script.append((status, answer))
    with pytest.raises(RuntimeError, match=re.escape(message)):
        to_server(server, "sales", "k")({"rows": [1]}, "k")


def test_the_same_file_pushed_twice_at_once_counts_once(home):
    rows = [{"shop": "ab"[n % 2], "at": f"2024-03-10T04:{n:02}:00Z", "amount": float(n)} for n in range(12)]
    text = "".join(json.dumps(row) + "\n" for row in [*rows, {"shop": "a", "at": None, "amount": 1.0}]).encode()
    start, done = threading.Barrier(3), []

    def push():
        with push_job.into_store(home, SALES) as send:
            start.wait()
            batched = read_batches(io.BytesIO(text), "ndjson", 2, KINDS)
            done.append(push_batches(batched, "sales", send, name="", retract=False, say=len))

    threads = [threading.Thread(target=push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.rows for each in done) == 12
    assert [each.rows + each.repeated for each in done] == [12] * 3
    assert [each.quarantined for each in done] == [1] * 3
    store = open_store(home.online_store)
    assert len(store.pushed_since("sold", 0)) == 12
    store.close()
    assert Lake(home.lake).scan("pushed_quarantine/sales").collect().height == 1
