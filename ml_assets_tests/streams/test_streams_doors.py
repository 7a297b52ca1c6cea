"""Every kind of stream does the same: real servers, and a folder."""

import asyncio
import json
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ml_assets.online.stores.opening import open_store
from ml_assets.streams.connector import Connector
from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.protocol import StreamError, StreamUnavailable, advance
from ml_assets.streams.routing import Routes
from ml_assets.streams.running import Batches, Running
from ml_assets_tests.streams.servers import free_port, kafka_broker, nats_server, redis_server
from ml_assets_tests.streams.shop import ARRIVED, VIEWS, batch, build, sale, served, tables


class Folder:
    def __init__(self, folder):
        self.folder, self.url = folder / "facts", f"file://{folder}/facts"
        self.folder.mkdir()

    def send(self, *bodies):
        with (self.folder / "sales-2024.ndjson").open("ab") as file:
            file.writelines(body + b"\n" for body in bodies)

    def begin_anew(self):
        (self.folder / "sales-2024.ndjson").write_bytes(b"{}\n")


class Nats:
    def __init__(self, port, stream):
        self.port, self.stream, self.url = port, stream, f"nats://127.0.0.1:{port}/{stream}"
        self._do(lambda js: js.add_stream(name=stream, subjects=[f"{stream}.>"]))

    def _do(self, *works):
        import nats

        async def do():
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            for work in works:
                await work(client.jetstream())
            await client.close()

        asyncio.run(do())

    def send(self, *bodies):
        self._do(*(lambda js, body=body: js.publish(f"{self.stream}.sales", body) for body in bodies))

    def begin_anew(self):
        self._do(lambda js: js.delete_stream(self.stream))
        self.__init__(self.port, self.stream)

    def forget(self, count):
        self._do(lambda js: js.purge_stream(self.stream, keep=count))


class Redis:
    def __init__(self, port, key):
        import redis

        self.server, self.key, self.url = redis.Redis(port=port), key, f"redis://127.0.0.1:{port}/0/{key}"

    def send(self, *bodies):
        for body in bodies:
            self.server.xadd(self.key, {"table": "sales", "data": body})

    def begin_anew(self):
        self.server.delete(self.key)
        self.server.xadd(self.key, {"data": b"{}"}, id="1-1")

    def forget(self, count):
        self.server.xtrim(self.key, count, approximate=False)


class Kafka:
    def __init__(self, port, topic):
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        self.topic, self.url = topic, f"kafka://127.0.0.1:{port}/{topic}?map={topic}:sales"
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        self.producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})

    def send(self, *bodies):
        for body in bodies:
            self.producer.produce(self.topic, body, partition=0)
            assert self.producer.flush(30) == 0


SERVERS = {"nats": nats_server, "redis": redis_server, "kafka": kafka_broker}
SENDERS = {"nats": Nats, "redis": Redis, "kafka": Kafka}


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """The port of each kind of server, which is started when it is first wanted."""
    opened, there = [], {}

    def port_of(kind):
        if kind not in there:
            there[kind] = free_port()
            opened.append(SERVERS[kind](there[kind], tmp_path_factory.mktemp(kind)))
            opened[-1].__enter__()
        return there[kind]

    yield port_of
    for server in opened:
        server.__exit__(None, None, None)


@pytest.fixture
def sender(request, tmp_path, ports):
    """A new stream of a kind, which messages can be sent to."""
    kind = getattr(request, "param", None) or request.getfixturevalue("kind")
    return Folder(tmp_path) if kind == "folder" else SENDERS[kind](ports(kind), f"s{time.monotonic_ns()}")


@contextmanager
def opened(url):
    stream = open_stream(read_address(url))
    try:
        yield stream
    finally:
        stream.close()


def read_all(stream, position, limit=100):
    """Read until nothing waits."""
    messages = []
    for _ in range(100):
        messages += stream.read(advance(position, messages), limit, 0.2)
        if stream.waiting(advance(position, messages)) == 0:
            return messages
    pytest.fail(f"it gives {messages} and no more")


