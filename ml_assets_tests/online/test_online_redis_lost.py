"""What Redis has thrown away is missing and takes no facts; nothing is 0 for it."""

from datetime import timedelta

import polars as pl
import pytest

from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.errors import EntityLost, StaleBuild, StoreUnavailable
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING, UNSEEN
from ml_assets.online.stores.redis.server import PREFIX
from ml_assets.online.values.record import microseconds
from ml_assets_tests.online.chain import AREAS, AS_OF, SALES, build, push, sales

ALLOWED = "?eviction=allowed"


def fetch(store, *names, view=SALES):
    fetched = OnlineFeatures(store, [view]).fetch([{"store": name} for name in names], microseconds(AS_OF))
    return [(*each.values.values(), each.states[view.name]) for each in fetched]


@pytest.fixture
def server(redis_url):
    import redis

    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
        yield server
        server.config_set("maxmemory", 0)
        server.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def store(server, redis_url):  # noqa: ARG001
    return open_store(redis_url + ALLOWED)


def number(server, view="sales"):
    return server.hget(f"{PREFIX}view:{view}", "number").decode()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_throws_keys_away_is_refused_unless_the_address_allows_it(server, redis_url, policy):
    store = open_store(redis_url)
    server.config_set("maxmemory-policy", policy)
    with pytest.raises(
        ValueError, match=f"its eviction policy is {policy}: keys of the store would be thrown away when"
    ):
        open_store(redis_url)
    # Who has opened it before learns of it when the next build begins.
    with pytest.raises(StoreUnavailable, match=f"its eviction policy is {policy}"):
        build(store, "a")
    build(open_store(redis_url + ALLOWED), "a")
    assert fetch(open_store(redis_url + ALLOWED), "a") == [(1, FRESH)]


def test_a_server_that_does_not_tell_its_policy_is_refused(server, redis_url):
    server.execute_command("ACL", "SETUSER", "shy", "on", "nopass", "~*", "+@all", "-info")
    address = redis_url.replace("redis://", "redis://shy:any@")
    with pytest.raises(ValueError, match=r"its eviction policy is not told \(.*no permissions.*'info'"):
        open_store(address)
    assert open_store(address + ALLOWED).build("sales") is None


def test_an_option_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="eviction=yes is not known: write eviction=allowed, or nothing"):
        open_store("redis://127.0.0.1:1/0?eviction=yes")


def test_what_memory_had_no_room_for_is_missing_and_all_else_exact(server, redis_url):
    names = [f"s{place:04}" for place in range(2000)]
    store = open_store(redis_url + ALLOWED)
    build(store, *names)
    push(store, "s0000")
    before = server.dbsize()
    server.config_set("maxmemory-policy", "allkeys-random")
    server.config_set("maxmemory", server.info("memory")["used_memory"] - 300_000)
    server.set("one", "more")
    assert server.dbsize() < before
    present, *_ = fetched = fetch(store, *names, "new")
    # Expired are all where the sign that the build is alive is gone.
    gone = {(None, MISSING), (None, EXPIRED)}
    assert present in gone | {(2, FRESH)}
    assert set(fetched[1:-1]) <= gone | {(1, FRESH)}
    assert gone & set(fetched)
    assert fetched[-1] in gone | {(0, UNSEEN)}


def test_an_entity_that_is_gone_is_missing_whoever_wrote_it(server, store):
    build(store, "built", "other")
    push(store, "pushed")
    for name in ("built", "pushed"):
        assert server.delete(f'{PREFIX}moments:{number(server)}:["{name}"]') == 1
    assert fetch(store, "built", "pushed", "other", "new") == [(None, MISSING)] * 2 + [(1, FRESH), (0, UNSEEN)]


def test_where_the_list_of_entities_is_gone_nobody_is_unseen(server, store):
    build(store, "a")
    push(store, "b")
    server.delete(f"{PREFIX}entities:{number(server)}")
    assert fetch(store, "a", "b", "new") == [(1, FRESH), (1, FRESH), (None, MISSING)]
    # A push begins a new list, which is known not to be whole.
    push(store, "b", ago=0.25)
    assert fetch(store, "a", "b", "new") == [(1, FRESH), (2, FRESH), (None, MISSING)]
    with pytest.raises(EntityLost, match=r'what it had of entity \["new"\] was thrown away: build its views again'):
        push(store, "new")


