"""The guide to streams: its addresses open, its messages are read, and its own kind of stream works."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.streams.opening import STREAMS, open_stream, read_address
from ml_assets.streams.protocol import Message, advance
from ml_assets.streams.routing import Routes

PAGE = (Path(__file__).parents[2] / "docs/streams.md").read_text()
ADDRESSES = re.findall(r"--from '(\S+)'", PAGE) + re.findall(r"^\| `(\w+://.+?)`", PAGE, re.MULTILINE)
TABLES = ["weather", "flights"]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("address", [each for each in ADDRESSES if "file" not in each.partition("?")[2]])
def test_each_address_opens(address):
    open_stream(read_address(address.replace("port", "4222").replace("number", "0"))).close()


def test_each_kind_that_ships_is_shown():
    assert {address.partition(":")[0] for address in ADDRESSES} == {*STREAMS.built_in_names()} - {"rediss"}


def test_each_option_exists():
    shown = CliRunner().invoke(app, ["stream", "--help"]).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    options = set(re.findall(r"--[a-z]+[a-z-]*", PAGE))
    assert options >= {"--from", "--once", "--batch", "--linger", "--metrics-port"}
    assert [option for option in options if option not in plain] == []


def test_each_message_is_one():
    for said in blocks("json"):
        facts = Routes(TABLES, {}).read(Message("p", (1,), "weather", said.encode()))
        assert facts.table == "weather"
        assert facts.rows[0]["humidity"] == 61.2
    assert len(facts.retract) == 1


def test_a_map_is_as_shown():
    (shown,) = re.findall(r"\?map=(\S+)`", PAGE)
    routes = Routes(TABLES, read_address(f"file:///f?map={shown}").routing)
    assert routes.read(Message("p", (1,), "tower", json.dumps({"a": 1}).encode())).table == "flights"


def test_a_kind_of_ones_own_is_read_as_the_others():
    (code,) = blocks("python")
    defined = {}
    exec(code, defined)
    STREAMS.register("queue", defined["Queue"])
    try:
        stream = open_stream(read_address("queue:///weather"))
        first = stream.read({}, 1, 0)
        rest = stream.read(advance({}, first), 5, 0)
        assert [(message.name, message.body) for message in [*first, *rest]] == [
            ("weather", b'{"origin": "EWR"}'), ("weather", b'{"origin": "JFK"}')
        ]  # fmt: skip
        assert stream.waiting(advance({}, first)) == 1
    finally:
        STREAMS.unregister("queue")
