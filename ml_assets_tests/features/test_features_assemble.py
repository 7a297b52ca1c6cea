import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features, stored_rows

NOON, ONE = datetime(2020, 5, 1, 12, tzinfo=UTC), datetime(2020, 5, 1, 13, tzinfo=UTC)


def view(name="sales", feature="paid", **more):
    fields = {"entity": ["shop"], "table": "orders", "known_at": "at", "latest": {feature: "amount"}}
    return FeatureViewSpec(name=name, description="", **(fields | more))


def of_request(name="plain", **request):
    return FeatureViewSpec(name=name, description="", entity=["row"], request=request)


def spine():
    return pl.DataFrame({"row": [1, 2, 3, 4], "shop": ["b", "a", None, "a"], "time": [NOON, NOON, NOON, ONE]})


def stored(spec=None):
    spec = spec or view()
    rows = pl.DataFrame({"shop": ["a", "a", "b", None], "time": [NOON, ONE, NOON, NOON]})
    values = pl.Series([1.0, 2.0, 3.0, None])
    return stored_rows(spec, rows, pl.DataFrame(dict.fromkeys(stored_features(spec), values)), "time").lazy()


def facts():
    return pl.LazyFrame({"shop": ["a", "b"], "at": [NOON, NOON], "amount": [10.0, 30.0]})


def given_of(spec, table=None, **more):
    return ViewTables(spec, table, facts() if spec.table else None, **more)


def test_each_row_gets_the_features_of_its_own_entity_and_time_in_the_order_of_the_spine():
    joined = join_features(spine(), [given_of(view(), stored())], time="time")
    assert joined["row"].to_list() == [1, 2, 3, 4]
    assert joined["paid"].to_list() == [3.0, 1.0, None, 2.0]
    assert joined.columns == ["row", "shop", "time", "paid"]


def test_several_views_stand_side_by_side():
    visits = view("visits", "seen")
    views = [given_of(view(), stored()), given_of(visits, stored(visits))]
    assert join_features(spine(), views, time="time").columns == ["row", "shop", "time", "paid", "seen"]


def test_a_row_that_a_view_was_not_computed_for_is_an_error_and_not_a_null():
    held = stored().filter(pl.col("time") == NOON)
    with pytest.raises(FeatureError, match=r"'sales' holds nothing for 1 of 4 rows.*materialize features/sales"):
        join_features(spine(), [given_of(view(), held)], time="time")


def test_what_nobody_stores_is_computed_where_that_is_wanted():
    held = stored().filter(pl.col("time") == NOON)
    joined = join_features(spine(), [given_of(view(), held, computed=True)], time="time")
    assert joined["paid"].to_list() == [3.0, 1.0, None, 10.0]
    assert join_features(spine(), [given_of(view(), computed=True)], time="time")["paid"].to_list() == [
        30.0, 10.0, None, 10.0,
    ]  # fmt: skip


def test_rows_that_another_declaration_has_stored_are_computed_again():
    doubled = view(latest={"paid": "amount * 2"})
    joined = join_features(spine(), [given_of(doubled, stored())], time="time")
    assert joined["paid"].to_list() == [60.0, 20.0, None, 20.0]


def test_a_table_from_before_declarations_were_kept_is_computed_again():
    joined = join_features(spine(), [given_of(view(), stored().drop("_declaration"))], time="time")
    assert joined["paid"].to_list() == [30.0, 10.0, None, 10.0]


def test_a_part_of_the_rows_stored_by_another_declaration_is_computed_again():
    older = stored(view(latest={"paid": "amount * 2"})).filter(pl.col("time") == ONE)
    held = pl.concat([stored().filter(pl.col("time") == NOON), older])
    assert join_features(spine(), [given_of(view(), held)], time="time")["paid"].to_list() == [3.0, 1.0, None, 10.0]


def test_rows_stored_of_another_drop_are_none_of_this_one():
    spec, rows = view(), spine().select("shop", "time").with_columns(month=pl.lit("may"))
    held = [
        stored_rows(spec, rows.with_columns(month=pl.lit(month)), pl.DataFrame({"paid": [value] * 4}), "month", "time")
        for month, value in (("may", 1.0), ("june", 2.0))
    ]
    joined = join_features(rows, [given_of(spec, pl.concat(held).lazy())], time="time", drop="month")
    assert joined["paid"].to_list() == [1.0] * 4


def test_a_row_stored_twice_is_not_chosen_from():
    twice = pl.concat([stored(), stored().with_columns(pl.col("paid") * 2)])
    with pytest.raises(pl.exceptions.ComputeError, match="m:1"):
        join_features(spine(), [given_of(view(), twice)], time="time")


def test_one_name_in_two_views_is_refused():
    views = [given_of(view(), stored()), given_of(view("visits"), stored())]
    with pytest.raises(FeatureError, match="'paid' is in views 'sales' and 'visits'"):
        join_features(spine(), views, time="time")


