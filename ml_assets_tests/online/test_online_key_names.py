"""The name of the key that something was pushed with lies beside it, in the store and in the lake."""

import sqlite3
from datetime import UTC, datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, export_refused, pushed_facts, pushed_key, quarantine_key
from ml_assets.online.facts.union import SEQ
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.tables import PushedTable
from ml_assets.online.values.record import microseconds

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
VIEW = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["3h"],
    aggregates={"amount": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
TABLE = PushedTable("sales", [VIEW], None, timedelta(minutes=5))


def row(amount):
    return {"shop": "a", "at": NOON.isoformat(), "amount": amount}


def build(store, name="b", pushed=None, seq=0):
    table = pl.LazyFrame(schema={"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64})
    build_view(
        store, VIEW, table, as_of=NOON, max_age=timedelta(days=1), build=name, pushed=pushed, pushed_seq=seq
    )  # fmt: skip


def push(store, *amounts, retract=(), **more):
    TABLE.push(
        store, [row(each) for each in amounts], arrived_at=microseconds(NOON), retract=[row(each) for each in retract],
        **more,
    )  # fmt: skip


def total(store):
    (fetched,) = OnlineFeatures(store, [VIEW]).fetch([{"shop": "a"}], microseconds(NOON))
    return fetched.values["amount_sum_3h"]


def kept(store):
    return [(each.seq, each.retracts, each.api_key) for each in store.pushed_since("sales", 0)]


def refused(store):
    return [each.api_key for _, _, each in store.refused_since("sales", 0)]


def in_lake(lake, key):
    rows = lake.scan(key).sort(SEQ).collect()
    return rows["_api_key"].to_list() if "_api_key" in rows.columns else None


def test_the_name_goes_from_the_push_to_the_lake(store, tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    build(store)
    push(store, 1.0, "far")
    assert export_pushed(store, lake, VIEW) == 1
    assert export_refused(store, lake, "sales") == 1
    # As tables of before names were kept.
    assert (in_lake(lake, pushed_key("sales")), in_lake(lake, quarantine_key("sales"))) == (None, None)
    push(store, 2.0, 4.0, "far", api_key="ann")
    push(store, 8.0, retract=[2.0], api_key="ben", key="once")
    push_facts(store, VIEW, [row(16.0)], arrived_at=microseconds(NOON), api_key="ben")
    push(store, 32.0, "far")
    assert kept(store) == [
        (1, False, None), (2, False, "ann"), (3, False, "ann"), (4, True, "ben"), (5, False, "ben"), (6, False, "ben"),
        (7, False, None),
    ]  # fmt: skip
    with store.reading() as reading:
        (entity,) = {each.entity for each in store.pushed_since("sales", 0)}
        assert [each.api_key for each in reading.pushed("sales", [entity])] == [each[2] for each in kept(store)]
    assert refused(store) == ["ann", None]
    assert total(store) == 1.0 + 4.0 + 8.0 + 16.0 + 32.0
    seq = export_pushed(store, lake, VIEW)
    assert in_lake(lake, pushed_key("sales")) == [None, "ann", "ann", "ben", "ben", "ben", None]
    assert export_refused(store, lake, "sales") == 2
    assert in_lake(lake, quarantine_key("sales")) == [None, "ann", None]
    build(store, "b2", pushed_facts(lake, "sales", seq), seq)
    assert (total(store), kept(store)) == (61.0, [])
    push(store, 64.0, api_key="ben")
    assert (kept(store), export_pushed(store, lake, VIEW), total(store)) == ([(8, False, "ben")], 8, 125.0)


def test_a_quarantine_that_is_exported_twice_is_there_once(store, tmp_path, monkeypatch):
    lake = Lake(str(tmp_path / "lake"))
    build(store)
    monkeypatch.setattr(store, "forget_refused", lambda *_: None)
    push(store, "far")
    assert [export_refused(store, lake, "sales") for _ in range(2)] == [1, 0]
    push(store, "far", api_key="ann")
    assert [export_refused(store, lake, "sales") for _ in range(2)] == [1, 0]
    assert in_lake(lake, quarantine_key("sales")) == [None, "ann"]


def test_a_fact_that_gets_a_new_number_keeps_its_name(store):
    build(store)
    push(store, 1.0, api_key="ann")
    push(store, 2.0)
    store.renumber("sales", 10, [1, 2])
    assert kept(store) == [(11, False, "ann"), (12, False, None)]


def goes_on(store):
    """Nothing is known of what was pushed before, and names are kept from now on."""
    assert (kept(store), refused(store), total(store)) == ([(1, False, None)], [None], 1.0)
    push(store, 2.0, "far", api_key="ann")
    assert kept(store) == [(1, False, None), (2, False, "ann")]
    assert (refused(store), total(store)) == ([None, "ann"], 3.0)


DROPPED = ("ALTER TABLE {}pushed DROP COLUMN api_key", "ALTER TABLE {}refused DROP COLUMN api_key")


def test_a_file_of_before_names_were_kept_goes_on(tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    store = open_store(url)
    build(store)
    push(store, 1.0, "far")
    store.close()
    with sqlite3.connect(tmp_path / "old.db") as old:
        for statement in DROPPED:
            old.execute(statement.format(""))
    store = open_store(url)
    goes_on(store)
    store.close()


def test_a_backup_of_before_names_were_kept_takes_the_place_of_a_file_in_use(tmp_path):
    path, backup = tmp_path / "online.db", tmp_path / "backup.db"
    store = open_store(f"sqlite:///{path}")
    build(store)
    push(store, 1.0, "far")
    with sqlite3.connect(path) as db:
        db.execute("VACUUM INTO ?", [str(backup)])
    db.close()
    with sqlite3.connect(backup) as old:
        for statement in DROPPED:
            old.execute(statement.format(""))
    old.close()
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    backup.rename(path)
    goes_on(store)
    store.close()


def test_a_database_of_before_names_were_kept_goes_on(postgres_url, empty_postgres):
    import psycopg

    store = empty_postgres()
    build(store)
    push(store, 1.0, "far")
    with psycopg.connect(postgres_url) as old:
        for statement in DROPPED:
            old.execute(statement.format("ml_assets_online."))
    store = open_store(postgres_url)
    goes_on(store)
    store.close()


def test_facts_in_redis_without_a_name_are_as_they_were_before_names_were_kept():
    from ml_assets.online.stores.records import PushedRow
    from ml_assets.online.stores.redis.members import pushed_member, pushed_row

    old = b'[1,2,3,"[\\"a\\"]","{}",false]'
    assert pushed_row(old) == PushedRow(1, 2, 3, '["a"]', "{}")
    assert pushed_member(pushed_row(old)) == old
