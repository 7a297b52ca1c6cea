"""No message, log, metric or state shows the password of a URL, whatever is at it and however it is written."""

import logging
from types import SimpleNamespace

import pytest

from ml_assets.commands.ui.mlflow_page import training_page
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import check_store_address, open_store
from ml_assets.streams.opening import open_stream, read_address
from ml_assets.streams.progress import Progress
from ml_assets.streams.protocol import StreamError, StreamUnavailable
from ml_assets.streams.running import Lag
from ml_assets.streams.state import state_of

WORDS = [
    "quartzvixen",
    "quartz%2Fvixen",
    "quartz/vixen",
    "quartz@vixen",
    "quartz#vixen",
    "quartz?vixen",
    "quartz:vixen",
]
STORES = ["redis://me:{}@127.0.0.1:1/0", "redis-cluster://me:{}@127.0.0.1:1", "postgresql://me:{}@127.0.0.1:1/db"]
OPTIONS = ["redis://127.0.0.1:1/0?password={}", "postgresql://127.0.0.1:1/db?password={}"]
STREAMS = [
    "redis://me:{}@127.0.0.1:1/0/facts",
    "nats://me:{}@127.0.0.1:1/FACTS",
    "kafka+ssl://me:{}@127.0.0.1:1/facts",
    "kafka://me:{}@127.0.0.1:1/facts?sasl=SCRAM-SHA-256",
    "kafka://me:{}@127.0.0.1:1/facts",
    "amqp://me:{}@127.0.0.1:1/facts",
]


def require_hidden(text, word):
    for part in ("quartz", "vixen", word):
        assert part not in text.lower()


@pytest.mark.parametrize("url", [*STORES, *OPTIONS])
@pytest.mark.parametrize("word", WORDS)
def test_a_store_out_of_reach_or_badly_written_is_told_without_its_password(url, word, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with pytest.raises((StoreUnavailable, ValueError)) as caught:  # noqa: PT012
        check_store_address(url.format(word))
        store = open_store(url.format(word))
        store.read([("sales", "[1]")], 0)
    require_hidden(str(caught.value), word)
    require_hidden(caplog.text + "".join(capfd.readouterr()), word)


@pytest.mark.parametrize("url", STREAMS)
@pytest.mark.parametrize("word", WORDS)
def test_a_stream_out_of_reach_or_badly_written_is_told_without_its_password(url, word, caplog, capfd, monkeypatch):
    for door in ("kafka", "nats", "redis"):
        monkeypatch.setattr(f"ml_assets.streams.doors.{door}._ANSWER", 0.05)
    caplog.set_level(logging.DEBUG)
    name = ""
    with pytest.raises((StreamUnavailable, StreamError, ValueError)) as caught:  # noqa: PT012
        address = read_address(url.format(word))
        name = address.name
        stream = open_stream(address)
        try:
            stream.check({})
        finally:
            stream.close()
    # What `--json`, the status and metrics are made of.
    connector = SimpleNamespace(name=name, progress=Progress(), pushed={}, refused={})
    state = state_of(connector, "shop", Lag(away=str(caught.value)), 0)  # pyright: ignore[reportArgumentType]
    require_hidden(state.model_dump_json() + caplog.text + "".join(capfd.readouterr()), word)


def test_the_page_of_mlflow_is_shown_without_its_password():
    class Registry:
        experiment_id = "7"

    page = training_page(Registry(), "https://me:swordfish@host/")  # pyright: ignore[reportArgumentType]
    assert page.startswith("https://host/#/experiments/7/runs")