def test_a_feature_may_hand_on_a_spine_column_but_not_take_its_name_for_another_thing():
    plain = given_of(of_request(shop="shop"))
    assert join_features(spine(), [plain], time="time").columns == ["row", "shop", "time"]
    other = given_of(of_request(shop="UPPER(shop)"))
    with pytest.raises(FeatureError, match="'shop' bears the name of a spine column"):
        join_features(spine(), [other], time="time")


def test_a_feature_may_bear_the_name_of_a_column_that_is_read_but_not_carried():
    views = [given_of(of_request(shop="UPPER(shop)")), given_of(of_request("again", same="shop"))]
    joined = join_features(spine(), views, time="time", carried=["row", "time"])
    assert joined.rows() == [
        (1, NOON, "B", "b"), (2, NOON, "A", "a"), (3, NOON, None, None), (4, ONE, "A", "a"),
    ]  # fmt: skip


# --- spines whose rows share entity and time: what a row holds itself must never come from another row

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SPINE = {"id": pl.Int64, "shop": pl.String, "km": pl.Int64, "due": MOMENT, "month": pl.String}
FACTS = {"shop": pl.String, "at": MOMENT, "amount": pl.Int64}
MIXED = FeatureViewSpec(
    name="mixed", description="", entity=["shop"], table="orders", known_at="at", windows=["2m"],
    latest={"last": "amount"}, aggregates={"amount": {"of": "amount", "functions": ["sum", "count"]}},
    request={"km3": "km * 3"},
)  # fmt: skip
WITHOUT_ENTITY = FeatureViewSpec(name="request", description="", request={"km4": "km * 4"})
STATIC = FeatureViewSpec(
    name="shops", description="", entity=["shop"], table="shops", lookups={"size": "size"}, request={"km5": "km * 5"}
)
SHOPS = pl.LazyFrame({"shop": ["a", "b"], "size": [1, 2]})
times = st.integers(0, 4).map(lambda minute: START + timedelta(minutes=minute))
shops = st.sampled_from(["a", "b", "unseen", None])
numbers, months = st.none() | st.integers(-9, 9), st.sampled_from(["may", "june"])
rows_of = st.lists(st.tuples(shops, numbers, times, months), max_size=12)
events_of = st.lists(st.tuples(shops, times, numbers), max_size=12)
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def oracle(row, events):
    known = [e for e in events if row["shop"] is not None and e[0] == row["shop"] and e[1] <= row["due"]]
    inside = [e[2] for e in known if e[1] > row["due"] - timedelta(minutes=2) and e[2] is not None]
    # Of equal moments the largest amount wins, null is the smallest.
    last = max(known, key=lambda e: (e[1], -math.inf if e[2] is None else e[2]), default=(None,) * 3)
    times_km = [None if row["km"] is None else row["km"] * factor for factor in (3, 4, 5)]
    return {
        "last": last[2], "amount_sum_2m": sum(inside) if inside else None, "amount_count_2m": len(inside),
        "km3": times_km[0], "km4": times_km[1], "size": {"a": 1, "b": 2}.get(row["shop"]), "km5": times_km[2],
    }  # fmt: skip


def kept(spec, rows, table):
    computed = compute_features(spec, rows, table, time="due")
    return ViewTables(spec, stored_rows(spec, rows, computed, "month", "due").lazy(), table)


@pytest.mark.slow
@SEEDED
@given(rows_of, events_of)
def test_every_row_has_its_own_values_however_many_share_entity_and_time(rows, events):
    spine_rows = pl.DataFrame([(n, *row) for n, row in enumerate(rows)], schema=SPINE, orient="row")
    table = pl.LazyFrame(events, schema=FACTS, orient="row")
    views = [kept(MIXED, spine_rows, table), ViewTables(WITHOUT_ENTITY, None, None), kept(STATIC, spine_rows, SHOPS)]
    joined = join_features(spine_rows, views, time="due", drop="month", carried=["id"])
    expected = [oracle(row, events) for row in spine_rows.iter_rows(named=True)]
    assert joined.drop("id").to_dicts() == expected
    assert joined["id"].to_list() == list(range(len(rows)))
    for tables in views:
        assert find_leaks(tables.view, joined, tables.facts, time="due", spine=spine_rows).is_empty()
    computed = [ViewTables(tables.view, None, tables.facts, computed=True) for tables in views]
    assert_frame_equal(join_features(spine_rows, computed, time="due", drop="month", carried=["id"]), joined)


@SEEDED
@given(rows_of.filter(lambda rows: len({row[1] for row in rows if row[0] == "a"}) > 1))
def test_the_audit_sees_a_row_that_holds_the_value_of_another_of_its_entity_and_time(rows):
    """What a join by entity and time of request features gives: one row's value for all of its like."""
    spine_rows = pl.DataFrame([(n, *row) for n, row in enumerate(rows)], schema=SPINE, orient="row")
    honest = spine_rows.select(km4=pl.col("km") * 4)
    spoiled = honest.with_columns(pl.col("km4").first().over(spine_rows["shop"], spine_rows["due"]))
    wrong = honest["km4"].ne_missing(spoiled["km4"]).sum()
    found = find_leaks(WITHOUT_ENTITY, spoiled, None, time="due", spine=spine_rows, rows=len(rows))
    assert found.height == wrong
