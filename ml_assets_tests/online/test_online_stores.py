"""Builds, reads and pushes on a small shop, in every kind of store; expected values by hand."""

import math
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.lake import Lake
from ml_assets.online.build import build_view
from ml_assets.online.export import export_pushed, pushed_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import Pushed, PushError, push_facts
from ml_assets.online.stores.errors import NoBuild, OtherDeclaration, StaleBuild
from ml_assets.online.stores.opening import open_store
from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING, STALE, UNSEEN
from ml_assets.online.values.record import microseconds

MOMENT = pl.Datetime("us", "UTC")
AS_OF = datetime(2024, 3, 10, 12, tzinfo=UTC)
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)

SALES = FeatureViewSpec(
    name="sales", description="Sales of the store.", entity=["store"], spine_keys={"store": "shop"}, table="sales",
    known_at="known", ttl="3h", latest={"last_amount": "amount"}, windows=["2h"],
    aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}}, request={"weekday": "EXTRACT(dow FROM at)"},
)  # fmt: skip
STORES = FeatureViewSpec(
    name="stores", description="The store.", entity=["store"], spine_keys={"store": "shop"}, table="stores",
    lookups={"city": "city", "area": "area"},
)  # fmt: skip
CLOCK = FeatureViewSpec(name="clock", description="When.", entity=["id"], request={"hour": "EXTRACT(hour FROM at)"})

A_ROWS = [("a", AS_OF - HOUR, 10.0), ("a", AS_OF - 2 * HOUR, 5.0), ("a", AS_OF + HOUR, 99.0)]


def sales(*rows):
    return pl.DataFrame(rows, schema={"store": pl.String, "known": MOMENT, "amount": pl.Float64}, orient="row")


def stores(*rows):
    return pl.DataFrame(rows, schema={"store": pl.String, "city": pl.String, "area": pl.Int64}, orient="row")


def build_sales(store, *rows, build="b1", as_of=AS_OF, **more):
    return build_view(store, SALES, sales(*rows).lazy(), as_of=as_of, max_age=timedelta(days=1), build=build, **more)


def build_stores(store, *rows, build="s1", **more):
    return build_view(store, STORES, stores(*rows).lazy(), as_of=AS_OF, max_age=timedelta(days=1), build=build, **more)


def push(store, *rows, view=SALES, at=AS_OF):
    return push_facts(store, view, (stores if view is STORES else sales)(*rows), arrived_at=microseconds(at))


def read(store, shop, at, *views):
    (fetched,) = OnlineFeatures(store, views or [SALES]).fetch([{"shop": shop}], microseconds(at))
    return fetched


def values(store, shop, at):
    return tuple(read(store, shop, at).values.values())


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (AS_OF, (10.0, 10.0, 1)),  # (10:00, 12:00] has only the sale of 11:00
        (AS_OF + HOUR - MICROSECOND, (10.0, 10.0, 1)),
        (AS_OF + HOUR, (10.0, None, 0)),  # the sale of 11:00 is exactly two hours old
        (AS_OF + 2 * HOUR - MICROSECOND, (10.0, None, 0)),
        (AS_OF + 2 * HOUR, (None, None, 0)),  # and now three, which is the ttl
        (AS_OF + 24 * HOUR - MICROSECOND, (None, None, 0)),
    ],
)
def test_values_change_at_the_very_moment_a_fact_is_too_old(store, at, expected):
    build_sales(store, *A_ROWS)
    fetched = read(store, "a", at)
    assert tuple(fetched.values.values()) == expected
    # Of a view without another declaration: a build that is 18 hours old, with nothing reported since, is stale.
    assert fetched.states == {"sales": STALE if at >= AS_OF + 18 * HOUR else FRESH}
    assert fetched.versions == {"sales": ("b1@" + declaration_of(SALES), 0)}


def test_the_newest_fact_behind_the_values_is_told_until_none_is_left(store):
    build_sales(store, *A_ROWS)
    assert read(store, "a", AS_OF).known_at == {"sales": microseconds(AS_OF - HOUR)}
    assert read(store, "a", AS_OF + 2 * HOUR).known_at == {"sales": None}


