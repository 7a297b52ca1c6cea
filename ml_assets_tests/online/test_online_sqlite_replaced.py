"""A file that is replaced or deleted under a running server is noticed before the next answer."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.errors import StaleBuild, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import FRESH, MISSING
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
VIEW = FeatureViewSpec(
    name="sales", description="Sales of the store.", entity=["store"], table="sales", known_at="known",
    windows=["2h"], aggregates={"amount": {"of": "amount", "functions": ["count"]}},
)  # fmt: skip


def sales(*hours, store="a"):
    moments = [AS_OF - timedelta(hours=hour) for hour in hours]
    types = {"store": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}
    return pl.DataFrame({"store": store, "known": moments, "amount": 1.0}, schema=types)


def build(store, *hours, name="b"):
    build_view(store, VIEW, sales(*hours).lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=name)


def push(store, *hours):
    return push_facts(store, VIEW, sales(*hours), arrived_at=microseconds(AS_OF))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "online.db"


@pytest.fixture
def store(path):
    return open_store(f"sqlite:///{path}")


@pytest.fixture
def fetch(store):
    """What the running server answers of the store, from now on."""
    features = OnlineFeatures(store, [VIEW])

    def fetch():
        (fetched,) = features.fetch([{"store": "a"}], microseconds(AS_OF))
        return fetched.values["amount_count_2h"], fetched.states["sales"]

    return fetch


def remove(path):
    for each in (path, path.with_name("online.db-wal"), path.with_name("online.db-shm")):
        each.unlink(missing_ok=True)


def make_aside(path, *hours):
    """Another store beside the path, closed, so that it is one file."""
    aside = path.with_name("aside.db")
    other = open_store(f"sqlite:///{aside}")
    build(other, *hours)
    other.close()
    return aside


def test_a_file_that_takes_its_place_is_read_by_the_next_request_of_every_thread(store, path, fetch):
    build(store, 1)
    go, gone, fetched = threading.Event(), threading.Event(), []

    def work():
        fetched.append(fetch())
        gone.set()
        go.wait(30)
        fetched.append(fetch())

    thread = threading.Thread(target=work)
    thread.start()
    gone.wait(30)
    aside = make_aside(path, 1, 0, 1)
    remove(path)
    aside.rename(path)
    assert fetch() == (3, FRESH)
    go.set()
    thread.join(30)
    assert fetched == [(1, FRESH), (3, FRESH)]
    assert push(store, 0.5).seq == 1
    assert fetch() == (4, FRESH)


def test_a_file_that_is_gone_answers_nothing_and_is_not_made_anew(store, path, fetch):
    build(store, 1)
    remove(path)
    for act in (fetch, lambda: push(store, 0), lambda: build(store, 1), lambda: store.build("sales")):
        with pytest.raises(StoreUnavailable, match=r"online.db: the file is gone \(No such file or directory\)"):
            act()
    with ThreadPoolExecutor() as pool, pytest.raises(StoreUnavailable, match="the file is gone"):
        pool.submit(fetch).result(30)
    assert not path.exists()
    # Who builds makes a file again, and the server goes on with it.
    build(open_store(f"sqlite:///{path}"), 1, 0)
    assert fetch() == (2, FRESH)


def test_a_new_file_without_a_build_is_missing_not_what_was_read_before(store, path, fetch):
    build(store, 1)
    assert fetch() == (1, FRESH)
    remove(path)
    open_store(f"sqlite:///{path}")
    assert fetch() == (None, MISSING)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_push_into_a_file_that_goes_while_it_is_written_is_refused(store, path, replaced, monkeypatch):
    build(store, 1)
    aside = make_aside(path, 1)
    change = store._change

    def change_and_remove(*given):
        made = change(*given)
        remove(path)
        if replaced:
            aside.rename(path)
        return made

    monkeypatch.setattr(store, "_change", change_and_remove)
    with pytest.raises(StoreUnavailable, match=r"the file was replaced: nothing is written|the file is gone"):
        push(store, 0)
    monkeypatch.undo()
    if replaced:
        assert store.pushed_since("sales", 0) == []
        assert push(store, 0).seq == 1


def test_a_build_begun_in_one_file_is_not_written_into_another_with_the_same_numbers(store, path):
    number = store.stage("sales", timedelta(days=1))
    remove(path)
    other = open_store(f"sqlite:///{path}")
    assert other.stage("sales", timedelta(days=1)) == number
    with pytest.raises(StaleBuild):
        store.add("sales", number, [('["a"]', b"facts")], [], 0)
    other.add("sales", number, [('["a"]', b"facts")], [], 0)


def test_a_log_that_is_not_of_the_new_file_is_refused(store, path):
    build(store, 1)
    make_aside(path, 1, 0).rename(path)
    with pytest.raises(StoreUnavailable, match=r"replaced, and .*online.db-wal is still that of the one before: stop"):
        store.build("sales")


def test_running_states_kept_from_an_older_file_are_not_used_for_a_newer_one(store, path, fetch):
    # More facts than values are kept ready for: they are computed from a state that the server keeps.
    many = [i / 3600 / 4 for i in range(1, 1200)]
    build(store, 1)
    push(store, *many)
    saved = path.with_name("saved.db")
    with sqlite3.connect(path) as file, sqlite3.connect(saved) as other:
        file.backup(other)
    push(store, 0)
    assert fetch() == (1 + len(many) + 1, FRESH)
    remove(path)
    saved.rename(path)
    assert fetch() == (1 + len(many), FRESH)


def test_looking_costs_no_statement(store, monkeypatch):
    build(store, 1)
    looked, look = [], os.stat
    monkeypatch.setattr(os, "stat", lambda *given, **more: looked.append(given) or look(*given, **more))
    store.read([("sales", '["a"]')], microseconds(AS_OF))
    assert len(looked) == 1
