"""Pushes of several threads are made together, each whole or not at all."""

import errno
import os
import sqlite3
import threading
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import Change, RefusedRow
from ml_assets.online.stores.together import ChangeQueue
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
VIEW = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["2h"],
    aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}},
)  # fmt: skip
SCHEMA = {"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64}


def test_what_waits_is_made_at_once_and_what_fails_alone():
    first, made = threading.Event(), []

    def make(wanted):
        if not made:
            first.wait(30)
        made.append(len(wanted))
        for each in wanted:
            each.decide(None)
            each.last = [each.arrived_at]

    together, results = ChangeQueue(make), {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: together.do(lambda _: Change(), n)})) for n in range(5)
    ]
    for number, thread in enumerate(threads):
        thread.start()
        while not made and number == 0 and together._waiting:
            pass
    while len(together._waiting) < 4:
        pass
    first.set()
    for thread in threads:
        thread.join(30)
    assert made == [1, 4]
    assert results == {n: [n] for n in range(5)}


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), sqlite3.DatabaseError("full"), TypeError("a bug")])
def test_a_store_that_fails_fails_all(error):
    def make(wanted):
        wanted[0].last = [1]
        raise error

    with pytest.raises(type(error), match=str(error)):
        ChangeQueue(make).do(lambda _: Change(), 0)


Outcome = namedtuple("Outcome", ["last", "error"])


def change_together(store, *decides):
    """Makes changes in one transaction: they wait while another one is made. Returns what came of each, in order."""
    busy, go, outcomes = threading.Event(), threading.Event(), [None] * len(decides)

    def first(reading):  # noqa: ARG001
        busy.set()
        go.wait(30)
        return Change()

    def change(place, decide):
        try:
            outcomes[place] = Outcome(store.change(decide, 0), None)
        except BaseException as error:  # noqa: BLE001 - it is what is looked at
            outcomes[place] = Outcome(None, error)

    threads = [threading.Thread(target=store.change, args=(first, 0))]
    threads[0].start()
    busy.wait(30)
    for place, decide in enumerate(decides):
        threads.append(threading.Thread(target=change, args=(place, decide)))
        threads[-1].start()
        while len(store._together._waiting) <= place:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(30)
    return outcomes


def refuse(name):
    """A change that leaves a trace: a refused row."""
    return lambda _: Change(table="t", refused=[RefusedRow(name, "", "")])


def traces(store):
    return [row.row for _, _, row in store.refused_since("t", 0)]


@pytest.fixture
def file_store(tmp_path):
    return open_store(f"sqlite:///{tmp_path}/online.db")


@pytest.mark.parametrize("kind", [TypeError, ValueError, AssertionError, pl.exceptions.InvalidOperationError, OSError])
def test_whatever_a_change_raises_is_its_own_threads_and_the_others_are_made(file_store, kind):
    def bad(reading):  # noqa: ARG001
        raise kind("its own")

    outcomes = change_together(file_store, refuse("before"), bad, refuse("after"))
    assert [each.last for each in outcomes] == [[], None, []]
    assert (type(outcomes[1].error), str(outcomes[1].error)) == (kind, "its own")
    assert traces(file_store) == ["before", "after"]


def test_a_change_that_cannot_be_written_is_undone_alone(file_store):
    unwritable = Change(table="t", refused=[RefusedRow("half", "", ""), RefusedRow(object(), "", "")])  # pyright: ignore
    outcomes = change_together(file_store, refuse("before"), lambda _: unwritable, refuse("after"))
    assert [each.last for each in outcomes] == [[], None, []]
    assert traces(file_store) == ["before", "after"]


def test_no_change_is_made_that_could_not_be_committed(file_store):
    def deny(action, what, *_):
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    def unable(reading):  # noqa: ARG001
        file_store._file.connection().set_authorizer(deny)
        return Change()

    outcomes = change_together(file_store, refuse("before"), unable, refuse("after"))
    assert [each.last for each in outcomes] == [None] * 3
    assert [str(each.error) for each in outcomes] == ["not authorized"] * 3
    assert traces(file_store) == []