def test_an_entity_without_facts_is_unseen_and_has_what_the_engine_gives_an_unknown_one(store):
    build_sales(store, *A_ROWS)
    for shop in ("new", None):
        fetched = read(store, shop, AS_OF)
        assert fetched.values == {"last_amount": None, "amount_sum_2h": None, "amount_count_2h": 0}
        assert (fetched.states, fetched.versions) == ({"sales": UNSEEN}, {"sales": ("b1@" + declaration_of(SALES), 0)})


def test_values_expire_with_the_build(store):
    build_sales(store, *A_ROWS)
    fetched = read(store, "a", AS_OF + 24 * HOUR)
    assert fetched.values == dict.fromkeys(["last_amount", "amount_sum_2h", "amount_count_2h"])
    assert fetched.states == {"sales": EXPIRED}


@pytest.mark.parametrize("built", [True, False])
def test_a_view_without_a_build_at_that_time_is_missing(store, built):
    if built:
        build_sales(store, *A_ROWS)
    fetched = read(store, "a", AS_OF - MICROSECOND)
    assert fetched.values == dict.fromkeys(["last_amount", "amount_sum_2h", "amount_count_2h"])
    assert (fetched.states, fetched.versions) == ({"sales": MISSING}, {})


def test_views_are_read_together_and_request_features_are_left_to_the_request(store):
    build_sales(store, *A_ROWS)
    build_stores(store, ("a", "Rome", 40))
    features = OnlineFeatures(store, [CLOCK, STORES, SALES])
    assert features.names == ["city", "area", "last_amount", "amount_sum_2h", "amount_count_2h"]
    rows = [{"shop": shop} for shop in ("a", "b")]
    first, second = features.fetch(rows, microseconds(AS_OF + 1000 * HOUR))
    assert first.states == {"stores": STALE, "sales": EXPIRED}
    assert (first.values["city"], first.values["area"]) == ("Rome", 40)
    assert second.states == {"stores": STALE, "sales": EXPIRED}
    assert OnlineFeatures(store, [CLOCK]).fetch(rows, 0)[1].values == {}


def test_a_static_table_is_taken_as_always_known(store):
    build_stores(store, ("a", "Rome", 40))
    push(store, ("b", "Oslo", 10), view=STORES)
    for at, states in ((AS_OF - 1000 * HOUR, [FRESH, FRESH, UNSEEN]), (AS_OF + 1000 * HOUR, [STALE] * 3)):
        found = [read(store, name, at, STORES) for name in "abc"]
        assert [each.states["stores"] for each in found] == states
        assert [each.values["city"] for each in found] == ["Rome", "Oslo", None]


def test_many_rows_are_read_at_once(store):
    build_stores(store, *((str(i), "Rome", i) for i in range(1000)))
    rows = [{"shop": str(i)} for i in range(1001)]
    found = OnlineFeatures(store, [STORES]).fetch(rows, microseconds(AS_OF))
    assert [one.values["area"] for one in found] == [*range(1000), None]


