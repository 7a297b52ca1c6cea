"""What a message says and to which table, and what is said of one that says nothing."""

import json

import pytest

from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.protocol import Message, StreamUnavailable
from ml_assets.streams.routing import BadMessage, Facts, Routes

TABLES = ["sales", "shop/returns"]
ROW = {"shop": "a", "amount": 1.0}


def read(said, name="", **options):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Routes(TABLES, options).read(Message("p", (1,), name, body))


@pytest.mark.parametrize(
    ("said", "name", "options", "facts"),
    [
        (ROW, "sales", {}, Facts("sales", [ROW])),
        ([ROW, ROW], "sales", {}, Facts("sales", [ROW, ROW])),
        (ROW, "shop.returns", {}, Facts("shop/returns", [ROW])),
        (ROW, "shop_returns", {}, Facts("shop/returns", [ROW])),
        (ROW, "pos", {"map": "pos:sales,back:shop/returns"}, Facts("sales", [ROW])),
        (ROW, "anything", {"table": "shop/returns"}, Facts("shop/returns", [ROW])),
        (ROW | {"kind": "sales"}, "", {"field": "kind"}, Facts("sales", [ROW])),
        ({"rows": [ROW], "table": "sales"}, "", {}, Facts("sales", [ROW])),
        ({"rows": [ROW], "retract": [ROW]}, "sales", {}, Facts("sales", [ROW], [ROW])),
        ({"retract": [ROW]}, "sales", {}, Facts("sales", [], [ROW])),
        ({"complete_until": "1970-01-01T01:00:01+01:00"}, "sales", {}, Facts("sales", [], [], 1_000_000)),
        ({"rows": [ROW], "complete_until": "1970-01-01T00:00:02Z"}, "sales", {}, Facts("sales", [ROW], [], 2_000_000)),
        (
            {"complete_until": "1970-01-01T00:00:02Z", "table": "sales"},
            "",
            {"field": "kind"},
            Facts("sales", [], [], 2_000_000),
        ),
    ],
)
def test_a_message_is_for_the_table_that_it_names(said, name, options, facts):
    assert read(said, name, **options) == facts


@pytest.mark.parametrize(
    ("said", "name", "options", "reason", "table"),
    [
        (b"{", "sales", {}, "no JSON: .*", "sales"),
        (b"", "", {}, "no JSON: .*", ""),
        (b"\xff", "sales", {}, "no JSON: .*", "sales"),
        ("sale", "sales", {}, "a message: must be objects with the columns of a table", "sales"),
        ({"rows": [1]}, "sales", {}, "rows: must be objects with the columns of a table", "sales"),
        ({"complete_until": "soon"}, "sales", {}, "complete_until: it must be a moment in ISO 8601 .*", "sales"),
        ({"rows": []}, "sales", {}, "it holds no rows", "sales"),
        ([], "sales", {}, "it holds no rows", "sales"),
        (ROW, "tills", {}, "'tills' is no table that takes facts; there are sales, shop/returns", ""),
        (ROW, "", {}, "'' is no table that takes facts; there are sales, shop/returns", ""),
        ({"rows": [ROW], "table": 3}, "sales", {}, "3 is no table that takes facts; .*", ""),
        (ROW, "sales", {"field": "kind"}, "'' is no table that takes facts; .*", ""),
        ([ROW | {"kind": "sales"}, ROW], "", {"field": "kind"}, "kind: rows of one message name several tables", ""),
    ],
)
def test_a_message_that_says_nothing_is_refused_with_the_reason(said, name, options, reason, table):
    with pytest.raises(BadMessage, match=f"^{reason}$") as refused:
        read(said, name, **options)
    assert refused.value.table == table


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("amqp://h/q", "write one of file:///folder, nats:"),
        ("nats://h:4222", "write one of"),
        ("orders.ndjson", "write one of"),
        ("nats://u:secret@h:4222/?table=a&table=b", "stream 'nats://h:4222/"),
        ("file:///f?table=a&table=b", "an option is given twice"),
        ("file:///f?patern=x", "patern is no option of file://; there are name, table, field, map, pattern"),
        ("file://folder/f", "write file:///folder, with three slashes"),
        ("redis://h:6379/orders", "write redis://host:port/number/key"),
        ("kafka://u:p@h:1/t", "PLAIN would send the password as it is: write kafka.ssl://"),
        ("kafka+ssl://u@h:1/t", "name a file with the password of u: .password_file=file"),
        ("kafka+ssl://u:p@h:1/t?sasl=GSSAPI", "sasl is one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("kafka://h:1/t?ca_file=/f", "ca_file is for TLS: write kafka.ssl://"),
        ("kafka://h:1/t?password_file=/f", "password_file is for a user: write kafka://user@host"),
    ],
)
def test_a_wrong_address_is_refused_with_what_to_write(url, message):
    with pytest.raises(ValueError, match=message):
        open_stream(read_address(url))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "tills"}, "table: 'tills' is no table that takes facts; there are sales, shop/returns"),
        ({"map": "pos"}, "map=pos: write name:table"),
        ({"map": "pos:tills"}, "map: 'tills' is no table"),
        ({"table": "sales", "field": "kind"}, "table and field: give one of them"),
    ],
)
def test_a_wrong_route_is_refused_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        Routes(TABLES, options)