def test_an_interruption_is_of_the_thread_that_makes_the_changes_and_none_of_them_is_made(file_store):
    def interrupt(reading):  # noqa: ARG001
        raise KeyboardInterrupt

    outcomes = change_together(file_store, refuse("first"), refuse("second"), interrupt, refuse("after"))
    assert sorted(type(each.error).__name__ for each in outcomes) == ["KeyboardInterrupt", *["RuntimeError"] * 3]
    assert traces(file_store) == []


def test_what_a_full_disk_does_not_take_is_refused_and_taken_once_there_is_room(file_store):
    def large(reading):  # noqa: ARG001
        pages = file_store._file.query("PRAGMA page_count", [])[0][0]
        file_store._file.query(f"PRAGMA max_page_count = {pages + 1}", [])  # what SQLite takes for a full disk
        return Change(table="t", refused=[RefusedRow("x" * 100_000, "", "")])

    # SQLite gives the transaction up, and with it what is in it of others: they hear it too.
    outcomes = change_together(file_store, refuse("before"), large, refuse("after"))
    assert [(each.last, type(each.error)) for each in outcomes] == [(None, StoreUnavailable)] * 3
    assert "online.db: database or disk is full: make room on its disk: `df -h`" in str(outcomes[0].error)
    assert traces(file_store) == []
    file_store._file.connection().execute("PRAGMA max_page_count = 1000000")
    file_store.change(refuse("again"), 0)
    assert traces(file_store) == ["again"]


def test_a_file_that_may_only_be_read_takes_no_change_and_is_read_all_the_same(file_store):
    file_store.change(refuse("before"), 0)
    file_store._file.connection().execute("PRAGMA query_only = 1")  # as of a disk that may only be read
    with pytest.raises(StoreUnavailable, match=r"online.db: attempt to write a readonly database: .* mount it"):
        file_store.change(refuse("after"), 0)
    assert traces(file_store) == ["before"]


def test_a_file_that_may_only_be_read_from_now_on_refuses_each_change_as_one_alone(file_store):
    def only_read(reading):  # noqa: ARG001
        file_store._file.query("PRAGMA query_only = 1", [])
        return Change(table="t", refused=[RefusedRow("x", "", "")])

    outcomes = change_together(file_store, refuse("before"), only_read, refuse("after"))
    assert [(each.last, type(each.error)) for each in outcomes] == [
        ([], type(None)), (None, StoreUnavailable), (None, StoreUnavailable),
    ]  # fmt: skip
    assert traces(file_store) == ["before"]


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "`df -i` its inodes"), (errno.EROFS, "may only be read: mount it"), (errno.EACCES, "the rights")],
)
def test_a_store_that_cannot_be_made_says_where_and_what_to_do(tmp_path, monkeypatch, code, remedy):
    def refuse_file(path, *_, **__):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr("pathlib.Path.touch", refuse_file)
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"sqlite:///{tmp_path}/online.db")
    assert str(caught.value).startswith(f"online store {tmp_path}/online.db: {os.strerror(code)}: ")
    assert remedy in str(caught.value)


def test_no_change_is_made_where_sqlite_gives_the_transaction_up(file_store):
    def give_up(reading):  # noqa: ARG001
        file_store._file.connection().execute("ROLLBACK")
        raise StoreUnavailable("the disk is full")

    outcomes = change_together(file_store, refuse("before"), give_up, refuse("after"))
    assert [(each.last, str(each.error)) for each in outcomes] == [(None, "the disk is full")] * 3
    assert traces(file_store) == []


def test_pushes_of_many_threads_all_count_and_a_bad_one_hurts_no_other(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/online.db")
    build_view(store, VIEW, pl.LazyFrame(schema=SCHEMA), as_of=AS_OF, max_age=timedelta(days=1), build="b")
    failed = []

    def push(number):
        row = {"shop": "a", "at": (AS_OF + timedelta(seconds=number)).isoformat(), "amount": 0.1}
        try:
            push_facts(store, VIEW, [row], retract=[row] if number % 5 == 0 else [], arrived_at=0)
        except PushError:
            failed.append(number)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(failed) == [0, 5, 10, 15]
    (fetched,) = OnlineFeatures(store, [VIEW]).fetch([{"shop": "a"}], microseconds(AS_OF + timedelta(hours=1)))
    assert fetched.values["amount_count_2h"] == 16
    assert [row.seq for row in store.pushed_since("sales", 0)] == list(range(1, 17))
