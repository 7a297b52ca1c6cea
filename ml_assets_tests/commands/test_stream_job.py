"""`ml-assets stream`, in this process: what it pushes, says and leaves, and how it ends."""

import json
import os
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.commands.lifecycle.status import print_streams
from ml_assets.commands.serving import stream_job
from ml_assets.commands.serving.stream_job import StreamJob, stream_facts
from ml_assets.commands.session import Session
from ml_assets.declarations.project import DeclaredProject
from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.streams.metrics import StreamMetrics
from ml_assets.streams.opening import read_address
from ml_assets.streams.running import Batches
from ml_assets.streams.state import read_states
from ml_assets_tests.streams.shop import build, sale, tables


@pytest.fixture
def home(tmp_path):
    home = Home.under(tmp_path / "home")
    home.root.mkdir()
    build(open_store(home.online_store)).close()
    return home


@pytest.fixture
def facts(tmp_path):
    folder = tmp_path / "facts"
    folder.mkdir()
    said = [json.dumps(sale("a", 1, 2.0)), json.dumps(sale("a", 2, -1.0)), "{"]
    (folder / "sales.ndjson").write_text("".join(f"{line}\n" for line in said))
    (folder / "tills.ndjson").write_text("{}\n")
    return folder


def test_a_stream_is_pushed_to_its_end_and_the_state_is_said(home, facts, monkeypatch):
    monkeypatch.setattr(stream_job, "tables_of", lambda *told: tables() if told[1] == "shop" else {})
    monkeypatch.setattr(Session, "read_declarations", lambda _: DeclaredProject([]))
    monkeypatch.setattr(Session, "prepare_home", lambda _: home)
    before = datetime.now(UTC) - timedelta(minutes=1)
    for times in (1, 2):
        source = f"file://{facts}?name=counter"
        done = CliRunner().invoke(app, ["stream", "shop", "--from", source, "--once", "--json"])
        assert done.exit_code == 0, done.output
        state = json.loads(done.stdout)
        pushed, refused = ({"sales": 1}, {"sales": 2, "streams/counter": 1}) if times == 1 else ({}, {})
        assert state | {"at": 0} == {
            "name": "counter", "use_case": "shop", "at": 0, "ended": True, "messages": 4, "rows": pushed,
            "refused": refused, "lag_messages": 0, "lag_seconds": 0.0, "away": "",
        }  # fmt: skip
        assert datetime.fromisoformat(state["at"]) > before
    kept = Lake(home.lake).scan("pushed_quarantine/streams/counter").collect()
    assert json.loads(kept["row"].item())["body"] == "{}"
    assert kept["_rules"].item() == "'tills' is no table that takes facts; there are sales, shop/returns"


def test_a_signal_ends_it_between_two_batches_and_it_is_seen_in_the_status(home, facts, capsys):
    address = read_address(f"file://{facts}")
    job = StreamJob(home, "shop", address, tables(), Batches(1, 0, look=0.05))
    lines = []
    metrics = StreamMetrics()
    ended = threading.Event()

    def end():
        while not (metrics.state and metrics.state.messages == 4) and not ended.wait(0.05):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    ender = threading.Thread(target=end)
    ender.start()
    before = signal.getsignal(signal.SIGTERM)
    try:
        state = stream_facts(job, lines.append, metrics)
    finally:
        ended.set()
        ender.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert lines
    assert (state.messages, state.ended) == (4, True)
    print_streams(read_states(home.streams))
    assert "ended, as of" in (said := capsys.readouterr().out)
    assert "4 messages count, 0 wait; since the start 1 rows and 3 in quarantine" in said.replace("\n", " ")


def test_a_home_that_cannot_be_written_keeps_no_fact_from_being_taken(home, facts, monkeypatch):
    def full(folder, state):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    said, address = [], read_address(f"file://{facts}?name=counter")
    monkeypatch.setattr(stream_job, "write_state", full)
    state = stream_facts(StreamJob(home, "shop", address, tables(), once=True), said.append, StreamMetrics())
    assert (state.messages, state.rows) == (4, {"sales": 1})
    warned = [line for line in said if "cannot be written: No space left on device: make room" in line]
    assert len(warned) == 1, "said once"


def test_with_once_a_store_that_is_away_is_an_error_at_once(home, facts):
    gone = Home(home.root, home.lake, "", online_elsewhere="redis://127.0.0.1:1/0")
    job = StreamJob(gone, "shop", read_address(f"file://{facts}"), tables(), once=True)
    with pytest.raises(ConnectionError):
        stream_facts(job, pytest.fail, StreamMetrics())


def test_a_signal_ends_it_while_it_waits_for_the_store(home, facts, monkeypatch):
    def away(url):
        raise StoreUnavailable(f"{url} is away")

    said = []

    def say(text):
        said.append(text)
        if len(said) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(stream_job, "open_store", away)
    monkeypatch.setattr(stream_job, "SHORTEST_PAUSE", 0.01)
    with pytest.raises(typer.Exit) as ended:
        stream_facts(StreamJob(home, "shop", read_address(f"file://{facts}"), tables()), say, StreamMetrics())
    assert ended.value.exit_code == 0
    assert said == [f"warning: {home.online_store} is away; the next try is in 0 s"] * 2
