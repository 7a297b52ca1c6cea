"""What was taken back is understood by the union of the channels, the next build, the lake, and the skew check."""

import sqlite3
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import SEQ, export_pushed, export_refused, pushed_facts, quarantine_key
from ml_assets.online.facts.union import RETRACTS, union_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import Change, RefusedRow
from ml_assets.online.values.record import microseconds
from ml_assets.serving.log.known_facts import BUILD, LAST_SEQ, KnownFacts, stored_values

AS_OF = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEMA = {"shop": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64}
VIEW = FeatureViewSpec(
    name="sales", description="Sales.", entity=["shop"], table="sales", known_at="at", windows=["3h"],
    latest={"last": "amount"}, aggregates={"amount": {"of": "amount", "functions": ["sum", "count", "max"]}},
)  # fmt: skip
PRICES = FeatureViewSpec(
    name="prices", description="Prices.", entity=["shop"], table="prices", lookups={"price": "amount"}
)
ROWS = [("a", AS_OF - HOUR, 1.0), ("a", AS_OF - HOUR, None), ("b", AS_OF - 2 * HOUR, 2.0)]


def frame(*rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def counted(delivered, events):
    """How often each row counts: walks of pushing and taking back that never go below zero."""
    there = []
    for row in dict.fromkeys([*delivered, *(row for row, _ in events)]):
        pushed = hidden = 0
        for _, back in (event for event in events if event[0] == row):
            pushed = max(pushed - 1, 0) if back else pushed + 1
            hidden = hidden + 1 if back else max(hidden - 1, 0)
        there += [row] * max(delivered.count(row) - hidden, pushed)
    return there


@settings(derandomize=True, deadline=None, max_examples=60, database=None,
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(
    st.lists(st.sampled_from(ROWS), max_size=4), st.lists(st.tuples(st.sampled_from(ROWS), st.booleans()), max_size=8)
)
def test_the_union_leaves_out_what_was_taken_back(delivered, events):
    back = pl.Series(RETRACTS, [back for _, back in events], pl.Boolean)
    pushed = frame(*(row for row, _ in events)).with_columns(back)
    found = union_facts(frame(*delivered).lazy(), pushed.lazy(), VIEW).collect().rows()
    assert sorted(found, key=repr) == sorted(counted(delivered, events), key=repr)


def push(store, *rows, retract=(), view=VIEW):
    return push_facts(store, view, frame(*rows), retract=frame(*retract), arrived_at=microseconds(AS_OF))


def read(store, shop="a", at=AS_OF, view=VIEW):
    (fetched,) = OnlineFeatures(store, [view]).fetch([{"shop": shop}], microseconds(at))
    return tuple(fetched.values.values())


def build(store, *delivered, build="b1", as_of=AS_OF, **more):
    rows = frame(*delivered).lazy()
    build_view(store, VIEW, rows, as_of=as_of, max_age=timedelta(days=1), build=build, **more)


SALE, WRONG, RIGHT = ("a", AS_OF - 2 * HOUR, 4.0), ("a", AS_OF - HOUR, 9.0), ("a", AS_OF - HOUR, 5.0)


@pytest.mark.parametrize("later", [[SALE], [SALE, WRONG], [SALE, RIGHT], [SALE, WRONG, RIGHT]])
def test_the_next_build_knows_whatever_the_table_brings(store, tmp_path, later):
    lake = Lake(str(tmp_path))
    build(store, SALE)
    push(store, WRONG)
    assert read(store) == (9.0, 13.0, 2, 9.0)
    push(store, RIGHT, retract=[WRONG])
    assert read(store) == (5.0, 9.0, 2, 5.0)
    seq = export_pushed(store, lake, VIEW)
    assert lake.scan("pushed/sales").sort(SEQ).collect()[RETRACTS].to_list() == [False, True, False]
    build(store, *later, build="b2", pushed=pushed_facts(lake, "sales", seq), pushed_seq=seq)
    assert read(store) == (5.0, 9.0, 2, 5.0)
    push(store, WRONG)
    assert read(store)[1:3] == (18.0, 3)


def test_what_was_taken_back_while_a_build_is_made_is_not_in_it(store):
    class Meanwhile:
        """The store, in which others take a fact back just before a build is published."""

        def __getattr__(self, name):
            return getattr(store, name)

        def publish(self, *given):
            push(store, retract=[WRONG])
            store.publish(*given)

    build(store, SALE, WRONG)
    build(Meanwhile(), SALE, WRONG, build="b2")
    assert read(store) == (4.0, 4.0, 1, 4.0)


def test_an_entity_all_of_whose_facts_are_gone_is_unseen(store):
    build(store, SALE)
    push(store, ("new", AS_OF, 1.0))
    push(store, retract=[("new", AS_OF, 1.0)])
    assert read(store, "new") == (None, None, 0, None)


def test_the_last_row_before_the_build_is_not_taken_back_where_the_one_before_is_not_kept(store):
    old = [("a", AS_OF - timedelta(days=9), 1.0), ("a", AS_OF - timedelta(days=8), 2.0)]
    build(store, *old)
    assert read(store)[0] == 2.0
    with pytest.raises(PushError, match="what was before it is in the table alone: correct it there, and build again"):
        push(store, retract=[old[1]])
    assert read(store)[0] == 2.0


def test_a_fact_that_was_taken_back_does_not_stand_for_the_one_before_it(store, tmp_path):
    lake, first = Lake(str(tmp_path)), ("a", AS_OF - timedelta(days=9), 1.0)
    wrong = ("a", AS_OF - timedelta(days=8), 2.0)
    build(store, first, as_of=AS_OF - timedelta(days=8, hours=1))
    push_facts(store, VIEW, frame(wrong), arrived_at=0)
    push_facts(store, VIEW, frame(), retract=frame(wrong), arrived_at=0)
    seq = export_pushed(store, lake, VIEW)
    build(store, first, build="b2", pushed=pushed_facts(lake, "sales", seq), pushed_seq=seq)
    assert read(store)[0] == 1.0


def test_a_row_of_a_static_table_is_corrected(store):
    prices = pl.LazyFrame({"shop": ["a"], "amount": [1.0]})
    build_view(store, PRICES, prices, as_of=AS_OF, max_age=HOUR, build="p")
    old, new = [{"shop": "a", "amount": 1.0}], [{"shop": "a", "amount": 2.0}]
    push_facts(store, PRICES, new, retract=old, arrived_at=0)
    assert read(store, view=PRICES) == (2.0,)
    with pytest.raises(PushError, match="is not there to be taken back"):
        push_facts(store, PRICES, [], retract=old, arrived_at=0)
    push_facts(store, PRICES, [], retract=new, arrived_at=0)
    assert read(store, view=PRICES) == (None,)


def test_the_skew_check_knows_what_each_answer_could_know(store, tmp_path):
    lake = Lake(str(tmp_path))
    build(store, SALE)
    push(store, WRONG)
    push(store, RIGHT, retract=[WRONG])
    seq = export_pushed(store, lake, VIEW)
    made = store.build("sales")
    requests = pl.DataFrame(
        {"shop": ["a"] * 4, "due": [AS_OF] * 4, BUILD: [made.build] * 4, LAST_SEQ: [0, 1, 2, 3]},
        schema_overrides={"due": SCHEMA["at"]},
    )
    known = KnownFacts(VIEW, made.frame(), lambda _: frame(SALE).lazy(), pushed_facts(lake, "sales", seq))
    values = stored_values(requests, known, "due").select(VIEW.table_features).rows()
    assert values == [(4.0, 4.0, 1, 4.0), (9.0, 13.0, 2, 9.0), (4.0, 4.0, 1, 4.0), (5.0, 9.0, 2, 5.0)]


def test_a_file_of_before_facts_could_be_taken_back_goes_on(tmp_path):
    path = tmp_path / "old.db"
    store = open_store(f"sqlite:///{path}")
    build(store, SALE)
    push(store, WRONG)
    with sqlite3.connect(path) as old:
        for table in ("states", "notes", "refused"):
            old.execute(f"DROP TABLE {table}")
        old.execute("ALTER TABLE pushed DROP COLUMN retracts")
    store = open_store(f"sqlite:///{path}")
    assert read(store) == (9.0, 13.0, 2, 9.0)
    push(store, RIGHT, retract=[WRONG])
    assert read(store) == (5.0, 9.0, 2, 5.0)
    push(store, ("a", AS_OF, 1.0))
    assert read(store) == (1.0, 10.0, 3, 5.0)


def test_what_was_refused_is_in_the_lake_once(store, tmp_path):
    lake = Lake(str(tmp_path))
    for number in range(2):
        refused = [RefusedRow(f'{{"n":{number}}}', "rule", "n")]
        store.change(lambda _, rows=refused: Change(table="sales/validated", refused=rows), number)
        assert export_refused(store, lake, "sales/validated") == 1
    assert export_refused(store, lake, "sales/validated") == 0
    kept = lake.scan(quarantine_key("sales/validated")).sort(SEQ).collect()
    assert kept.drop("_arrived_at").rows() == [(1, '{"n":0}', "rule", "n"), (2, '{"n":1}', "rule", "n")]


def test_values_far_ahead_are_computed_once_from_the_store_and_then_from_what_was_read(store, monkeypatch):
    facts = [("a", AS_OF - timedelta(minutes=10 * n), float(n)) for n in range(12)]
    build(store, *facts)
    push(store, ("a", AS_OF, 100.0))
    features, opened, reading = OnlineFeatures(store, [VIEW]), [], store.reading
    monkeypatch.setattr(store, "reading", lambda: opened.append(1) or reading())

    def values(after):
        (fetched,) = features.fetch([{"shop": "a"}], microseconds(AS_OF + after))
        return tuple(fetched.values.values())

    # At AS_OF + 2 h 5 min those of the last 55 minutes are in the window, and the one that was pushed.
    far = timedelta(hours=2, minutes=5)
    for _ in range(3):
        assert values(far) == (100.0, 115.0, 7, 100.0)
    assert len(opened) == 1
    push(store, ("a", AS_OF + timedelta(hours=2), 1000.0))
    push(store, ("a", AS_OF + timedelta(hours=1), 10.0))
    assert values(far) == (1000.0, 1125.0, 9, 1000.0)
    push(store, retract=[("a", AS_OF, 100.0)])
    assert values(far) == (1000.0, 1025.0, 8, 1000.0)
    assert values(timedelta(minutes=1))[1:3] == (66.0, 12)
