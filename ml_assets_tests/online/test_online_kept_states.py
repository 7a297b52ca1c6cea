"""A running state that was kept is used only where the store has that very state."""

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.facts.rows import PushError
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushedView
from ml_assets.online.running import history as histories
from ml_assets.online.running import kept as kept_states
from ml_assets.online.running.history import stamp_of
from ml_assets.online.stores.records import Change
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
VIEW = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["2h"],
    latest={"last": "amount"}, aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}},
)  # fmt: skip
SCHEMA = {"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64}
DELIVERED = [("a", AS_OF - timedelta(minutes=1), 0.5)]


def fact(minute, amount, shop="a"):
    return {"shop": shop, "at": (AS_OF + timedelta(minutes=minute)).isoformat(), "amount": amount}


def push(store, pushed, *rows, retract=(), fails=False):
    def decide(reading):
        change = pushed.change(reading, list(rows), list(retract), microseconds(AS_OF))
        if fails:
            raise ConnectionError
        return Change([change])

    store.change(decide, microseconds(AS_OF))


def read(store, shop="a"):
    (fetched,) = OnlineFeatures(store, [VIEW]).fetch([{"shop": shop}], microseconds(AS_OF + timedelta(hours=1)))
    return list(fetched.values.values())


@pytest.fixture
def built(make_store):
    store = make_store()
    table = pl.LazyFrame(DELIVERED, schema=SCHEMA, orient="row")
    build_view(store, VIEW, table, as_of=AS_OF, max_age=timedelta(days=1), build="b")
    return store


@pytest.fixture
def decoded(monkeypatch):
    """Headers and leaves that are decoded."""
    read = []
    monkeypatch.setattr(
        histories.orjson, "loads", lambda text, loads=histories.orjson.loads: read.append(text) or loads(text)
    )
    return read


def states(texts):
    """Headers, indices and leaves among what was decoded; not what a store reads beside them."""
    return [text for text in map(_text, texts) if re.match(r"\[2,(true|false),|\[\d+,\[\[|\[\[", text)]


def _text(text):
    return text.decode() if isinstance(text, bytes) else text


def test_what_was_pushed_before_is_not_decoded_again(built, decoded):
    pushed = PushedView(VIEW)
    for minute in range(4):
        push(built, pushed, fact(minute, 1.0))
    assert states(decoded) == []
    assert read(built) == [1.0, 4.5, 5]


def test_a_push_that_was_not_made_is_forgotten(built):
    pushed = PushedView(VIEW)
    push(built, pushed, fact(1, 1.0))
    with pytest.raises(ConnectionError):
        push(built, pushed, fact(2, 100.0), fails=True)
    push(built, pushed, fact(3, 2.0))
    assert read(built) == [2.0, 3.5, 3]


def test_a_push_that_fails_half_way_leaves_nothing(built):
    pushed = PushedView(VIEW)
    push(built, pushed, fact(1, 1.0))
    with pytest.raises(PushError, match="not there to be taken back"):
        push(built, pushed, retract=[fact(1, 1.0), fact(9, 9.0)])
    push(built, pushed, fact(3, 2.0))
    assert read(built) == [2.0, 3.5, 3]


@pytest.mark.parametrize("room", [1, 64])
def test_what_somebody_else_pushed_counts(built, monkeypatch, room):
    monkeypatch.setattr(histories, "_ENTRIES", room)
    mine, theirs = PushedView(VIEW), PushedView(VIEW)
    push(built, mine, fact(1, 1.0))
    push(built, theirs, fact(2, 2.0))
    push(built, mine, fact(3, 4.0))
    push(built, theirs, retract=[fact(3, 4.0)])
    assert read(built) == [2.0, 3.5, 3]


def test_states_of_two_stores_are_kept_apart(built, tmp_path):
    from ml_assets.online.stores.opening import open_store

    other, pushed = open_store(f"sqlite:///{tmp_path}/other.db"), PushedView(VIEW)
    table = pl.LazyFrame([("a", AS_OF - timedelta(minutes=1), 7.0)], schema=SCHEMA, orient="row")
    build_view(other, VIEW, table, as_of=AS_OF, max_age=timedelta(days=1), build="b")
    for minute in range(3):
        for store in (built, other):
            push(store, pushed, fact(minute, 1.0))
    assert (read(built), read(other)) == ([1.0, 3.5, 4], [1.0, 10.0, 4])


def test_a_build_in_between_begins_anew(built):
    pushed = PushedView(VIEW)
    push(built, pushed, fact(1, 1.0))
    table = pl.LazyFrame([*DELIVERED, ("a", AS_OF - timedelta(minutes=2), 8.0)], schema=SCHEMA, orient="row")
    build_view(built, VIEW, table, as_of=AS_OF, max_age=timedelta(days=1), build="c")
    push(built, pushed, fact(3, 2.0))
    assert read(built) == [2.0, 11.5, 4]


def test_what_somebody_else_pushed_since_the_index_was_written_is_added_to_what_is_kept(built, decoded):
    mine, theirs = PushedView(VIEW), PushedView(VIEW)
    push(built, mine, fact(0, 1.0))
    for minute in range(1, 4):
        push(built, theirs, fact(minute, 1.0))
    decoded.clear()
    push(built, mine, fact(55, 1.0), retract=[fact(2, 1.0)])
    (header,) = states(decoded)
    assert header.startswith("[2,")
    assert read(built) == [1.0, 4.5, 5]


def test_leaves_that_somebody_else_did_not_change_are_not_decoded_again(built, monkeypatch, decoded):
    monkeypatch.setattr(histories, "_ENTRIES", 1)
    monkeypatch.setattr(histories, "_STEPS", 0)
    mine, theirs = PushedView(VIEW), PushedView(VIEW)
    for minute in range(0, 40, 10):
        push(built, mine, fact(minute, 1.0))
    push(built, theirs, fact(50, 1.0))
    decoded.clear()
    push(built, mine, fact(55, 1.0))
    header, index, *leaves = states(decoded)[-3:]
    assert header.startswith("[2,")
    assert re.match(r"\[\d+,\[\[", index)
    assert len(leaves) == 1
    assert read(built) == [1.0, 6.5, 7]


def test_only_so_many_facts_are_kept(built, monkeypatch, decoded):
    monkeypatch.setattr(kept_states, "_BYTES", 5_000)
    pushed = PushedView(VIEW)
    for shop in "bcbcb":
        push(built, pushed, fact(1, 1.0, shop), fact(2, 1.0, shop))
    assert len([text for text in states(decoded) if text.startswith("[2,")]) == 3
    assert (read(built, "b"), read(built, "c")) == ([1.0, 6.0, 6], [1.0, 4.0, 4])


def test_all_views_of_a_process_share_the_memory_for_states(built, monkeypatch, decoded):
    monkeypatch.setattr(kept_states, "_BYTES", 3 * 9_000)
    mine, theirs = PushedView(VIEW), PushedView(VIEW)
    push(built, mine, fact(1, 1.0))
    for shop in "bcd":
        push(built, theirs, fact(1, 1.0, shop))
        assert kept_states._KEPT.bytes <= 3 * 9_000
    for shop, read_again in (("d", 0), ("a", 1)):
        decoded.clear()
        push(built, theirs if shop == "d" else mine, fact(2, 1.0, shop))
        assert len([text for text in states(decoded) if text.startswith("[2,")]) == read_again
    assert read(built, "a") == [1.0, 2.5, 3]


@pytest.mark.parametrize("encode", [str, str.encode])
def test_a_header_says_its_stamp_if_it_has_one(encode):
    assert stamp_of(encode('[2,true,"ff",[],"00112233445566778899aabbccddeeff"]')) == "00112233445566778899aabbccddeeff"
    assert (
        stamp_of(encode('[true,1,[[0,1,2]],"00112233445566778899aabbccddeeff"]')) == "00112233445566778899aabbccddeeff"
    )
    assert stamp_of(encode("[true,1,[[0,1,2,3,4,[[1,-2,12345678901234567890,0,1,2]]]]]")) == ""
    assert stamp_of(encode("[true,0,[]]")) == ""