@pytest.mark.parametrize(("part", "name"), [("facts", "built"), ("state", "pushed"), ("state", "both")])
def test_a_push_that_would_count_without_what_is_gone_is_refused(server, store, part, name):
    build(store, "built", "both")
    push(store, "pushed")
    push(store, "both")
    assert server.delete(f'{PREFIX}{part}:{number(server)}:["{name}"]') == 1
    before = fetch(store, name)
    with pytest.raises(EntityLost):
        push(store, name, ago=0.25)
    assert fetch(store, name) == before
    # All others go on, and the next build has what was pushed before.
    push(store, "new")
    rows = pl.concat([sales("pushed", ago=0.5), sales("both", ago=0.5), sales("new", ago=0.5)])
    build(store, "built", "both", name="b2", pushed=rows.lazy(), pushed_seq=3)
    push(store, name, ago=0.25)
    assert fetch(store, "built", "pushed", "both", "new") == [
        (count + (each == name), FRESH) for each, count in {"built": 1, "pushed": 1, "both": 2, "new": 1}.items()
    ]


def test_values_that_need_a_state_that_is_gone_are_missing(server, store):
    build(store, "a")
    for ago in range(1, 12):  # more changes lie ahead than values are ready for
        push(store, "a", ago=ago / 10)
    at = AS_OF + timedelta(hours=1.2)

    def count():
        (fetched,) = OnlineFeatures(store, [SALES]).fetch([{"store": "a"}], microseconds(at))
        return *fetched.values.values(), fetched.states["sales"]

    # (at - 2 h, at] is from 0.8 hours ago on, which is open.
    assert count() == (7, FRESH)
    server.delete(f'{PREFIX}state:{number(server)}:["a"]')
    assert count() == (None, MISSING)


def test_a_static_row_that_is_gone_is_missing_and_its_push_refused(server, store):
    build(store, "a", view=AREAS)
    push_facts(store, AREAS, pl.DataFrame({"store": ["b"], "area": [2]}), arrived_at=microseconds(AS_OF))
    server.delete(f'{PREFIX}moments:{number(server, "areas")}:["a"]', f'{PREFIX}pushed:areas:["b"]')
    assert fetch(store, "a", "b", "c", view=AREAS) == [(None, MISSING), (2, FRESH), (None, UNSEEN)]
    with pytest.raises(EntityLost):
        push_facts(store, AREAS, pl.DataFrame({"store": ["b"], "area": [3]}), arrived_at=microseconds(AS_OF))


@pytest.mark.parametrize("gone", ["pushed:sales", "seq:sales"])
def test_pushed_facts_that_no_build_can_have_any_more_are_told_again_and_again(server, store, gone):
    build(store, "a")
    push(store, "a")
    server.delete(PREFIX + gone)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"was thrown away, and can be in no build: empty the database"):
            store.pushed_since("sales", 0)
        with pytest.raises(StoreUnavailable, match="was thrown away"):
            build(store, "a", name="b2")
    server.flushdb()
    build(store, "a", name="b3")
    assert fetch(store, "a") == [(1, FRESH)]


def test_a_build_that_is_thrown_away_before_it_is_published_is_not(server, store):
    build(store, "a")

    class ThrownAway:
        """The store, which loses a list of entities before a build is published."""

        generation = 0

        def __getattr__(self, name):
            return getattr(store, name)

        def publish(self, number, *given):
            server.delete(f"{PREFIX}entities:{number}")
            store.publish(number, *given)

    with pytest.raises(
        StoreUnavailable, match="a part of the build of 'sales' was thrown away before it was published"
    ):
        build(ThrownAway(), "a", "b", name="b2")
    assert fetch(store, "a", "b") == [(1, FRESH), (0, UNSEEN)]
    staged = store.stage("sales", None)
    server.delete(f"{PREFIX}staged:{staged}")
    with pytest.raises(StaleBuild):
        store.add("sales", staged, [], [], 0)


def test_an_entity_of_which_all_was_taken_back_is_unseen(store):
    build(store, "a")
    push(store, "b")
    push_facts(store, SALES, [], arrived_at=microseconds(AS_OF), retract=sales("b", ago=0.5))
    assert fetch(store, "b") == [(0, UNSEEN)]


def test_a_build_of_before_there_was_a_list_is_read_as_it_was(server, store):
    build(store, "a")
    push(store, "b")
    server.hdel(f"{PREFIX}view:sales", "listed")
    server.delete(f"{PREFIX}entities:{number(server)}")
    assert fetch(store, "a", "b", "new") == [(1, FRESH), (1, FRESH), (0, UNSEEN)]
    push(store, "new")
    push(store, "b", ago=0.25)
    assert fetch(store, "b", "new") == [(2, FRESH), (1, FRESH)]
