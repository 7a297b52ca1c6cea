"""A build that computes only what may have changed, in parts, killed or not: what is kept equals a build of all."""

import shutil
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.building.affected import CHANGE, affected_entities
from ml_assets.online.building.plan import BuildPlan
from ml_assets.online.facts.blob import decode_facts
from ml_assets.online.facts.union import RETRACTS, SEQ, reachable_facts
from ml_assets.online.push import PushError, push_facts
from ml_assets.online.stores.errors import StaleBuild
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.keys import entity_key, with_entity
from ml_assets.online.values.record import Build, microseconds

START = datetime(2024, 3, 1, tzinfo=UTC)
MAX_AGE = timedelta(minutes=8)
COLUMNS = {
    "shop": pl.String,
    "paid_at": pl.Datetime("us", "UTC"),
    "amount": pl.Float64,
    "until": pl.Datetime("us", "UTC"),
}
SHOPS = "abcdefgh"
BASE = {"description": "How shops do.", "entity": ["shop"], "table": "orders", "known_at": "paid_at"}
SUMS = {"amount": {"of": "amount", "functions": ["sum", "max"]}, "orders": {"functions": ["count"], "windows": ["3m"]}}
VIEWS = [
    FeatureViewSpec(name="windows", windows=["2m", "5m"], aggregates=SUMS, **BASE),
    FeatureViewSpec(name="ever", latest={"ever": "amount"}, windows=["2m"], aggregates=SUMS, **BASE),
    FeatureViewSpec(name="while", latest={"now": "amount"}, ttl="4m", **BASE),
    FeatureViewSpec(
        name="earlier", windows=["2m"], **BASE,
        aggregates={"before": {"of": "amount", "functions": ["sum"], "offset": "3m"}},
        lags={"ago": {"of": "amount", "offset": "2m"}, "long": {"of": "amount", "offset": "5m", "ttl": "1m"}},
    ),
    FeatureViewSpec(
        name="planned", **BASE,
        planned={
            "valid_at": "until", "ahead": ["3m"],
            "aggregates": {"due": {"of": "amount", "functions": ["count", "max"]}},
            "holding": {"soon": {"of": "amount", "after": "2m"}},
        },
    ),
]  # fmt: skip
_names = count()


def frame(facts) -> pl.DataFrame:
    return pl.DataFrame(facts, schema=COLUMNS, orient="row")


def difference(before: pl.DataFrame, after: pl.DataFrame) -> pl.LazyFrame:
    """The rows of both, as files that only one version has would give them."""
    return pl.concat([
        after.with_columns(pl.lit(1, pl.Int8).alias(CHANGE)), before.with_columns(pl.lit(-1, pl.Int8).alias(CHANGE)),
    ]).lazy()  # fmt: skip


moment = st.integers(0, 40).map(lambda halves: START + timedelta(seconds=30 * halves))
fact = st.tuples(st.sampled_from(SHOPS), moment, st.none() | st.sampled_from([0.1, 0.2, -4.0, 20.0]), moment)
step = st.tuples(
    st.lists(fact, max_size=3),  # delivered, early or late
    st.lists(st.integers(0, 99), max_size=2),  # no longer in the table
    st.lists(st.tuples(fact, st.booleans()), max_size=2),  # pushed, and taken back right after
    st.integers(0, 2),  # the last pushed, left out of the build
    st.integers(0, 4) | st.just(18),  # half minutes until the next build, also when the one before has expired
)


@pytest.fixture(scope="module")
def file_store(tmp_path_factory):
    made = open_store(f"sqlite:///{tmp_path_factory.mktemp('updates')}/online.db")
    yield made
    made.close()


@pytest.fixture(params=["file_store", "empty_postgres", "empty_redis"])
def store(request):
    made = request.getfixturevalue(request.param)
    return made() if callable(made) else made


