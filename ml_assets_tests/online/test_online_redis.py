"""What Redis does by itself: old values expire, and a read is one command."""

import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.building.affected import CHANGE
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import _pushed_view, push_facts
from ml_assets.online.stores.errors import OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import EXPIRED, Change, RefusedRow
from ml_assets.online.stores.redis.server import PREFIX
from ml_assets.online.stores.redis.snapshot import RedisSnapshot
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
SALES = FeatureViewSpec(
    name="sales", description="Sales of the store.", entity=["store"], table="sales", known_at="known",
    latest={"amount": "amount"},
)  # fmt: skip
STORES = FeatureViewSpec(
    name="stores", description="The store.", entity=["store"], table="stores", lookups={"area": "area"}
)


def sales(*rows):
    return pl.DataFrame(
        rows, schema={"store": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}, orient="row"
    )


@pytest.fixture
def server(redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
        yield server


def build(store, view=SALES, table=None, max_age=HOUR, name="b1", **more):
    table = sales(("a", AS_OF, 1.0)) if table is None else table
    return build_view(store, view, table.lazy(), as_of=AS_OF, max_age=max_age, build=name, **more)


def test_values_and_moments_of_all_views_are_read_with_one_command_each(server, redis_url):
    store = open_store(redis_url)
    build(store)
    build(store, STORES, pl.DataFrame({"store": ["a"], "area": [4]}))
    features = OnlineFeatures(store, [SALES, STORES])
    rows = [{"store": name} for name in "abc"]
    features.fetch(rows, microseconds(AS_OF))
    server.config_resetstat()
    (found, *_) = features.fetch(rows, microseconds(AS_OF))
    stats = server.info("commandstats")
    # What is called from within the script is counted too; from outside came the script, and now the question.
    inside = {"cmdstat_hmget", "cmdstat_exists", "cmdstat_zrevrangebyscore", "cmdstat_smismember"}
    outside = {name: told["calls"] for name, told in stats.items() if name not in inside}
    assert outside.pop("cmdstat_config|resetstat") == 1
    assert outside == {"cmdstat_evalsha": 1, "cmdstat_mget": 1}
    assert found.values == {"amount": 1.0, "area": 4}


def test_values_of_the_past_leave_the_memory_and_count_as_expired(server, redis_url):
    store = open_store(redis_url)
    build(store, max_age=timedelta(hours=2))
    push_facts(store, SALES, sales(("b", AS_OF, 1.0)), arrived_at=microseconds(AS_OF))
    values = [
        key for key in server.scan_iter(f"{PREFIX}*") if key.split(b":")[2] in (b"moments", b"facts", b"entities")
    ]
    assert len(values) == 4
    # Twice max_age, for who lags behind; twice that, for updates that leave them; and an hour more than the sign that
    # they are there.
    assert all(0 < server.ttl(key) <= 9 * 3600 for key in values)
    (alive,) = server.scan_iter(f"{PREFIX}alive:*")
    assert 0 < server.ttl(alive) <= 4 * 3600 < min(server.ttl(key) for key in values)


@pytest.mark.parametrize(
    ("address", "stays", "updates"),
    [("", 5 * 3600 + 60, True), ("", 5 * 3600 - 1, False), ("?eviction=allowed", 9 * 3600, False)],
)
def test_an_update_leaves_only_what_stays_as_long_as_what_it_writes(server, redis_url, address, stays, updates):
    store, age = open_store(redis_url + address), {"max_age": timedelta(hours=2)}
    old = sales(*((f"s{n}", AS_OF - HOUR, 1.0) for n in range(20)))
    build(store, table=old, table_version=1, **age)
    facts = list(server.scan_iter(f"{PREFIX}facts:*"))
    for key in (key for key in server.scan_iter(f"{PREFIX}*") if server.ttl(key) > 4 * 3600):
        server.expire(key, stays)
    news = sales(("s3", AS_OF, 2.0))
    changed = news.with_columns(pl.lit(1, pl.Int8).alias(CHANGE)).lazy()
    made = build(store, table=pl.concat([old, news]), table_version=2, changed_since={1: changed}.get, name="b2", **age)
    assert (made.entities, made.moments) == (20, 1 if updates else 20)
    there = list(server.scan_iter(f"{PREFIX}facts:*"))
    assert (len(there), set(there) == set(facts)) == (20, updates)
    # A fact that is pushed shortens the life of nothing.
    push_facts(store, SALES, sales(("s4", AS_OF, 3.0)), arrived_at=microseconds(AS_OF))
    (alive,) = server.scan_iter(f"{PREFIX}alive:*")
    kinds = (b"moments", b"facts", b"state", b"entities")
    lives = [server.ttl(key) for key in server.scan_iter(f"{PREFIX}*") if key.split(b":")[2] in kinds]
    assert server.ttl(alive) + 3500 < min(lives)
    rows = OnlineFeatures(store, [SALES]).fetch([{"store": f"s{n}"} for n in (3, 4, 5)], microseconds(AS_OF))
    assert [row.values["amount"] for row in rows] == [2.0, 3.0, 1.0]


def test_what_redis_has_let_go_of_is_expired_not_unseen(server, redis_url):
    store = open_store(redis_url)
    build(store, max_age=timedelta(milliseconds=50))
    while server.keys(f"{PREFIX}alive:*"):
        time.sleep(0.01)
    for key in server.scan_iter(f"{PREFIX}moments:*"):
        server.delete(key)
    (fetched,) = OnlineFeatures(store, [SALES]).fetch([{"store": "a"}], microseconds(AS_OF))
    assert (fetched.states, fetched.values) == ({"sales": EXPIRED}, {"amount": None})


def test_a_static_view_stays(server, redis_url):
    store = open_store(redis_url)
    build(store, STORES, pl.DataFrame({"store": ["a"], "area": [4]}))
    assert {server.ttl(key) for key in server.scan_iter(f"{PREFIX}*")} == {-1}


def test_old_builds_take_no_room(server, redis_url):
    store = open_store(redis_url)
    for _ in range(3):
        build(store)
    assert len(server.keys(f"{PREFIX}moments:*")) == len(server.keys(f"{PREFIX}facts:*")) == 1


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ValueError, match=r"online store redis://host:1/0: .* install ml_assets\[redis\]"):
        open_store("redis://user:secret@host:1/0")


