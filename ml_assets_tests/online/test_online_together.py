"""Pushes of several threads are made together, each whole or not at all."""

import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.protocol import Change, StoreUnavailable
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


def test_a_store_that_fails_fails_all():
    def make(wanted):  # noqa: ARG001
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable, match="gone"):
        ChangeQueue(make).do(lambda _: Change(), 0)


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