@pytest.mark.parametrize("sender", ["folder", "nats", "redis", "kafka"], indirect=True)
def test_messages_come_in_order_from_any_position_and_are_counted(sender):
    before = time.time() - 60
    sender.send(b"0", b"1", b"2", b"3", b"4")
    with opened(sender.url) as stream:
        assert stream.check({}) == () or stream.check({}) == []
        first = read_all(stream, {}, limit=2)
        assert [message.body for message in first] == [b"0", b"1", b"2", b"3", b"4"]
        assert len({message.name for message in first}) == 1
        assert all(before < message.sent_at / 1e6 < time.time() + 60 for message in first)
        end = advance({}, first)
        stream.acknowledge(end)
        assert list(stream.read(end, 10, 0.05)) == []
        assert stream.waiting(end) == 0
        sender.send(b"5", b"6")
        later = read_all(stream, end)
        assert [message.body for message in later] == [b"5", b"6"]
        stream.acknowledge(advance(end, later[:1]))
        # Back to where it was once, as after a failed push.
        assert [message.body for message in read_all(stream, advance({}, first[:3]))] == [b"3", b"4", b"5", b"6"]
    with opened(sender.url) as again:
        assert list(again.check(advance({}, first[:4]))) == []
        read = again.read(advance({}, first[:4]), 1, 5)
        assert [message.body for message in read] == [b"4"]
        assert again.waiting(advance({}, first[:5])) == 2


@pytest.mark.parametrize("sender", ["folder", "nats", "redis", "kafka"], indirect=True)
def test_what_is_read_is_served_as_batch_has_it_and_each_message_once(sender, tmp_path):
    store = build(open_store(f"sqlite:///{tmp_path}/online.db"))
    rows = [sale("a", minutes, amount) for minutes, amount in ((5, 0.1), (170, 2.0), (200, 4.0), (3, 0.7))]
    for some in (rows[:2], rows[2:]):
        sender.send(*(json.dumps(row).encode() for row in some), b"{")
        for _ in range(2):
            address = read_address(sender.url)
            with opened(sender.url) as stream:
                connector = Connector(address.name, store, tables(), Routes(list(VIEWS), address.routing))
                lags = []
                Running(stream, connector, Batches(3), lambda: ARRIVED, lags.append, pytest.fail).run_to_end()
        assert lags[-1].messages == 0
        assert lags[-1].seconds == 0
    assert connector.progress.messages == 6
    assert len(store.refused_since("sales", 0)) == 2
    assert served(store, "a") == batch({"sales": rows, "shop/returns": []}, "a")


@pytest.mark.parametrize("sender", ["folder", "nats", "redis"], indirect=True)
def test_a_stream_that_was_made_anew_is_not_read_on(sender):
    sender.send(b"0", b"1", b"2")
    with opened(sender.url) as stream:
        end = advance({}, read_all(stream, {}))
        sender.begin_anew()
        with pytest.raises(StreamError, match=r"made anew|written anew"):
            stream.check(end)


@pytest.mark.parametrize(
    ("sender", "told"), [("nats", "2 messages after 1"), ("redis", "2 entries after")], indirect=["sender"]
)
def test_what_was_gone_before_it_was_read_is_told(sender, told):
    sender.send(b"0", b"1", b"2", b"3")
    with opened(sender.url) as stream:
        assert list(stream.check({})) == []
        first = stream.read({}, 1, 5)
        stream.acknowledge(advance({}, first))
        sender.forget(1)
        (sentence,) = stream.check(advance({}, first))
        assert told in sentence
        assert [message.body for message in read_all(stream, advance({}, first))] == [b"3"]


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:{}/s", "redis://127.0.0.1:{}/0/s", "kafka://127.0.0.1:{}/s", "file:///nowhere/{}"]
)
def test_a_stream_that_is_away_says_so(url, monkeypatch):
    monkeypatch.setattr("ml_assets.streams.doors.kafka._ANSWER", 0.5)
    with opened(url.format(free_port())) as stream, pytest.raises(StreamUnavailable):
        stream.check({"0": (1,)})


def test_a_server_that_comes_back_is_read_on(tmp_path):
    port = free_port()
    with nats_server(port, tmp_path):
        sender = Nats(port, "s")
        sender.send(b"0", b"1")
        stream = open_stream(read_address(sender.url))
        position = advance({}, stream.read({}, 1, 5))
    with pytest.raises(StreamUnavailable):
        stream.waiting(position)
    with nats_server(port, tmp_path):
        assert [message.body for message in read_all(stream, position)] == [b"1"]
        stream.close()


def test_the_group_of_redis_shows_how_far_it_is(ports):
    sender = Redis(ports("redis"), "shown")
    sender.send(b"0", b"1", b"2")
    with opened(f"{sender.url}?group=g") as stream:
        stream.check({})
        stream.acknowledge(advance({}, stream.read({}, 2, 1)))
    (group,) = sender.server.xinfo_groups("shown")
    assert (group["name"], group["lag"], group["pending"]) == (b"g", 1, 0)


def test_a_password_of_redis_may_stand_in_a_file(ports, tmp_path):
    sender = Redis(ports("redis"), "guarded")
    sender.send(b"0")
    sender.server.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    (tmp_path / "right").write_text("secret\n")
    (tmp_path / "wrong").write_text("guessed\n")
    url = f"{sender.url.replace('//', '//reader@')}?password_file={tmp_path}"
    with opened(f"{url}/right") as stream:
        assert [message.body for message in read_all(stream, {})] == [b"0"]
    with opened(f"{url}/wrong") as stream, pytest.raises(StreamUnavailable, match="invalid username-password pair"):
        stream.check({})