@pytest.mark.parametrize("number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 2.0, math.nan, None])
def test_floats_come_back_exactly_and_nan_as_null(store, number):
    build_sales(store, ("a", AS_OF, number))
    found = read(store, "a", AS_OF).values["last_amount"]
    if number is None or math.isnan(number):
        assert found is None
    else:
        assert (found, math.copysign(1, found), type(found)) == (number, math.copysign(1, number), float)


def test_other_types_come_back_as_they_are(store):
    view = STORES.model_copy(update={"lookups": {"big": "area", "name": "city", "large": "area > 3"}})
    table = stores(("a", 'say "Ω"', 2**63 - 1))
    build_view(store, view, table.lazy(), as_of=AS_OF, max_age=HOUR, build="s1")
    assert read(store, "a", AS_OF, view).values == {"big": 2**63 - 1, "name": 'say "Ω"', "large": True}


@pytest.mark.parametrize(
    ("amount", "expression", "told"),
    [
        (1.0, "known", "feature 'last_amount' is Datetime"),
        (math.inf, "amount", "feature 'last_amount' is infinite; if it divides, divide by NULLIF"),
    ],
)
def test_what_no_model_takes_is_refused_and_the_build_before_stays(store, amount, expression, told):
    build_sales(store, *A_ROWS)
    view = SALES.model_copy(update={"latest": {"last_amount": expression}, "aggregates": {}, "windows": []})
    with pytest.raises(FeatureError, match="feature view 'sales': " + told.replace("(", r"\(")):
        build_view(store, view, sales(("a", AS_OF, amount)).lazy(), as_of=AS_OF, max_age=HOUR, build="b2")
    assert read(store, "a", AS_OF).versions == {"sales": ("b1@" + declaration_of(SALES), 0)}


def test_the_record_of_a_build_tells_what_is_in_it(store):
    made = build_sales(store, *A_ROWS, ("b", AS_OF - 4 * HOUR, 1.0), table_version=7)
    assert store.build("sales") == made
    # Of a: now, when 11:00 leaves the window, when it passes the ttl; 9:00 of b is out of reach already.
    assert (made.entities, made.moments, made.table_version, made.pushed_seq) == (1, 3, 7, 0)
    assert (made.as_of, made.valid_until, made.max_known_at) == (AS_OF, AS_OF + 24 * HOUR, AS_OF - HOUR)
    assert made.frame().row(0, named=True) == made.model_dump()
    assert build_stores(store).frame().row(0, named=True)["valid_until"] is None


def test_a_pushed_fact_counts_from_when_it_was_known(store):
    build_sales(store, *A_ROWS)
    assert push(store, ("a", AS_OF + HOUR / 2, 7.0)) == Pushed(
        rows=1,
        entities=1,
        seq=1,
        complete_until=microseconds(AS_OF),  # a push does not say that there are no others
    )
    assert values(store, "a", AS_OF + HOUR / 2 - MICROSECOND) == (10.0, 10.0, 1)
    assert values(store, "a", AS_OF + HOUR / 2) == (7.0, 17.0, 2)
    assert values(store, "a", AS_OF + HOUR) == (7.0, 7.0, 1)
    assert read(store, "a", AS_OF + HOUR).versions == {"sales": ("b1@" + declaration_of(SALES), 1)}
    assert read(store, "a", AS_OF + HOUR).known_at == {"sales": microseconds(AS_OF + HOUR / 2)}


def test_a_fact_that_comes_late_counts_where_it_should(store):
    build_sales(store, *A_ROWS)
    push(store, ("a", AS_OF - HOUR / 2, 7.0), at=AS_OF + 5 * HOUR)
    assert values(store, "a", AS_OF) == (7.0, 17.0, 2)


def test_a_push_makes_an_entity_known(store):
    build_sales(store)
    push(store, ("new", AS_OF, 7.0), ("new", AS_OF, 3.0), ("other", AS_OF, 1.0))
    assert values(store, "new", AS_OF) == (7.0, 10.0, 2)
    assert read(store, "new", AS_OF).states == {"sales": FRESH}
    assert [row.seq for row in store.pushed_since("sales", 1)] == [2, 3]
    assert store.pushed_since("sales", 0)[0].arrived_at == microseconds(AS_OF)


def test_what_was_pushed_and_then_delivered_counts_once_and_twins_twice(store):
    build_sales(store, ("a", AS_OF, 4.0), ("a", AS_OF, 4.0))
    push(store, ("a", AS_OF, 4.0))
    assert values(store, "a", AS_OF)[1:] == (8.0, 2)
    push(store, ("a", AS_OF, 4.0), ("a", AS_OF, 4.0))
    assert values(store, "a", AS_OF)[1:] == (12.0, 3)


def test_static_facts_can_be_pushed_and_the_table_has_the_last_word(store):
    build_stores(store, ("a", "Rome", 40))
    push(store, ("b", "Oslo", 10), view=STORES)
    push(store, ("b", "Oslo", 10), view=STORES)
    assert read(store, "b", AS_OF, STORES).values == {"city": "Oslo", "area": 10}
    with pytest.raises(PushError, match=r"table 'stores' does not change, and has another row of \{'store': 'a'\}"):
        push(store, ("a", "Bern", 40), view=STORES)
    assert store.pushed_since("stores", 0)[-1].seq == 2
    pushed = stores(("b", "Oslo", 10))
    build_stores(store, ("a", "Rome", 40), ("b", "Bern", 20), build="s2", pushed=pushed.lazy(), pushed_seq=2)
    assert read(store, "b", AS_OF, STORES).values == {"city": "Bern", "area": 20}


def test_a_push_for_a_view_without_a_build_says_what_to_do(store):
    with pytest.raises(NoBuild, match="feature view 'sales' has no build in the online store: materialize online/sale"):
        push(store, ("a", AS_OF, 1.0))


JSON_ROW = {"store": "a", "known": "2024-03-10T12:00:00Z", "amount": 1.5}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"amount": "1.5"}, "row 1: 'amount' is '1.5'; it must be a finite number or null"),
        ({"amount": True}, "row 1: 'amount' is True; it must be a finite number or null"),
        ({"amount": math.nan}, "row 1: 'amount' is nan; it must be a finite number or null"),
        ({"store": None}, "row 1: 'store' is null; it must be text"),
        ({"store": 4}, "row 1: 'store' is 4; it must be text"),
        ({"known": None}, "row 1: 'known' is null; it must be a moment in ISO 8601 with its zone"),
        ({"known": "2024-03-10"}, "row 1: 'known' is '2024-03-10'; it must be a moment in ISO 8601 with its zone"),
        ({"known": 5}, "row 1: 'known' is 5; it must be a moment in ISO 8601 with its zone"),
        ({"price": 4}, "row 1: 'price' is no column that the view reads; it reads store, known, amount"),
    ],
)
def test_a_wrong_row_is_told_by_row_and_column_and_nothing_is_pushed(store, changed, told):
    build_sales(store)
    with pytest.raises(PushError) as caught:
        push_facts(store, SALES, [JSON_ROW, JSON_ROW | changed], arrived_at=0)
    assert str(caught.value) == f"feature view 'sales', {told}"
    assert store.pushed_since("sales", 0) == []


