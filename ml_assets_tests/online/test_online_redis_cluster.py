"""A store in a Redis Cluster of three: all of it on one shard, which is found wherever it goes."""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, pushed_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushedView
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.opening import check_store_address, open_store
from ml_assets.online.stores.records import FRESH, UNSEEN, Change, Note, RefusedRow
from ml_assets.online.stores.redis.server import CLUSTER_PREFIX
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, tzinfo=UTC)
COUNTS, SUMS = (
    FeatureViewSpec(
        name=f"{function}s", description="Sales.", entity=["store"], table="sales", known_at="known", windows=["2h"],
        aggregates={"amount": {"of": "amount", "functions": [function]}},
    ) for function in ("count", "sum")
)  # fmt: skip
VIEWS = [COUNTS, SUMS]


def sales(*rows):
    types = {"store": pl.String, "amount": pl.Float64, "known": pl.Datetime("us", "UTC")}
    rows = [(*row, AS_OF - timedelta(hours=1)) for row in rows]
    return pl.DataFrame(rows, schema=types, orient="row")


def build(store, *rows, name="b1", **more):
    for view in VIEWS:
        build_view(store, view, sales(*rows).lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=name, **more)


def push(store, *rows, key=""):
    """Pushes to both views at once, as to their table, with a note and a refused row."""
    pushed = [PushedView(view) for view in VIEWS]

    def decide(reading):
        if reading.note(key) is not None:
            return Change()
        changes = [each.change(reading, sales(*rows), [], microseconds(AS_OF)) for each in pushed]
        return Change(changes, [Note(key, "made")], "sales", [RefusedRow("{}", "rule", "amount")])

    return store.change(decide, microseconds(AS_OF))


def fetch(store, *names):
    fetched = OnlineFeatures(store, VIEWS).fetch([{"store": name} for name in names], microseconds(AS_OF))
    return [(*each.values.values(), *set(each.states.values())) for each in fetched]


@pytest.fixture
def nodes(redis_nodes):
    import redis

    with ExitStack() as stack:
        yield [stack.enter_context(redis.Redis.from_url(address)) for address in redis_nodes]


@pytest.fixture
def url(redis_nodes, nodes):
    """The address of an empty store."""
    for node in nodes:
        node.flushall()
    hosts = [address.removeprefix("redis://").removesuffix("/0") for address in redis_nodes]
    return "redis-cluster://" + ",".join(hosts)


def move_to_another_shard(nodes):
    """Moves the slot of the store, and what is in it; returns from where to where."""
    slot = nodes[0].cluster("KEYSLOT", CLUSTER_PREFIX)
    (source,) = [place for place, node in enumerate(nodes) if node.dbsize()]
    target = (source + 1) % 3
    ids = [node.execute_command("CLUSTER MYID").decode() for node in nodes]
    port = nodes[target].connection_pool.connection_kwargs["port"]
    nodes[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    nodes[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    nodes[source].migrate("127.0.0.1", port, nodes[source].keys(), 0, 5000)
    for place in (target, source, 3 - source - target):
        nodes[place].execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])
    return source, target


def test_views_of_a_table_are_built_pushed_to_and_read_at_once(url, nodes, tmp_path):
    lake = Lake(str(tmp_path))
    # Opened through any node, also where one of those that are named is no more.
    first = "redis-cluster://127.0.0.1:1," + url.rpartition(",")[2]
    store = open_store(url)
    build(store, ("a", 1.0), ("{b}", 2.0))
    assert push(open_store(first), ("a", 4.0), ("new", 8.0), key="once") == [2, 2]
    assert push(store, ("a", 4.0), key="once") == []
    expected = [(2, 5.0, FRESH), (1, 2.0, FRESH), (1, 8.0, FRESH), (0, None, UNSEEN)]
    assert fetch(store, "a", "{b}", "new", "other") == expected
    assert [row.row for _, _, row in store.refused_since("sales", 0)] == ["{}"]
    pushed = {view.name: export_pushed(store, lake, view) for view in VIEWS}
    assert pushed == {"counts": 2, "sums": 2}
    build(store, ("a", 1.0), ("{b}", 2.0), name="b2", pushed=pushed_facts(lake, "counts", 2), pushed_seq=2)
    assert fetch(store, "a", "{b}", "new", "other") == expected
    assert sorted(node.dbsize() > 0 for node in nodes) == [False, False, True]
    assert all(key.startswith(CLUSTER_PREFIX.encode()) for node in nodes for key in node.scan_iter("*"))


def test_a_shard_that_is_another_one_now_is_followed_and_counts_once(url, nodes):
    store, reader = open_store(url), open_store(url)
    build(store, ("a", 1.0))
    assert fetch(reader, "a") == [(1, 1.0, FRESH)]
    source, target = move_to_another_shard(nodes)
    assert (nodes[source].dbsize(), nodes[target].dbsize() > 0) == (0, True)
    assert push(store, ("a", 4.0)) == [1, 1]
    assert fetch(reader, "a") == [(2, 5.0, FRESH)]
    build(open_store(url), ("a", 1.0), ("b", 1.0), name="b2")
    assert fetch(reader, "b") == [(1, 1.0, FRESH)]


def test_a_push_on_its_way_while_the_shard_moves_is_made_once(url, nodes):
    store = open_store(url)
    build(store, ("a", 1.0))
    moved, pushed = [], PushedView(COUNTS)

    def decide(reading):
        change = Change([pushed.change(reading, sales(("a", 4.0)), [], microseconds(AS_OF))])
        if not moved:
            moved.append(move_to_another_shard(nodes))
        return change

    assert store.change(decide, microseconds(AS_OF)) == [1]
    assert fetch(store, "a") == [(2, 1.0, FRESH)]


def test_a_node_is_not_taken_for_a_server_of_its_own(redis_nodes, url):
    with pytest.raises(ValueError, match="is a node of a Redis Cluster: write redis-cluster://host:port,host:port"):
        open_store(redis_nodes[0])
    with pytest.raises(ValueError, match="a cluster has no databases by number: leave out /3"):
        open_store(url + "/3")
    check_store_address(url)


def test_a_cluster_out_of_reach_is_told_without_its_password():
    store = open_store("redis-cluster://user:secret@127.0.0.1:1,127.0.0.1:2")
    with pytest.raises(StoreUnavailable, match=r"online store redis-cluster://127.0.0.1:1,127.0.0.1:2: ") as caught:
        store.build("counts")
    assert "secret" not in str(caught.value)
