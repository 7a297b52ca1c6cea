"""What PostgreSQL is used for: one statement a read, one writer at a time, and what is told when it is lost."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.stores.errors import NoBuild, OutcomeUnknown, StoreUnavailable
from ml_assets.online.stores.opening import check_store_address, open_store
from ml_assets.online.stores.records import FRESH, UNSEEN, Change, Note, RefusedRow
from ml_assets.online.stores.together import WantedChange
from ml_assets.online.values.record import microseconds
from ml_assets_tests.online.chain import AREAS, AS_OF, SALES, build, push


def fetch(store, *names):
    fetched = OnlineFeatures(store, [SALES]).fetch([{"store": name} for name in names], microseconds(AS_OF))
    return [(*each.values.values(), *each.states.values()) for each in fetched]


def refuse(name):
    """A change that leaves a trace: a refused row."""
    return lambda _: Change(table="t", refused=[RefusedRow(name, "", "")])


def traces(store):
    return [row.row for _, _, row in store.refused_since("t", 0)]


@pytest.fixture
def server(postgres_url):
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("DROP SCHEMA IF EXISTS ml_assets_online CASCADE")
        yield server
        # Those of other tests find their tables again.
        store = open_store(postgres_url)
        store.build("any")
        store.close()


@pytest.fixture
def store(server, postgres_url):  # noqa: ARG001
    store = open_store(f"{postgres_url}?application_name=seen")
    yield store
    store.close()


def count(server, table):
    return server.execute(f"SELECT count(*) FROM ml_assets_online.{table}").fetchone()[0]


def end_sessions(server):
    """Ends all others, as a server does that is started anew."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'seen'"
    return len(server.execute(ended).fetchall())


def test_values_and_moments_of_all_views_are_read_by_one_statement_each(store, monkeypatch):
    import psycopg

    build(store, "a")
    build(store, "a", view=AREAS)
    features, rows = OnlineFeatures(store, [SALES, AREAS]), [{"store": name} for name in "ab"]
    features.fetch(rows, microseconds(AS_OF))
    executed, execute = [], psycopg.Connection.execute
    monkeypatch.setattr(
        psycopg.Connection,
        "execute",
        lambda self, *given, **more: executed.append(given) or execute(self, *given, **more),
    )
    first, second = features.fetch(rows, microseconds(AS_OF))
    assert len(executed) == 2
    assert (first.values, second.values) == (
        {"amount_count_2h": 1, "area": 1},
        {"amount_count_2h": 0, "area": None},
    )


def test_many_who_open_an_empty_database_at_once_make_its_tables_once(server, postgres_url):  # noqa: ARG001
    ready = threading.Barrier(4)

    def look(_):
        store = open_store(postgres_url)
        ready.wait(30)
        found = store.build("sales")
        store.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, range(4))) == [None] * 4


def test_pushes_of_two_processes_at_once_are_all_there(store, postgres_url):
    # Each has its own queue of changes, as processes have.
    others = [open_store(postgres_url) for _ in range(3)]
    build(store)
    with ThreadPoolExecutor(4) as pool:
        pushed = pool.map(lambda place: push([store, *others][place % 4], "a", place / 100).seq, range(20))
        assert sorted(pushed) == list(range(1, 21))
    assert fetch(store, "a") == [(20, FRESH)]
    for other in others:
        other.close()


def test_a_request_sees_one_moment_while_a_build_is_published(store, postgres_url):
    build(store, "a")
    with store.reading() as reading:
        before = reading.built("sales")
        other = open_store(postgres_url)
        build(other, "a", "b", name="b2")
        assert reading.built("sales") == before
        # The old build is cleared, and still there for who looks at that moment.
        assert set(reading.facts(before.number, ['["a"]', '["b"]'])) == {'["a"]'}
    assert fetch(store, "b") == [(1, FRESH)]
    other.close()


def test_builds_that_are_read_no_more_take_no_room(store, server):
    killed = store.stage("sales", timedelta(days=1))
    store.add("sales", killed, [('["x"]', b"")], [('["x"]', 0, "null,1")], 0)
    assert fetch(store, "x") == [(None, "missing")]
    for name in ("b1", "b2"):
        build(store, "a", name=name)
        push(store, "a", 0.5 if name == "b1" else 0.25)
    assert [count(server, table) for table in ("builds", "facts", "views")] == [1, 1, 1]
    assert server.execute("SELECT count(DISTINCT number) FROM ml_assets_online.moments").fetchone() == (1,)
    assert server.execute("SELECT count(DISTINCT number) FROM ml_assets_online.states").fetchone() == (1,)


