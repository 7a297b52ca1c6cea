"""Pushes that wait are made in one transaction over HTTP, and are what they are one by one."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest

from ml_assets.features.spec import AggregateSpec, FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.errors import OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds
from ml_assets.serving.declared import Declarations, OnlineTable, OnlineView, RequestField
from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
DRIVES = FeatureViewSpec(
    name="drives", description="Drives.", entity=["courier"], table="fleet", known_at="at", windows=["2h"],
    aggregates={"km": AggregateSpec(of="km", functions=["sum", "mean", "count"])},
)  # fmt: skip
FIELDS = [
    RequestField(name="courier", kind="text", dtype="String"),
    RequestField(name="at", kind="moment", dtype="Datetime"),
    RequestField(name="km", kind="number", dtype="Float64"),
]
VIEW, TABLE = "/v1/push/drives", "/v1/push/table/fleet"


class NoVersions:
    """A registry without models."""

    def champion(self, name):
        raise LookupError(name)


@pytest.fixture
def make_store(tmp_path):
    def make(name):
        made = open_store(f"sqlite:///{tmp_path}/{name}.db")
        table = pl.LazyFrame(schema={"courier": pl.String, "at": pl.Datetime("us", "UTC"), "km": pl.Float64})
        build_view(made, DRIVES, table, as_of=NOON, max_age=timedelta(days=1), build="b")
        return made

    return make


def row(number, courier="ann"):
    return {"courier": courier, "at": (NOON + timedelta(seconds=number)).isoformat(), "km": number / 7}


def send(store, *requests, together=True):
    """Sends (path, body, key) at once, or one after the other; returns the answers."""
    table = OnlineTable(table="fleet", views=[DRIVES], fields=FIELDS)
    declared = Declarations(tables={"fleet": table}, online={"drives": OnlineView(view=DRIVES, fields=FIELDS)})
    clock = microseconds(NOON + timedelta(hours=1))
    app = make_app(NoVersions(), [], Limits(), declared, store, clock=lambda: clock)  # pyright: ignore

    async def run():
        transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            posts = [
                client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})
                for path, body, key in requests
            ]
            return await asyncio.gather(*posts) if together else [await post for post in posts]

    return asyncio.run(run())


def values(store):
    fetched = OnlineFeatures(store, [DRIVES]).fetch(
        [{"courier": "ann"}, {"courier": "bob"}], microseconds(NOON) + 10**9
    )
    return [each.values for each in fetched]


@pytest.fixture
def groups(monkeypatch):
    """The sizes of the groups in which a store makes changes."""
    made = []

    def watch(store):
        change_all = store.change_all
        monkeypatch.setattr(store, "change_all", lambda wanted: (made.append(len(wanted)), change_all(wanted))[1])
        return made

    return watch


def test_pushes_at_once_are_made_together_and_equal_those_one_by_one(make_store, groups):
    rows = [row(n, "bob" if n % 3 == 0 else "ann") for n in range(40)]
    requests = [(VIEW if n % 2 else TABLE, {"rows": [each]}, None) for n, each in enumerate(rows)]
    store, other = make_store("together"), make_store("apart")
    made = groups(store)
    answers, apart = send(store, *requests), send(other, *requests, together=False)
    assert [each.json() for each in answers] == [each.json() for each in apart]
    assert sum(made) == 40
    assert max(made) > 20
    assert values(store) == values(other)
    assert store.pushed_since("drives", 0) == other.pushed_since("drives", 0)


def test_what_is_wrong_is_refused_alone(make_store):
    store = make_store("s")
    answers = send(
        store,
        (VIEW, {"rows": [row(0)]}, None),
        (VIEW, {"rows": [row(1)]}, None),
        (VIEW, {"rows": [row(2) | {"km": "far"}]}, None),
        (VIEW, {"rows": 3}, None),
        (TABLE, {"rows": [row(4)], "retract": [row(99)]}, None),
        (TABLE, {"rows": [row(5) | {"km": "far"}]}, None),
        ("/v1/push/table/none", {"rows": [row(6)]}, None),
        (TABLE, {"rows": [row(7)]}, None),
    )
    assert [each.status_code for each in answers] == [200, 200, 422, 400, 422, 200, 404, 200]
    assert [each["row"] for each in answers[5].json()["refused"]] == [0]
    assert answers[7].json()["views"] == {"drives": 3}
    assert values(store)[0]["km_count_2h"] == 3


def test_a_key_that_comes_twice_at_once_counts_once(make_store):
    store = make_store("s")
    answers = send(store, (VIEW, {"rows": [row(0)]}, None), *[(TABLE, {"rows": [row(1)]}, "one")] * 3)
    assert [each.json().get("repeated") for each in answers] == [None, False, True, True]
    (other,) = send(store, (TABLE, {"rows": [row(2)]}, "one"))
    assert other.status_code == 422
    assert values(store)[0]["km_count_2h"] == 2


def test_nothing_is_acknowledged_that_is_not_committed(make_store):
    store = make_store("s")
    failed = []

    def deny(action, what, *_):
        refused = (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT")
        failed.extend([what] * refused)
        return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

    change_all = store.change_all

    def unable(wanted):
        store._file.connection().set_authorizer(deny)
        change_all(wanted)

    store.change_all = unable
    answers = send(store, *[(VIEW, {"rows": [row(n)]}, None) for n in range(5)])
    assert failed
    assert [each.status_code for each in answers] == [500] * 5
    assert store.pushed_since("drives", 0) == []


@pytest.mark.parametrize(("error", "why"), [(StoreUnavailable, "not taken, try again"), (OutcomeUnknown, "not known")])
def test_a_store_that_is_lost_is_told_to_all_who_wait(make_store, error, why):
    store = make_store("s")

    def lose(wanted):
        for each in wanted:
            each.error, each.done = error("gone"), True

    store.change_all = lose
    answers = send(store, *[(VIEW, {"rows": [row(n)]}, None) for n in range(3)])
    assert [(each.status_code, why in each.json()["error"]) for each in answers] == [(503, True)] * 3