def test_a_row_that_lacks_a_column_and_no_rows_at_all_are_told(store):
    build_sales(store)
    with pytest.raises(PushError, match="row 0: 'amount' is missing; it must be a finite number or null"):
        push_facts(store, SALES, [{"store": "a", "known": "2024-03-10T12:00:00Z"}], arrived_at=0)
    with pytest.raises(PushError, match="feature view 'sales': no rows were pushed"):
        push_facts(store, SALES, [], arrived_at=0)
    with pytest.raises(PushError, match="the rows have no column 'known': it must be a moment in ISO 8601"):
        push_facts(store, SALES, sales(("a", AS_OF, 1.0)).drop("known"), arrived_at=0)


def test_rows_of_json_are_typed_as_the_table_is(store):
    build_sales(store)
    push_facts(store, SALES, [JSON_ROW | {"known": "2024-03-10T14:00:00.5+02:00", "amount": 2}], arrived_at=0)
    assert values(store, "a", AS_OF + timedelta(seconds=0.5)) == (2.0, 2.0, 1)


def test_a_push_while_a_build_is_made_is_in_it(store):
    class PushedMeanwhile:
        """The store, to which others push just before a build is published."""

        def __getattr__(self, name):
            return getattr(store, name)

        def publish(self, *given):
            push(store, ("a", AS_OF, 7.0), ("new", AS_OF, 3.0))
            store.publish(*given)

    build_sales(store)
    push(store, ("a", AS_OF, 2.0))
    build_sales(PushedMeanwhile(), build="b2", pushed=sales(("a", AS_OF, 2.0)).lazy(), pushed_seq=1)
    assert values(store, "a", AS_OF) == (7.0, 9.0, 2)
    assert values(store, "new", AS_OF) == (3.0, 3.0, 1)
    assert read(store, "a", AS_OF).versions == {"sales": ("b2@" + declaration_of(SALES), 2)}
    assert read(store, "new", AS_OF).versions == {"sales": ("b2@" + declaration_of(SALES), 3)}
    assert [row.seq for row in store.pushed_since("sales", 0)] == [2, 3]


def test_a_build_that_was_overtaken_is_not_read(store):
    slow = store.stage("sales", HOUR)
    made = build_sales(store, *A_ROWS, build="quick")
    with pytest.raises(StaleBuild, match="a newer build of feature view 'sales' was published while this one was made"):
        store.add("sales", slow, [], [("b", 0, "null,1.0,1.0,1")], 0)
    with pytest.raises(StaleBuild):
        store.publish(slow, made, "null,null,null,0", store.schema("sales"), lambda _: [])
    assert read(store, "a", AS_OF).versions == {"sales": (f"quick@{declaration_of(SALES)}", 0)}