def test_a_large_build_is_written_and_planned_for(store, server):
    names = [f"s{place}" for place in range(600)]
    assert build(store, *names).moments == 1200
    assert fetch(store, "s0", "s599", "s600") == [(1, FRESH), (1, FRESH), (0, UNSEEN)]
    analyzed = "SELECT reltuples FROM pg_class WHERE oid = 'ml_assets_online.moments'::regclass"
    assert server.execute(analyzed).fetchone() == (1200.0,)


def test_keys_longer_than_an_index_takes_are_kept(store):
    # Random, as what repeats is compressed.
    long, other = (os.urandom(4000).hex() for _ in range(2))
    build(store, long)
    push(store, long)
    push(store, other)
    assert fetch(store, long, other, long[:-1]) == [(2, FRESH), (1, FRESH), (0, UNSEEN)]
    assert [row.entity for row in store.pushed_since("sales", 0)] == [f'["{long}"]', f'["{other}"]']
    build(store, long, name="b2")
    assert fetch(store, long, other) == [(2, FRESH), (1, FRESH)]
    store.change(lambda _: Change(notes=[Note(long, "made")]), 0)
    with store.reading() as reading:
        assert (reading.note(long), reading.note(other)) == ("made", None)


def test_what_a_change_raises_is_its_own_and_those_beside_it_are_made(store):
    def bad(_):
        raise TypeError("its own")

    cannot_be_written = Change(table="t", refused=[RefusedRow("half", "", ""), RefusedRow(object(), "", "")])  # pyright: ignore
    wanted = [WantedChange(each, 0) for each in (refuse("1"), bad, lambda _: cannot_be_written, refuse("2"))]
    store._change_all(wanted)
    assert [each.last for each in wanted] == [[], None, None, []]
    assert [type(each.error) for each in wanted] == [type(None), TypeError, StoreUnavailable, type(None)]
    assert traces(store) == ["1", "2"]


def test_a_server_that_was_started_anew_is_gone_on_with(store, server):
    build(store, "a")
    with ThreadPoolExecutor(3) as pool:
        together = threading.Barrier(3)

        def hold(_):
            with store.reading():
                together.wait(30)

        list(pool.map(hold, range(3)))
    assert end_sessions(server) == 3
    assert fetch(store, "a") == [(1, FRESH)]
    assert end_sessions(server) == 1
    assert push(store, "a").seq == 1


def test_a_change_that_is_lost_before_it_is_committed_is_not_made(store, server):
    def lose(reading):  # noqa: ARG001
        end_sessions(server)
        return refuse("lost")(None)

    with pytest.raises(StoreUnavailable, match="terminating connection") as caught:
        store.change(lose, 0)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert traces(store) == []
    store.change(refuse("next"), 0)
    assert traces(store) == ["next"]


def test_a_change_that_is_lost_while_it_is_committed_may_be_there(store, server):
    assert traces(store) == []
    server.execute(
        "CREATE FUNCTION ml_assets_online.lose() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    server.execute(
        "CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON ml_assets_online.refused DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION ml_assets_online.lose()"
    )
    with pytest.raises(OutcomeUnknown, match="it may be written or not"):
        store.change(refuse("lost"), 0)


def test_a_connection_is_not_shared_with_a_forked_process(store):
    build(store, "a")
    child = os.fork()
    if child == 0:
        try:
            os._exit(store.read([("sales", '["a"]')], microseconds(AS_OF))[0].values[0] + 41)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert fetch(store, "a") == [(1, FRESH)]


def test_stores_in_two_schemas_are_apart_and_tables_that_are_gone_are_told(store, server, postgres_url):
    build(store, "a")
    other = open_store(f"{postgres_url}?schema=second")
    with pytest.raises(NoBuild):
        push(other, "a")
    other.close()
    server.execute("DROP SCHEMA second CASCADE")
    server.execute("DROP SCHEMA ml_assets_online CASCADE")
    with pytest.raises(StoreUnavailable, match=r'relation "ml_assets_online.views" does not exist'):
        store.build("sales")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@host/db?schema=My-Own", "schema=My-Own must be small letters, digits and _"),
        (
            "postgresql://me:secret@host/db?colour=red",
            "cannot be read: write postgresql://user:password@host:port/data",
        ),
        ("postgresql://me:sec/ret@host:1/db", "cannot be read: write postgresql://user:password@host:port/database"),
    ],
)
def test_an_address_that_does_not_fit_is_told_without_its_password(url, message):
    check_store_address(url)
    with pytest.raises(ValueError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_a_server_out_of_reach_is_told_without_its_password():
    store = open_store("postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(
        StoreUnavailable, match=r"online store postgresql://127.0.0.1:1/db: .*Connection refused"
    ) as caught:
        store.read([("sales", '["a"]')], 0)
    assert "secret" not in str(caught.value)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"online store postgresql://host/db: .* install ml_assets\[postgres\]"):
        open_store("postgresql://me:secret@host/db")