def test_a_server_out_of_reach_is_told_without_its_password():
    store = open_store("redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable, match=r"online store redis://127.0.0.1:1/0: ") as caught:
        store.read([("sales", '["a"]')], 0)
    assert "secret" not in str(caught.value)


def test_a_push_whose_answer_is_lost_is_not_written_twice(server, redis_url, monkeypatch):  # noqa: ARG001
    import redis

    store = open_store(redis_url)
    build(store)
    execute, read_response, lost = redis.client.Pipeline._execute_transaction, redis.Connection.read_response, []

    def losing(connection, *given, **more):
        answer = read_response(connection, *given, **more)
        if isinstance(answer, list) and not lost:
            lost.append(answer)
            raise redis.ConnectionError("connection closed by the server")
        return answer

    def execute_and_lose(*given):
        monkeypatch.setattr(redis.Connection, "read_response", losing)
        return execute(*given)

    monkeypatch.setattr(redis.client.Pipeline, "_execute_transaction", execute_and_lose)
    with pytest.raises(OutcomeUnknown, match="connection closed by the server: what a push changes may be there or no"):
        push_facts(store, SALES, sales(("b", AS_OF, 1.0)), arrived_at=microseconds(AS_OF))
    assert len(lost) == 1
    assert [row.seq for row in store.pushed_since("sales", 0)] == [1]


@pytest.mark.parametrize("kind", [TypeError, KeyboardInterrupt, pl.exceptions.InvalidOperationError])
def test_what_a_change_raises_comes_as_it_is_and_the_next_one_is_made(server, redis_url, kind):  # noqa: ARG001
    def bad(reading):
        reading.note("watched")
        raise kind("its own")

    store = open_store(redis_url)
    with pytest.raises(kind, match="its own"):
        store.change(bad, 0)
    assert store.change(lambda _: Change(table="t", refused=[RefusedRow("{}", "", "")]), 0) == []
    assert len(store.refused_since("t", 0)) == 1


def test_a_change_that_cannot_be_written_leaves_nothing(server, redis_url):  # noqa: ARG001
    store = open_store(redis_url)
    half = Change(table="t", refused=[RefusedRow("half", "", ""), RefusedRow(object(), "", "")])  # pyright: ignore
    with pytest.raises(TypeError):
        store.change(lambda _: half, 0)
    assert store.refused_since("t", 0) == []


def test_the_same_fact_pushed_twice_at_once_counts_twice_however_the_pushes_meet(server, redis_url, monkeypatch):  # noqa: ARG001
    """The second is written after the first has read the header of the state, and before it reads a leaf."""
    view = FeatureViewSpec(
        name="sales", description="Sales of the store.", entity=["store"], table="sales", known_at="known",
        windows=["2h"], aggregates={"amount": {"of": "amount", "functions": ["count"]}},
    )  # fmt: skip
    store, states, others = open_store(redis_url), RedisSnapshot.states, [1]

    def push():
        return push_facts(store, view, sales(("a", AS_OF, 2.0)), arrived_at=microseconds(AS_OF)).seq

    def states_then_another_push(self, *given, **more):
        found = states(self, *given, **more)
        if others and self._watching is not None:
            others.pop()
            assert push() == 2
        return found

    build(store, view)
    assert push() == 1
    _pushed_view.cache_clear()  # as another process, which has no state kept
    monkeypatch.setattr(RedisSnapshot, "states", states_then_another_push)
    assert push() == 3
    (fetched,) = OnlineFeatures(store, [view]).fetch([{"store": "a"}], microseconds(AS_OF))
    assert fetched.values == {"amount_count_2h": 4}
    store.close()