@pytest.mark.parametrize(
    ("url", "properties"),
    [
        ("kafka://a:1,b:2/t", {}),
        ("kafka+ssl://a:1/t", {"security.protocol": "SSL"}),
        ("kafka+ssl://a:1/t?ca_file=/ca", {"security.protocol": "SSL", "ssl.ca.location": "/ca"}),
        (
            "kafka+ssl://me%40x@a:1/t?password_file={word}",
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "me@x"},
        ),
        (
            "kafka://me:s%2Fw%3Ao@a:1/t?sasl=SCRAM-SHA-512",
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "me"},
        ),
    ],
)
def test_what_kafka_is_opened_with_by_hand(url, properties, tmp_path, monkeypatch):
    import confluent_kafka

    given = {}
    monkeypatch.setattr(confluent_kafka, "Consumer", given.update)
    (tmp_path / "word").write_text("s/w:o\n")
    open_stream(read_address(url.format(word=tmp_path / "word")))
    secret = {"sasl.password": "s/w:o"} if "sasl.username" in properties else {}
    security = {name: value for name, value in given.items() if name.startswith(("security.", "sasl.", "ssl."))}
    assert security == properties | secret
    assert given["bootstrap.servers"] == url.partition("://")[2].partition("/t")[0].rpartition("@")[2]


@pytest.mark.parametrize("text", ["sasl.username=u\nswordfish\n", "no.such.property=swordfish\n"])
def test_a_file_of_properties_that_kafka_does_not_take_is_refused_without_its_values(text, tmp_path):
    (tmp_path / "config").write_text(text)
    with pytest.raises(ValueError, match=r"line 2 is no property|no\.such\.property") as caught:
        open_stream(read_address(f"kafka://h:1/t?config={tmp_path}/config"))
    assert "swordfish" not in str(caught.value)


def test_why_a_kafka_server_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setattr("ml_assets.streams.doors.kafka._ANSWER", 0.3)
    stream = open_stream(read_address("kafka+ssl://me:quartz@127.0.0.1:1/t"))
    with pytest.raises(StreamUnavailable, match=r"sasl_ssl://127.0.0.1:1/bootstrap: .*Connection refused") as caught:
        stream.check({})
    stream.close()
    assert "quartz" not in str(caught.value)


def test_a_stream_is_known_by_its_address_without_secrets_and_options_or_by_its_name():
    assert read_address("nats://me:secret@h:4222/FACTS?subject=a.b&table=sales").name == "nats://h:4222/FACTS"
    assert read_address("nats://h:4222/FACTS?name=facts").name == "facts"
