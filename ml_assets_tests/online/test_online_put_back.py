"""A store that was put back from a backup uses numbers again: whatever was pushed to it is in its next build."""

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, facts_of, pushed_facts
from ml_assets.online.facts.origins import origin_of
from ml_assets.online.facts.union import RETRACTS, SEQ
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.record import microseconds

AS_OF = datetime(2024, 3, 10, 12, tzinfo=UTC)
SCHEMA = {"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64}
VIEW = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["3h"],
    aggregates={"amount": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
SHOPS = "abcdefg"


def of_sqlite(tmp_path, request):  # noqa: ARG001
    """A store, and what makes a backup of it: that gives what puts it back."""
    path, kept = tmp_path / "online.db", tmp_path / "backup.db"
    store = open_store(f"sqlite:///{path}")

    def back_up():
        with sqlite3.connect(path) as db:
            db.execute("VACUUM INTO ?", [str(kept)])

        def put_back():
            for end in ("", "-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            kept.rename(path)

        return put_back

    return store, back_up


def of_redis(tmp_path, request):  # noqa: ARG001
    import redis

    url = request.getfixturevalue("redis_url")
    server = redis.Redis.from_url(url)
    server.flushall()

    def back_up():
        kept = {key: (max(server.pttl(key), 0), server.dump(key)) for key in server.scan_iter()}

        def put_back():
            server.flushall()
            for key, (left, value) in kept.items():
                server.restore(key, left, value)

        return put_back

    return open_store(url), back_up


def of_postgresql(tmp_path, request):  # noqa: ARG001
    import psycopg

    url, store = request.getfixturevalue("postgres_url"), request.getfixturevalue("empty_postgres")()
    tables = ["builds", "plans", "views", "moments", "facts", "pushes", "pushed", "states", "notes"]

    def back_up():
        with psycopg.connect(url) as server, server.cursor() as cursor:
            kept = {}
            for table in tables:
                with cursor.copy(f"COPY ml_assets_online.{table} TO STDOUT") as copy:
                    kept[table] = b"".join(copy)

        def put_back():
            with psycopg.connect(url) as server, server.cursor() as cursor:
                for table, rows in kept.items():
                    cursor.execute(f"DELETE FROM ml_assets_online.{table}")
                    with cursor.copy(f"COPY ml_assets_online.{table} FROM STDIN") as copy:
                        copy.write(rows)

        return put_back

    return store, back_up


def frame(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


DELIVERED = frame(*((shop, AS_OF, 1.0) for shop in SHOPS))


class Shop:
    """A store with its lake."""

    def __init__(self, store, lake):
        self.store, self.lake = store, lake

    def push(self, shop, amount, back=False):
        rows = frame((shop, AS_OF, amount))
        given = (rows[:0], rows) if back else (rows, rows[:0])
        return push_facts(self.store, VIEW, given[0], retract=given[1], arrived_at=microseconds(AS_OF)).seq

    def build(self, name):
        seq = export_pushed(self.store, self.lake, VIEW)
        return build_view(
            self.store, VIEW, DELIVERED.lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=name,
            pushed=pushed_facts(self.lake, "sales", seq), pushed_seq=seq,
        )  # fmt: skip

    @property
    def values(self):
        keys = [{"shop": shop} for shop in SHOPS]
        return [
            row.values["amount_sum_3h"] for row in OnlineFeatures(self.store, [VIEW]).fetch(keys, microseconds(AS_OF))
        ]

    @property
    def exported(self):
        rows = self.lake.scan("pushed/sales").sort(SEQ).collect()
        return rows.select(SEQ, "shop", "amount").rows()


@pytest.fixture(params=[of_sqlite, of_redis, of_postgresql])
def shop_and_backup(request, tmp_path):
    store, back_up = request.param(tmp_path, request)
    shop = Shop(store, Lake(str(tmp_path / "lake")))
    shop.build("b0")
    shop.push("a", 10.0)
    put_back = back_up()
    shop.push("b", 20.0)
    shop.push("c", 30.0)
    assert shop.build("b1").pushed_seq == 3
    put_back()
    yield shop
    if request.param is not of_postgresql:  # that one is kept for the session
        store.close()


BEFORE = [(1, "a", 10.0), (2, "b", 20.0), (3, "c", 30.0)]


@pytest.mark.parametrize("later", [0, 1, 2, 4])
def test_nothing_that_was_pushed_to_a_store_that_was_put_back_is_lost(shop_and_backup, later):
    """Fewer, as many, and more than were pushed since the backup; what the lake has is there again as well."""
    shop = shop_and_backup
    amounts = [40.0, 50.0, 60.0, 70.0][:later]
    after = list(zip("defg", amounts, strict=False))
    for place, (name, amount) in enumerate(after, 2):
        assert shop.push(name, amount) == place
    expected = [11.0, 21.0, 31.0, *(1 + amount for amount in amounts), *[1.0] * (4 - later)]
    assert shop.build("b2").pushed_seq == shop.exported[-1][0]
    assert shop.values == expected
    # Each number of the lake means one fact, and the new ones follow in the order in which they were pushed.
    assert shop.exported[:3] == BEFORE
    assert [row[1:] for row in shop.exported[3:]] == after
    assert len({seq for seq, *_ in shop.exported}) == 3 + later
    # The next ones go on from there, and are told from all others.
    assert shop.push("g", 100.0) == shop.exported[-1][0] + 1
    shop.build("b3")
    expected[-1] += 100.0
    assert shop.values == expected


def test_facts_get_new_numbers_once_and_what_is_pushed_meanwhile_none_of_the_old_ones(shop_and_backup):
    """The skew check exports without a build, so that the facts go on to lie in the store."""
    shop = shop_and_backup
    shop.push("d", 40.0)
    assert export_pushed(shop.store, shop.lake, VIEW) == 4
    assert shop.push("e", 50.0) == 5
    assert export_pushed(shop.store, shop.lake, VIEW) == 5
    assert export_pushed(shop.store, shop.lake, VIEW) == 5
    assert shop.exported == [*BEFORE, (4, "d", 40.0), (5, "e", 50.0)]
    assert shop.values[3:5] == [41.0, 51.0]
    shop.push("d", 2.0)
    assert shop.values[3] == 43.0
    shop.build("b2")
    assert shop.values == [11.0, 21.0, 31.0, 43.0, 51.0, 1.0, 1.0]


def test_what_is_pushed_between_the_export_and_the_build_is_not_taken_for_exported(shop_and_backup):
    """Nothing was pushed since the store was put back, so that its numbers are behind the lake's."""
    shop = shop_and_backup
    seq = export_pushed(shop.store, shop.lake, VIEW)
    assert (seq, shop.push("d", 40.0)) == (3, 4)
    build_view(
        shop.store, VIEW, DELIVERED.lazy(), as_of=AS_OF, max_age=timedelta(days=1), build="b2",
        pushed=pushed_facts(shop.lake, "sales", seq), pushed_seq=seq,
    )  # fmt: skip
    assert shop.values == [11.0, 21.0, 31.0, 41.0, 1.0, 1.0, 1.0]
    assert [row.seq for row in shop.store.pushed_since("sales", 0)] == [4]


def test_what_was_taken_back_stays_behind_what_it_takes_back(shop_and_backup, caplog):
    """The fact has a number that the lake has, and the row that takes it back one that it does not have."""
    shop = shop_and_backup
    assert [shop.push("d", 40.0), shop.push("e", 50.0), shop.push("d", 40.0, back=True)] == [2, 3, 4]
    shop.build("b2")
    assert "'sales': the online store was put back from a backup: 3 facts" in caplog.text
    assert "from number 2 on, got numbers after 3" in caplog.text
    assert shop.values == [11.0, 21.0, 31.0, 1.0, 51.0, 1.0, 1.0]
    rows = shop.lake.scan("pushed/sales").sort(SEQ).collect()
    assert rows.filter(pl.col("shop") == "d")[RETRACTS].to_list() == [False, True]


def test_facts_behind_a_build_of_a_table_that_was_made_anew_are_not_those_of_the_new_one(tmp_path):
    lake, store = Lake(str(tmp_path / "lake")), open_store(f"sqlite:///{tmp_path}/online.db")
    lake.append("sales", DELIVERED)

    def build(name):
        version = lake.version("sales")
        return build_view(
            store, VIEW, lake.scan("sales", version), as_of=AS_OF, max_age=timedelta(days=1), build=name,
            table_version=version, files_of=lambda of: lake.files("sales", of),
        )  # fmt: skip

    made = build("b1")
    assert facts_of(lake, VIEW, made, 0).collect().height == len(SHOPS)
    lake.append("sales", DELIVERED.head(1))
    assert facts_of(lake, VIEW, made, 0).collect().height == len(SHOPS)
    shutil.rmtree(tmp_path / "lake" / "sales")
    lake.append("sales", DELIVERED.head(2))
    with pytest.raises(LookupError, match=r"table 'sales' was deleted and made anew.* materialize online/sales again"):
        facts_of(lake, VIEW, made, 0)
    assert facts_of(lake, VIEW, build("b2"), 0).collect().height == 2
    store.close()


class Client:
    """Sends facts with idempotency keys, and from a stream whose position lies in the store, each of one shop."""

    def __init__(self, shop):
        self.shop = shop
        self.table = PushedTable("sales", [VIEW], None, timedelta(minutes=5))
        self.sent = []

    def send(self, number):
        row = {"shop": SHOPS[number % 7], "at": AS_OF.isoformat(), "amount": 2.0 ** (number + 1)}
        at = microseconds(AS_OF) + len(self.sent)
        origins = () if number % 2 else [origin_of("stream", number)]
        self.table.push(
            self.shop.store, [row], arrived_at=at, key=f"k{number}" if number % 2 else None, origins=origins
        )
        self.sent.append(number)


def test_facts_of_one_moment_that_are_exported_apart_keep_their_own_origins(shop_and_backup):
    """A replay pushes many at one moment: some with a key and some without, and some are in the lake before others."""
    shop, table = shop_and_backup, PushedTable("sales", [VIEW], None, timedelta(minutes=5))

    def push(amount, key=None):
        row = {"shop": "d", "at": AS_OF.isoformat(), "amount": amount}
        table.push(shop.store, [row], arrived_at=microseconds(AS_OF) + 1, key=key)
        export_pushed(shop.store, shop.lake, VIEW)

    push(2.0, "k1")
    push(4.0)
    push(8.0, "k2")
    push(8.0, "k3")
    shop.build("b2")
    push(16.0)
    push(32.0, "k4")
    shop.build("b3")
    assert shop.values[3] == 1.0 + 2.0 + 4.0 + 8.0 + 8.0 + 16.0 + 32.0
    exported = shop.lake.scan("pushed/sales").filter(pl.col("shop") == "d").sort(SEQ).collect()
    origins = exported["_origin"].to_list()
    assert [each is not None for each in origins] == [True, False, True, True, False, True]
    assert len(set(origins)) == 5


@given(
    steps=st.lists(st.sampled_from(["send", "send", "build", "export", "back up"]), min_size=2, max_size=7),
    after=st.lists(st.sampled_from(["again", "build", "export", "new"]), max_size=5),
)
@settings(derandomize=True, deadline=None, max_examples=10, database=None)
def test_whenever_a_store_is_put_back_what_is_sent_again_counts_once(tmp_path_factory, steps, after):
    """What has an origin is sent again from the backup on, some before and some after builds; sums are powers of 2."""
    tmp_path = tmp_path_factory.mktemp("store")
    store, back_up = of_sqlite(tmp_path, None)
    shop = Shop(store, Lake(str(tmp_path / "lake")))
    shop.build("b")
    client, number, (put_back, since) = Client(shop), 0, (back_up(), 0)
    for place, step in enumerate([*steps, "export"]):
        if step == "send":
            client.send(number)
            number += 1
        elif step == "build":
            shop.build(f"b{place}")
        elif step == "export":
            export_pushed(shop.store, shop.lake, VIEW)
        else:
            (tmp_path / "backup.db").unlink()
            put_back, since = back_up(), number
    put_back()
    again, end = since, number
    for place, step in enumerate([*after, *["again"] * number]):
        if step == "again" and again < end:
            client.send(again)
            again += 1
        elif step == "build":
            shop.build(f"c{place}")
        elif step == "export":
            export_pushed(shop.store, shop.lake, VIEW)
        elif step == "new":
            client.send(number)
            number += 1
    expected = [1.0 + sum(2.0 ** (each + 1) for each in range(number) if each % 7 == place) for place in range(7)]
    if "build" in after:
        assert shop.values == expected
    shop.build("last")
    assert shop.values == expected
    shop.build("very last")
    assert shop.values == expected
    store.close()