def test_every_partition_of_a_topic_is_read(ports):
    from confluent_kafka.admin import AdminClient, NewTopic

    sender = Kafka(ports("kafka"), "halves")
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{ports('kafka')}"})
    admin.create_topics([NewTopic("three", 3, 1)])["three"].result(30)
    for number in range(6):
        sender.producer.produce("three", b"%d" % number, partition=number % 3)
    assert sender.producer.flush(30) == 0
    with opened(f"kafka://127.0.0.1:{ports('kafka')}/three") as stream:
        messages = read_all(stream, {})
        assert sorted((m.part, m.offset, m.body) for m in messages) == [
            (str(part), (offset,), b"%d" % (3 * offset + part)) for part in range(3) for offset in range(2)
        ]
        stream.acknowledge(advance({}, messages))


def test_marks_of_transactions_at_the_end_of_a_partition_do_not_wait():
    from confluent_kafka import KafkaError

    class Event:
        def __init__(self, offset, error=None):
            self.offset, self.error = lambda: offset, lambda: error
            self.partition, self.topic, self.value = lambda: 0, lambda: "t", lambda: b"{}"
            self.timestamp = lambda: (0, -1)

    class Ended:
        """Two messages, the mark of their transaction, and the end."""

        def __init__(self):
            self.events = [Event(0), Event(1), Event(3, KafkaError(KafkaError._PARTITION_EOF))]

        def list_topics(self, topic, timeout):  # noqa: ARG002
            return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None})})

        def assign(self, assigned):
            self.assigned = assigned

        def assignment(self):
            return self.assigned

        def get_watermark_offsets(self, partition, timeout, *, cached):  # noqa: ARG002
            return (0, 3)

        def poll(self, timeout):  # noqa: ARG002
            return self.events.pop(0) if self.events else None

        def consume(self, limit, timeout):  # noqa: ARG002
            return []

    with opened("kafka://127.0.0.1:1/t") as stream:
        own, stream._consumer = stream._consumer, Ended()
        position = {}
        for waiting in (2, 1):
            position = advance(position, stream.read(position, 1, 0))
            assert stream.waiting(position) == waiting
        assert list(stream.read(position, 1, 0)) == []
        assert stream.waiting(position) == 0
        stream._consumer = own


def test_a_line_without_end_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("ml_assets.streams.doors.folder._LONGEST", 10)
    (tmp_path / "sales.ndjson").write_bytes(b"12345678\n" + b"1" * 11)
    with opened(f"file://{tmp_path}") as stream:
        first = stream.read({}, 1, 0)
        assert [message.body for message in first] == [b"12345678"]
        with pytest.raises(StreamError, match="a line of more than 10 bytes"):
            stream.read(advance({}, first), 1, 0)


def test_a_folder_is_read_line_by_line_in_the_order_of_its_files(tmp_path):
    (tmp_path / "shop.returns").mkdir()
    (tmp_path / "shop.returns" / "1.ndjson").write_bytes(b'{"a": 1}\r\n\n  \n{"b": 2}\n')
    (tmp_path / "sales.1.ndjson").write_bytes(b"c\nd")
    (tmp_path / "notes.txt").write_bytes(b"e\n")
    with opened(f"file://{tmp_path}") as stream:
        (sentence,) = stream.check({})
        assert "sales.1.ndjson" in sentence
        messages = read_all(stream, {})
        assert [(message.name, message.body) for message in messages] == [
            ("sales", b"c"), ("shop.returns", b'{"a": 1}'), ("shop.returns", b'{"b": 2}')
        ]  # fmt: skip
        with (tmp_path / "sales.1.ndjson").open("ab") as file:
            file.write(b"2\n")
        assert [message.body for message in read_all(stream, advance({}, messages))] == [b"d2"]


@pytest.mark.parametrize("anew", [b'{"n":3}\n', b'{"n":4,"name":"abc"}\n{"n":5}\n'], ids=["shorter", "longer"])
def test_a_file_that_is_written_anew_while_it_is_read_is_not_read_on(tmp_path, anew):
    file = tmp_path / "sales.ndjson"
    file.write_bytes(b'{"n":1}\n{"n":2}\n')
    with opened(f"file://{tmp_path}") as stream:
        position = advance({}, read_all(stream, {}))
        file.write_bytes(anew)
        for look in (lambda: stream.read(position, 10, 0), lambda: stream.waiting(position)):
            with pytest.raises(StreamError, match="written anew"):
                look()