def kept(store, view, end):
    """What a store holds: of each entity its values at every half minute and the facts that can matter."""
    with store.reading() as reading:
        built = reading.built(view.name)
        blobs = reading.facts(built.number, [entity_key([shop]) for shop in SHOPS])
    facts = decode_facts(blobs, built.schema)
    table, pushed = facts.filter(~pl.col("__pushed__")).lazy(), facts.filter("__pushed__").lazy()
    reach = with_entity(view, reachable_facts(view, table, pushed, built.build.begin).collect())
    begin, read = built.build.begin, {}
    for at in range(begin, end, 15_000_000):
        rows = store.read([(view.name, entity_key([shop])) for shop in SHOPS], at)
        for shop, row in zip(SHOPS, rows, strict=True):
            read[shop, at] = (repr(row.values), row.known_at, row.seen, row.seq, row.valid_until, row.ready)
    return read, Counter(reach.rows()), set(blobs), built.build.entities, built.build.max_known_at


SEEDED = settings(
    derandomize=True, deadline=None, max_examples=10, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
cases = given(st.sampled_from(VIEWS), st.lists(fact, min_size=8, max_size=14), st.lists(step, min_size=1, max_size=3))


@SEEDED
@cases
def test_an_update_keeps_what_a_build_of_all_entities_keeps(file_store, monkeypatch, view, first, steps):
    monkeypatch.setattr("ml_assets.online.build.UPDATED_SHARE", 100.0)
    compare_update(file_store, view, first, steps)


@settings(SEEDED, max_examples=3)
@cases
def test_an_update_in_a_database_keeps_it_too(empty_postgres, monkeypatch, view, first, steps):
    monkeypatch.setattr("ml_assets.online.build.UPDATED_SHARE", 100.0)
    compare_update(empty_postgres(), view, first, steps)


@settings(SEEDED, max_examples=3)
@cases
def test_an_update_in_redis_keeps_it_too(empty_redis, monkeypatch, view, first, steps):
    monkeypatch.setattr("ml_assets.online.build.UPDATED_SHARE", 100.0)
    compare_update(empty_redis(), view, first, steps)


def compare_update(store, view, first, steps):
    """Builds and updates a view beside one that is built of all entities each time, and compares what is kept."""
    updated, whole = (view.model_copy(update={"name": f"{view.name}_{next(_names)}"}) for _ in range(2))
    as_of, tables, pushed, taken = START + timedelta(minutes=8), [frame(first)], [], 0

    def build(view, **more):
        rows = pl.DataFrame(
            [(*row, seq, back) for seq, (row, back) in enumerate(pushed[:taken], 1)],
            schema=COLUMNS | {SEQ: pl.Int64, RETRACTS: pl.Boolean}, orient="row",
        )  # fmt: skip
        build_view(
            store, view, tables[-1].lazy(), as_of=as_of, build=f"b{len(tables)}", pushed=rows.lazy(), pushed_seq=taken,
            table_version=len(tables), max_age=MAX_AGE, facts_in_part=3, chunk=3, **more,
        )  # fmt: skip

    build(updated)
    build(whole)
    for delivered, gone, live, left_out, halves in steps:
        for row, back in live:
            pushed += push(store, whole, row, back, as_of)
            push(store, updated, row, back, as_of)
        rows = tables[-1].rows()
        left = [row for place, row in enumerate(rows) if place not in {each % len(rows) for each in gone}]
        tables.append(frame([*left, *delivered]))
        as_of += timedelta(seconds=30 * halves)
        taken = max(taken, len(pushed) - left_out)
        build(updated, changed_since=lambda version: difference(tables[version - 1], tables[-1]))
        build(whole)
        end = microseconds(as_of + MAX_AGE)
        assert kept(store, updated, end) == kept(store, whole, end)


def push(store, view, row, back, as_of) -> list:
    """Push a fact, and take it back if that is allowed; gives what was done."""
    push_facts(store, view, frame([row]), arrived_at=microseconds(as_of))
    if not back:
        return [(row, False)]
    try:
        push_facts(store, view, frame([]), arrived_at=microseconds(as_of), retract=frame([row]))
    except PushError:  # The oldest row that is kept: an update may keep an older one.
        return [(row, False)]
    return [(row, False), (row, True)]


def test_only_entities_that_may_have_changed_are_computed(store):
    """Of thirty shops one has news, one only a fact that has become too old, and one is gone."""
    view, begin = VIEWS[0].model_copy(update={"name": "few"}), START + timedelta(hours=1)
    before = frame(
        [(f"s{n}", begin - (timedelta(minutes=4) if n == 1 else timedelta(seconds=10)), 1.0, None) for n in range(30)]
    )
    build_view(
        store, view, before.lazy(), as_of=begin, max_age=timedelta(minutes=10), build="b1", table_version=1
    )  # fmt: skip
    after = frame(
        [row for row in before.rows() if row[0] != "s2"] + [("s0", begin + timedelta(seconds=1), 2.0, None)]
    )  # fmt: skip
    made = build_view(
        store, view, after.lazy(), as_of=begin + timedelta(seconds=65), max_age=timedelta(minutes=10), build="b2",
        table_version=2, changed_since={1: difference(before, after)}.get,
    )  # fmt: skip
    # At 1 min 5 s, and when either fact of s0 leaves windows of 2, 3 and 5 minutes.
    assert (made.entities, made.moments) == (28, 7)
    assert made.max_known_at == begin + timedelta(seconds=1)


@pytest.mark.parametrize(("left", "back", "moments"), [(True, False, 0), (True, True, 1), (False, False, 0)])
def test_an_entity_of_which_facts_got_too_old_is_left_as_it_was_while_another_is_there(file_store, left, back, moments):
    """Of s1 the build before knows when the fact leaves its windows; with none left it is an entity no more."""
    view, begin = VIEWS[0].model_copy(update={"name": f"fading_{next(_names)}"}), START + timedelta(hours=1)
    old, new = ("s1", begin - timedelta(minutes=4, seconds=30), 1.0, None), ("s1", begin, 2.0, None)
    table = frame([(f"s{n}", begin, 4.0, None) for n in range(2, 30)] + [old] + [new] * (1 + back) * left)
    pushed = frame([new]).with_columns(pl.lit(1).alias(SEQ), pl.lit(True).alias(RETRACTS)).filter(back).lazy()

    def build(view, later, **more):
        return build_view(
            file_store, view, table.lazy(), as_of=begin + later, max_age=timedelta(minutes=1), build=f"b{later}",
            table_version=1, pushed=pushed, pushed_seq=int(back), **more,
        )  # fmt: skip

    build(view, timedelta(0))
    made = build(view, timedelta(seconds=45), changed_since={1: difference(table, table)}.get)
    assert (made.entities, made.moments) == (28 + left, moments)
    whole = view.model_copy(update={"name": f"{view.name}_whole"})
    build(whole, timedelta(seconds=45))
    read = [file_store.read([(each.name, '["s1"]')], microseconds(begin) + 50_000_000)[0] for each in (view, whole)]
    assert (
        (read[0].values, read[0].seen)
        == (read[1].values, read[1].seen)
        == ([*[2.0 * left or None] * 4, 1 * left], left)
    )


@pytest.mark.parametrize(
    ("store", "update"),
    [("file_store", True), ("file_store", False), ("empty_postgres", True), ("empty_redis", True)],
    indirect=["store"],
)
def test_a_build_that_is_killed_goes_on_behind_its_last_part(store, monkeypatch, update):
    monkeypatch.setattr("ml_assets.online.build.UPDATED_SHARE", 1.0)
    before = frame([(shop, START + timedelta(seconds=place), 1.0, None) for place, shop in enumerate(SHOPS)])
    after = pl.concat([before, before.head(5).with_columns(amount=2.0)])
    options = {"max_age": MAX_AGE, "facts_in_part": 2}
    add, added = store.add, []

    def build(view, name, version, table, **more):
        more = {"changed_since": {1: difference(before, after)}.get} if update and version == 2 else more
        as_of = START + timedelta(minutes=version)
        return build_view(store, view, table.lazy(), as_of=as_of, build=name, table_version=version, **options, **more)

    def add_some(*arguments):
        if len(added) == killed_after:
            raise KeyboardInterrupt
        added.append(arguments)
        add(*arguments)

    whole = VIEWS[0].model_copy(update={"name": f"all_{next(_names)}"})
    build_view(store, whole, after.lazy(), as_of=START + timedelta(minutes=2), build="b", **options)
    expected = kept(store, whole, microseconds(START + MAX_AGE))
    killed_after, parts = 0, 1
    while killed_after < parts:
        view = VIEWS[0].model_copy(update={"name": f"killed_{next(_names)}"})
        old = build(view, "old", 1, before)
        added.clear()
        with monkeypatch.context() as killed:
            killed.setattr(store, "add", add_some)
            with pytest.raises(KeyboardInterrupt):
                build(view, "new", 2, after)
        assert store.build(view.name) == old
        assert store.read([(view.name, '["a"]')], microseconds(START + timedelta(minutes=2)))[0].values[1] == 1.0
        parts = len(store_plan(store, view).ranges) + 1
        done, killed_after = killed_after, -1
        with monkeypatch.context() as counted:
            counted.setattr(store, "add", add_some)
            made = build(view, "again", 2, after)
        assert (made.build.partition("@")[0], len(added)) == ("new", parts)
        assert kept(store, view, microseconds(START + MAX_AGE)) == expected
        killed_after = done + 1
    assert parts > 2


def test_two_that_make_one_build_count_a_part_without_rows_once(store, monkeypatch):
    """All facts of the first part are taken back; a second process goes on with the build while the first lives."""
    view = VIEWS[0].model_copy(update={"name": f"two_{next(_names)}"})
    back = pl.DataFrame(
        [(shop, START, 1.0, None, seq, True) for seq, shop in enumerate("ab", 1)],
        schema=COLUMNS | {SEQ: pl.Int64, RETRACTS: pl.Boolean}, orient="row",
    )  # fmt: skip
    add, calls = store.add, []

    def build(name):
        return build_view(
            store, view, frame([(shop, START, 1.0, None) for shop in SHOPS]).lazy(), as_of=START, max_age=MAX_AGE,
            build=name, table_version=1, pushed=back.lazy(), pushed_seq=2, facts_in_part=2,
        )  # fmt: skip

    def add_beside_another(*arguments):
        calls.append(arguments)
        if len(calls) == 1:  # The other adds this part and is killed at the next.
            with pytest.raises(KeyboardInterrupt):
                build("second")
        elif len(calls) == 3:
            raise KeyboardInterrupt
        add(*arguments)

    with monkeypatch.context() as beside:
        beside.setattr(store, "add", add_beside_another)
        with pytest.raises(StaleBuild):
            build("first")
    assert [list(call[2]) for call in calls[:2]] == [[], []]
    assert store.unfinished(view.name).parts == 1
    made = build("third")
    assert (made.build.partition("@")[0], made.entities) == ("first", 6)
    read = store.read([(view.name, entity_key([shop])) for shop in SHOPS], microseconds(START))
    assert [row.seen for row in read] == [False, False, *[True] * 6]


def test_what_is_begun_of_other_facts_is_not_gone_on_with(store, monkeypatch):
    view, table = VIEWS[0].model_copy(update={"name": f"other_{next(_names)}"}), frame([("a", START, 1.0, None)]).lazy()
    publish = store.publish
    monkeypatch.setattr(store, "publish", lambda *_: None)
    begun = build_view(store, view, table, as_of=START, max_age=MAX_AGE, build="begun", table_version=1)
    for number, (version, later, age) in enumerate([(2, 0, 0), (1, 1, 0), (1, 0, 1), (None, 0, 0)]):
        made = build_view(
            store, view, table, as_of=START + timedelta(minutes=later), max_age=MAX_AGE + timedelta(minutes=age),
            build=f"b{number}", table_version=version,
        )  # fmt: skip
        assert made.build != begun.build
    monkeypatch.setattr(store, "publish", publish)


@pytest.mark.parametrize("noted", [True, False])
def test_what_is_begun_of_facts_with_other_columns_is_not_gone_on_with(store, monkeypatch, noted):
    """The first fact ever is taken back after a build was given up: facts have a column more from then on."""
    view, at = VIEWS[0].model_copy(update={"name": f"columns_{next(_names)}"}), START + timedelta(minutes=1)
    table = frame([(shop, START, 1.0, None) for shop in SHOPS]).lazy()
    back = frame([("h", START, 1.0, None)])

    def build(name, as_of, *pushed):
        rows = (
            pl.concat([row.with_columns(pl.Series(SEQ, [1 + n])) for n, row in enumerate(pushed)]) if pushed else None
        )
        return build_view(
            store, view, table, as_of=as_of, build=name, max_age=MAX_AGE, table_version=1, facts_in_part=2,
            pushed=None if rows is None else rows.lazy(), pushed_seq=len(pushed),
        )  # fmt: skip

    build("old", START)
    new = frame([("b", START, 5.0, None)])
    push_facts(store, view, new, arrived_at=0)
    add, added = store.add, []

    def add_some(*arguments):
        if len(added) == 3:
            raise KeyboardInterrupt
        added.append(arguments)
        add(*arguments)

    with monkeypatch.context() as killed:
        killed.setattr(store, "add", add_some)
        if not noted:  # as plans were before
            killed.setattr("ml_assets.online.build._digest", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            build("killed", at, new)
    push_facts(store, view, frame([]), arrived_at=0, retract=back)
    made = build(
        "again", at, new.with_columns(pl.lit(False).alias(RETRACTS)), back.with_columns(pl.lit(True).alias(RETRACTS))
    )
    assert (made.build.partition("@")[0], made.entities) == ("again", 7)
    for shop in SHOPS:
        push_facts(store, view, frame([(shop, at, 100.0, None)]), arrived_at=0)
    read = store.read([(view.name, entity_key([shop])) for shop in SHOPS], microseconds(at))
    assert [row.values[0] for row in read] == [101.0, 106.0, *[101.0] * 5, 100.0]


def test_an_update_of_a_table_that_does_not_change_by_time(store):
    view = FeatureViewSpec(name="static", description="Of shops.", entity=["shop"], table="shops",
                           lookups={"amount": "amount"})  # fmt: skip
    before = frame([(f"s{n}", START, float(n), None) for n in range(30)]).select("shop", "amount")
    after = before.filter(pl.col("shop") != "s1").with_columns(
        amount=pl.when(pl.col("shop") == "s2").then(-1.0).otherwise("amount")
    )
    after = pl.concat([after, pl.DataFrame({"shop": ["new"], "amount": [7.0]})])
    options = {"as_of": START, "max_age": MAX_AGE}
    build_view(store, view, before.lazy(), build="b1", table_version=1, **options)
    made = build_view(
        store, view, after.lazy(), build="b2", table_version=2, **options,
        changed_since={1: difference(before, after)}.get,
    )  # fmt: skip
    assert (made.entities, made.moments) == (30, 2)
    read = store.read([("static", entity_key([shop])) for shop in ("s1", "s2", "s3", "new")], microseconds(START))
    assert [(row.values, row.seen, row.build) for row in read] == [
        ([None], False, made.build), ([-1.0], True, made.build), ([3.0], True, made.build), ([7.0], True, made.build),
    ]  # fmt: skip


def test_what_changed_is_read_from_the_versions_of_a_table_in_the_lake(file_store, tmp_path):
    view, lake = VIEWS[0].model_copy(update={"name": "of_lake"}), Lake(str(tmp_path / "lake"))
    rows = frame([(f"s{n}", START, float(n), None) for n in range(30)])
    lake.replace("orders", rows.with_columns(day=pl.lit("1")), {"day": ["1"]})

    def build(later: timedelta):
        version = lake.version("orders")
        return build_view(
            file_store, view, lake.scan("orders", version), as_of=START + later, max_age=timedelta(minutes=20),
            build=f"b{version}", table_version=version,
            changed_since=lambda since: lake.changed_rows("orders", since, version, change=CHANGE, most=1000),
        )  # fmt: skip

    assert build(timedelta(0)).moments == 30 * 4
    # The same day again, of which one row is another; and a row of the next day, which is not known yet.
    changed = rows.with_columns(amount=pl.when(pl.col("shop") == "s4").then(-4.0).otherwise("amount"))
    lake.replace("orders", changed.with_columns(day=pl.lit("1")), {"day": ["1"]})
    lake.append(
        "orders", frame([("s5", START + timedelta(seconds=2), 0.5, None)]).with_columns(day=pl.lit("2")), ["day"]
    )
    assert build(timedelta(seconds=1)).moments == 4
    made = build(timedelta(seconds=2))
    assert (made.entities, made.moments) == (30, 7)
    read = file_store.read([("of_lake", f'["s{n}"]') for n in (3, 4, 5)], microseconds(START + timedelta(seconds=2)))
    assert [row.values[0] for row in read] == [3.0, -4.0, 5.5]


@pytest.mark.parametrize(
    ("was", "becomes"), [(0.0, -0.0), (-0.0, 0.0), (None, -0.0), (0.0, None), (float("nan"), -0.0)]
)
def test_a_zero_of_the_other_sign_is_a_change(was, becomes):
    before = frame([("a", START, was, None), ("b", START, -0.0, None), ("c", START, float("nan"), None)])
    after = frame([("a", START, becomes, None), *before.rows()[1:]])
    record = Build(view="windows", build="b", as_of=START, valid_until=None, table_version=1, pushed_seq=0)
    found = affected_entities(VIEWS[0], record, record, after.lazy(), None, difference(before, after))
    assert found["shop"].to_list() == ["a"]


@pytest.mark.parametrize("how", ["anew", "restored", "of an older record", "given up"])
def test_a_table_that_was_made_anew_is_no_later_version_of_the_old_one(file_store, tmp_path, monkeypatch, how):
    """It has the old version numbers again, of other rows."""
    view, lake = VIEWS[0].model_copy(update={"name": f"anew_{next(_names)}"}), Lake(str(tmp_path / "lake"))
    table = tmp_path / "lake" / "orders"
    lake.replace("orders", frame([("x", START, 0.0, None)]))
    shutil.copytree(table, tmp_path / "backup")

    def build(seconds, files_of=lambda version: lake.files("orders", version)):
        version = lake.version("orders")
        return build_view(
            file_store, view, lake.scan("orders", version), as_of=START + timedelta(seconds=seconds), max_age=MAX_AGE,
            build=f"b{seconds}", table_version=version, files_of=files_of,
            changed_since=lambda since: lake.changed_rows("orders", since, version, change=CHANGE, most=1000),
        )  # fmt: skip

    lake.replace("orders", frame([(f"s{n}", START, 1.0, None) for n in range(30)]))
    if how == "given up":
        with monkeypatch.context() as given_up:
            given_up.setattr(file_store, "publish", lambda *_: None)
            build(0)
    else:
        build(0, **({"files_of": None} if how == "of an older record" else {}))
    shutil.rmtree(table)
    if how == "restored":
        shutil.copytree(tmp_path / "backup", table)
    else:
        lake.replace("orders", frame([("x", START, 0.0, None)]))
    lake.replace("orders", frame([(f"s{n}", START, 50.0, None) for n in range(30)]))
    made = build(0 if how == "given up" else 1)
    assert (made.table_version, made.entities, made.moments) == (1, 30, 30 * 4)
    (row,) = file_store.read([(view.name, '["s3"]')], microseconds(START + timedelta(seconds=2)))
    assert row.values[0] == 50.0
    assert build(2).moments == 0  # of the same version still: nothing has changed


@pytest.mark.parametrize("made_before", [True, False])
def test_a_file_gives_back_what_a_build_no_longer_needs(tmp_path, monkeypatch, made_before):
    monkeypatch.setattr("ml_assets.online.stores.sqlite.file._LEFT_FREE", 10)
    path = tmp_path / "online.db"
    if made_before:  # as files were that could not shrink
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE notes (key TEXT PRIMARY KEY, text TEXT, until INTEGER) WITHOUT ROWID")
    store = open_store(f"sqlite:///{path}")
    rows = [(f"s{n}", START, float(n), None) for n in range(3000)]
    sizes = []
    for count_of_shops, build in ((3000, "b1"), (3000, "b2"), (3000, "b3"), (100, "b4")):
        build_view(store, VIEWS[0], frame(rows[:count_of_shops]).lazy(), as_of=START, max_age=MAX_AGE, build=build)
        with sqlite3.connect(path) as db:
            sizes.append(db.execute("PRAGMA page_count").fetchone()[0])
    assert sizes[1] < 1.3 * sizes[0] or made_before
    assert sizes[2] < 1.3 * sizes[0] or made_before
    assert sizes[3] < 0.3 * sizes[0]
    (row,) = store.read([("windows", '["s7"]')], microseconds(START))
    assert row.values == [7.0, 7.0, 7.0, 7.0, 1]
    store.close()


def store_plan(store, view):
    return BuildPlan.model_validate_json(store.unfinished(view.name).plan)