def test_a_build_that_lacks_pushed_facts_of_the_one_before_is_not_read(store):
    build_sales(store)
    push(store, ("a", AS_OF, 2.0))
    build_sales(store, build="b2", pushed=sales(("a", AS_OF, 2.0)).lazy(), pushed_seq=1)
    with pytest.raises(StaleBuild):
        build_sales(store, build="b3")


def test_numbers_go_on_where_the_pushed_facts_of_the_lake_end(store):
    build_sales(store, pushed=sales(("a", AS_OF, 2.0)).lazy(), pushed_seq=41)
    assert push(store, ("a", AS_OF, 3.0)).seq == 42


def test_pushes_at_once_are_all_there_each_with_a_number_of_its_own(store):
    build_sales(store)
    seqs: list[int] = []

    def work(mine):
        for i in range(8):
            pushed = push(store, (mine, AS_OF, 1.0), ("all", AS_OF + i * MICROSECOND, 1.0))
            seqs.append(pushed.seq)

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(seqs) == list(range(2, 65, 2))
    assert values(store, "all", AS_OF + HOUR)[1:] == (32.0, 32)
    assert [values(store, name, AS_OF)[1:] for name in "abcd"] == [(8.0, 8)] * 4


@pytest.mark.parametrize("url", ["online.db", "postgres://host/db", "sqlite://", "sqlite:online.db"])
def test_an_address_of_no_store_says_how_to_write_one(url):
    with pytest.raises(ValueError, match=r"write sqlite:///path for a file"):
        open_store(url)


def with_latest(latest):
    return SALES.model_copy(update={"latest": latest})


@pytest.mark.parametrize(
    "other",
    [
        SALES.model_copy(update={"windows": ["3h"]}),
        SALES.model_copy(update={"ttl": "4h"}),
        with_latest({"last_amount": "amount * 2"}),
        with_latest({"first": "amount", "last_amount": "amount"}),
    ],
)
def test_what_another_declaration_has_built_is_missing_and_takes_no_facts(store, other):
    build_sales(store, *A_ROWS)
    (fetched,) = OnlineFeatures(store, [other]).fetch([{"shop": "a"}], microseconds(AS_OF))
    assert fetched.states == {"sales": MISSING}
    assert set(fetched.values.values()) == {None}
    assert fetched.versions == {}
    with pytest.raises(OtherDeclaration, match="another declaration of feature view 'sales': materialize online/sales"):
        push_facts(store, other, sales(("a", AS_OF, 1.0)), arrived_at=microseconds(AS_OF))


def test_the_order_of_features_is_part_of_the_declaration_and_their_description_is_not():
    both = {"last_amount": "amount", "double": "amount * 2"}
    assert declaration_of(with_latest(both)) != declaration_of(with_latest(dict(reversed(both.items()))))
    described = SALES.model_copy(update={"description": "Other words.", "request": {}})
    assert declaration_of(described) == declaration_of(SALES)


def test_facts_pushed_before_a_view_read_another_column_are_in_its_next_build(store, tmp_path):
    """The column that they do not have is null; what they have counts."""
    lake = Lake(str(tmp_path))
    build_sales(store, *A_ROWS)
    push(store, ("a", AS_OF - timedelta(minutes=5), 7.0))
    wider = with_latest({"last_amount": "amount", "last_kind": "kind"})
    table = sales(*A_ROWS).with_columns(kind=pl.lit("x"))
    seq = export_pushed(store, lake, wider)
    build_view(
        store, wider, table.lazy(), as_of=AS_OF, max_age=timedelta(days=1), build="b2",
        pushed=pushed_facts(lake, "sales", seq), pushed_seq=seq,
    )  # fmt: skip
    (fetched,) = OnlineFeatures(store, [wider]).fetch([{"shop": "a"}], microseconds(AS_OF))
    assert fetched.values == {"last_amount": 7.0, "last_kind": None, "amount_sum_2h": 17.0, "amount_count_2h": 2}
