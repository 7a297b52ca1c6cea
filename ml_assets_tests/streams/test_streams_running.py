"""A connector at work: patience, one at a time, and what it says of itself."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from datetime import timedelta

import pytest

from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.errors import NoBuild, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import NoteChanged
from ml_assets.online.values.record import microseconds
from ml_assets.streams.connector import Connector, stream_quarantine
from ml_assets.streams.metrics import StreamMetrics
from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.protocol import Message, Stream, StreamUnavailable
from ml_assets.streams.routing import Routes
from ml_assets.streams.running import Batches, Lag, Running
from ml_assets.streams.state import read_states, state_of, write_state
from ml_assets_tests.processes import PROJECT
from ml_assets_tests.streams.shop import ARRIVED, NOW, VIEWS, batch, build, sale, served, tables


class Listed(Stream):
    """Messages of a list, the first of which fail."""

    def __init__(self, messages, failures=0):
        self.messages, self.failures, self.acknowledged = messages, failures, []

    def check(self, position):  # noqa: ARG002
        return ()

    def read(self, position, limit, wait):  # noqa: ARG002
        if self.failures:
            self.failures -= 1
            raise StreamUnavailable("the stream is away")
        (begin,) = position.get("p", (-1,))
        return self.messages[begin + 1 :][:limit]

    def acknowledge(self, position):
        self.acknowledged.append(position["p"][0])

    def waiting(self, position):
        return len(self.messages) - position.get("p", (-1,))[0] - 1

    def close(self):
        pass


def messages_of(*said, table="sales"):
    body = lambda each: each if isinstance(each, bytes) else json.dumps(each).encode()  # noqa: E731
    return [Message("p", (number,), table, body(each), ARRIVED - 2_000_000) for number, each in enumerate(said)]


@pytest.fixture
def store(tmp_path):
    return build(open_store(f"sqlite:///{tmp_path}/online.db"))


def connector_of(store, name="shop"):
    return Connector(name, store, tables(), Routes(list(VIEWS), {}))


def running_of(stream, connector, batches=None, lags=None, warnings=None):
    tell, warn = (each.append if each is not None else lambda _: None for each in (lags, warnings))
    return Running(stream, connector, batches or Batches(look=0), lambda: ARRIVED, tell, warn)


class Away:
    """A store that is away for some calls."""

    def __init__(self, store, error, failures):
        self.store, self.error, self.failures = store, error, failures

    def __getattr__(self, name):
        if name == "change" and self.failures:
            self.failures -= 1
            raise self.error
        return getattr(self.store, name)


@pytest.mark.parametrize("error", [StoreUnavailable("the store is away"), NoBuild("sold")])
def test_while_the_store_is_away_nothing_is_acknowledged_and_pauses_grow(store, error):
    stream, lags, warnings, pauses = Listed(messages_of(sale("a", 1, 2.0))), [], [], []

    def wait(seconds):
        if seconds:
            assert stream.acknowledged == []
            pauses.append(seconds)
        return stream.acknowledged != []

    running = running_of(stream, connector_of(Away(store, error, 7)), lags=lags, warnings=warnings)
    running.run(wait)
    assert pauses == [1, 2, 4, 8, 16, 32, 60]
    assert [lag.away for lag in lags] == [str(error)] * 7 + [""]
    assert warnings[0] == f"{error}; the next try is in 1 s"
    assert served(store, "a")["amount_sum_3h"] == 2.0
    assert len(store.pushed_since("sold", 0)) == 1


def test_a_stream_that_comes_back_is_read_on(store):
    stream = Listed(messages_of(sale("a", 1, 2.0)), failures=2)
    running_of(stream, connector_of(store)).run(lambda _: stream.acknowledged != [])
    assert served(store, "a")["amount_sum_3h"] == 2.0


def test_who_reads_a_stream_to_its_end_is_told_at_once_what_is_away(store):
    with pytest.raises(StreamUnavailable):
        running_of(Listed([], failures=1), connector_of(store)).run_to_end()


def test_two_connectors_of_one_stream_do_not_count_twice(store):
    messages = messages_of(sale("a", 1, 2.0), sale("a", 2, 4.0))
    one, other = connector_of(store), connector_of(store)
    one.load()
    other.load()
    one.push(messages[:1], ARRIVED)
    with pytest.raises(NoteChanged, match="position:shop"):
        other.push(messages[:1], ARRIVED)
    with pytest.raises(NoteChanged):
        other.push(messages_of(b"{"), ARRIVED)
    other.load()
    other.push(messages, ARRIVED)
    assert served(store, "a")["amount_sum_3h"] == 6.0
    assert store.refused_since("sales", 0) == []


def test_what_is_taken_back_comes_in_its_place_and_what_cannot_be_is_quarantined(store):
    first, second = sale("a", 1, 2.0), sale("a", 2, 4.0)
    said = [
        {"retract": [first]},  # Not there yet.
        first,
        second,
        {"retract": [first], "rows": [sale("a", 1, 8.0)]},
        {"retract": [second], "rows": [sale("a", 2, -1.0)]},  # The right one is wrong: both stay as they are.
        sale("a", 3, 16.0),
    ]
    connector = connector_of(store)
    connector.load()
    connector.push(messages_of(*said), ARRIVED)
    assert served(store, "a") == batch(
        {"sales": [second, sale("a", 1, 8.0), sale("a", 3, 16.0)], "shop/returns": []}, "a"
    )
    kept = [(json.loads(row.row)["offset"], row.rules) for _, _, row in store.refused_since("sales", 0)]
    assert [offset for offset, _ in kept] == [[0], [4]]
    assert "is not there to be taken back" in kept[0][1]
    assert "amount: at least 0" in kept[1][1]
    assert connector.pushed == {"sales": 5}
    assert connector.refused == {"sales": 2}


def test_a_heartbeat_says_up_to_when_facts_are_complete(store):
    until = lambda minutes: {"complete_until": (NOW - timedelta(minutes=minutes)).isoformat()}  # noqa: E731
    said = [sale("a", 30, 2.0), until(20), sale("a", 1, 4.0), until(-60), {"rows": [sale("a", 9, 8.0)], **until(10)}]
    connector = connector_of(store)
    connector.load()
    connector.push(messages_of(*said), ARRIVED)
    ((_, _, refused),) = store.refused_since("sales", 0)
    assert "complete_until: not more than 0:05:00 after" in refused.rules
    features = OnlineFeatures(store, list(VIEWS.values()))
    (read,) = features.fetch([{"shop": "a"}], ARRIVED)
    assert read.values["amount_sum_3h"] == 14.0
    assert read.complete_until == {
        "sold": microseconds(NOW - timedelta(minutes=10)), "returned": microseconds(NOW - timedelta(hours=4)),
    }  # fmt: skip


def test_a_bad_message_is_kept_with_its_place_and_reason(store):
    connector = connector_of(store)
    connector.load()
    connector.push([*messages_of(b"\xff" * 20_000, table="tills")], ARRIVED)
    ((_, at, row),) = store.refused_since(stream_quarantine("shop"), 0)
    assert at == ARRIVED
    kept = json.loads(row.row)
    assert (kept["part"], kept["offset"], kept["name"], kept["cut"]) == ("p", [0], "tills", True)
    assert kept["body"] == "�" * 10_000
    assert row.rules.startswith("no JSON")


def test_batches_gather_what_comes_within_the_linger(store):
    calls = []

    class Slow(Listed):
        def read(self, position, limit, wait):
            calls.append(limit)
            return super().read(position, 1, wait)

    stream = Slow(messages_of(*(sale("a", number, 1.0) for number in range(5))))
    running_of(stream, connector_of(store), Batches(3, linger=30)).run(lambda _: len(stream.acknowledged) == 1)
    assert calls == [3, 2, 1]
    assert stream.acknowledged == [2]


def test_lag_is_told_in_the_home_and_as_metrics(store, tmp_path):
    lags = []
    stream = Listed(messages_of(sale("a", 1, 2.0), b"{", sale("a", 2, 4.0)))
    connector = connector_of(store)
    running_of(stream, connector, Batches(2, 0, look=0), lags).run(lambda _: len(stream.acknowledged) == 2)
    assert lags == [Lag(1, 2.0), Lag(0, 0.0)]
    states = [state_of(connector, "shop", lag, ARRIVED) for lag in [*lags, Lag(away="gone")]]
    metrics = StreamMetrics()
    port = metrics.serve(0)
    answers = []
    for state in states:
        metrics.state = state
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            answers.append(answer.read().decode().splitlines())
        write_state(tmp_path / "streams", state)
    assert 'ml_assets_stream_lag_messages{stream="shop"} 1.0' in answers[0]
    assert 'ml_assets_stream_lag_seconds{stream="shop"} 2.0' in answers[0]
    assert 'ml_assets_stream_messages_total{stream="shop"} 3.0' in answers[1]
    assert 'ml_assets_stream_rows_total{stream="shop",table="sales"} 2.0' in answers[1]
    assert 'ml_assets_stream_refused_total{stream="shop",table="sales"} 1.0' in answers[1]
    assert 'ml_assets_stream_reading{stream="shop"} 0.0' in answers[2]
    assert not [line for line in answers[2] if line.startswith("ml_assets_stream_lag_messages{")]
    (read,) = read_states(tmp_path / "streams")
    assert read == states[2]
    assert read.at == NOW
    assert states[0].summary() == "3 messages count, 1 wait, 2 s behind; since the start 2 rows and 1 in quarantine"


PROCESS = """
import sys, time
from ml_assets.streams.connector import Connector
from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.routing import Routes
from ml_assets.streams.running import Batches, Running
from ml_assets.online.stores.opening import open_store
from ml_assets_tests.streams.shop import ARRIVED, VIEWS, tables
folder, file = sys.argv[1:]
address = read_address(f"file://{folder}")
connector = Connector(address.name, open_store(f"sqlite:///{file}"), tables(), Routes(list(VIEWS), {}))
running = Running(open_stream(address), connector, Batches(3, 0, 0.05), lambda: ARRIVED, lambda lag: None, print)
running.run(lambda seconds: time.sleep(seconds) or False)
"""


def test_a_process_that_is_killed_neither_loses_nor_counts_twice(store, tmp_path):
    folder = tmp_path / "facts"
    folder.mkdir()
    rows = [sale("ab"[number % 2], number % 170, number / 7) for number in range(400)]
    ending = threading.Event()

    def write():
        with (folder / "sales.ndjson").open("w") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")
                file.flush()
                if ending.wait(0.002):
                    return

    writer = threading.Thread(target=write)
    command = [sys.executable, "-c", PROCESS, str(folder), str(tmp_path / "online.db")]
    process = subprocess.Popen(command, cwd=PROJECT)
    try:
        writer.start()
        for _ in range(3000):
            if len(store.pushed_since("sold", 0)) > 50:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        writer.join()
    finally:
        ending.set()
        process.kill()
        process.wait(60)
    killed_at = len(store.pushed_since("sold", 0))
    assert 50 < killed_at < 400
    address = read_address(f"file://{folder}")
    running_of(open_stream(address), connector_of(store, address.name), Batches(100)).run_to_end()
    assert len(store.pushed_since("sold", 0)) == 400
    for shop in ("a", "b"):
        assert served(store, shop) == batch({"sales": rows, "shop/returns": []}, shop)
