from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

MOMENT = pl.Datetime("us", "UTC")


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)


def orders(rows: list[tuple], columns: str = "shop paid_at price") -> pl.DataFrame:
    names = columns.split()
    return pl.DataFrame(rows, schema=names, orient="row").cast({"paid_at": MOMENT})


def spine(*rows: tuple[str | None, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"shop": pl.String, "due": MOMENT}, orient="row")


def view(**fields) -> FeatureViewSpec:
    defaults = {"name": "shops", "description": "How shops do.", "entity": ["shop"], "table": "orders"}
    return FeatureViewSpec(**defaults | {"known_at": "paid_at"} | fields)


def features(spec: FeatureViewSpec, rows: pl.DataFrame, events, time: str = "due") -> dict[str, list]:
    return compute_features(spec, rows, events, time=time).select(spec.feature_names).to_dict(as_series=False)


ALL_FUNCTIONS = ["mean", "sum", "count", "min", "max", "std"]


def test_a_window_is_open_on_the_left_and_closed_on_the_right():
    events = orders([("a", at(8), 1.0), ("a", at(9), 2.0), ("a", at(10), 4.0), ("a", at(11), 8.0)])
    spec = view(windows=["2h"], aggregates={"price": {"of": "price", "functions": ["sum", "count"]}})
    found = features(spec, spine(("a", at(10)), ("a", at(10, 1)), ("a", at(9, 59)), ("a", at(7))), events)
    # At 10:00 the row of 08:00 is two hours old and out, that of 10:00 is in.
    assert found == {"price_sum_2h": [6.0, 6.0, 3.0, None], "price_count_2h": [2, 2, 2, 0]}


def test_every_function_on_a_worked_example():
    events = orders([("a", at(1), 2.0), ("a", at(2), 4.0), ("a", at(3), None), ("a", at(4), 9.0), ("b", at(4), 7.0)])
    spec = view(
        windows=["1d"],
        aggregates={"price": {"of": "price", "functions": ALL_FUNCTIONS}, "orders": {"functions": ["count"]}},
    )
    found = features(spec, spine(("a", at(5)), ("b", at(5)), ("c", at(5)), (None, at(5))), events)
    assert found["price_mean_1d"] == [5.0, 7.0, None, None]
    assert found["price_sum_1d"] == [15.0, 7.0, None, None]
    assert found["price_count_1d"] == [3, 1, 0, 0]
    assert found["price_min_1d"] == [2.0, 7.0, None, None]
    assert found["price_max_1d"] == [9.0, 7.0, None, None]
    # 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, over two.
    assert found["price_std_1d"] == [pytest.approx(13**0.5, rel=1e-15), None, None, None]
    assert found["orders_count_1d"] == [4, 1, 0, 0]


def test_windows_alone_see_every_row_of_a_moment():
    events = orders([("a", at(1), 2.0), ("a", at(1), 4.0), ("a", at(1), 4.0), ("a", at(2), 1.0)])
    spec = view(windows=["1h"], aggregates={"price": {"of": "price", "functions": ["sum", "max"]}})
    found = features(spec, spine(("a", at(1)), ("a", at(2))), events)
    assert found == {"price_sum_1h": [10.0, 1.0], "price_max_1h": [4.0, 1.0]}


def test_the_spine_keeps_its_rows_and_their_order():
    events = orders([("a", at(1), 1), ("b", at(2), 2)])
    rows = spine(("b", at(3)), ("a", at(3)), ("b", at(3)), ("z", at(1)), ("b", at(2)), (None, at(9)))
    rows = rows.with_columns(note=pl.lit("not asked for"))
    found = compute_features(view(latest={"last": "price"}), rows, events, time="due")
    expected = rows.drop("note").with_columns(last=pl.Series([2, 1, 2, None, 2, None], dtype=pl.Int64))
    assert_frame_equal(found, expected)


def test_latest_takes_the_last_row_even_where_its_value_is_null():
    events = orders([("a", at(1), 1), ("a", at(2), None), ("a", None, 5), ("a", at(4), 3)])
    found = features(view(latest={"last": "price"}), spine(("a", at(1)), ("a", at(3)), ("a", at(4))), events)
    assert found == {"last": [1, None, 3]}


def test_latest_forgets_what_is_as_old_as_the_ttl():
    events = orders([("a", at(1), 1)])
    rows = spine(("a", at(1)), ("a", at(2, 59)), ("a", at(3)), ("a", at(0)))
    assert features(view(latest={"last": "price"}, ttl="2h"), rows, events) == {"last": [1, 1, None, None]}


def test_latest_ranks_rows_of_the_same_moment_by_order_by_then_by_value():
    columns = "shop paid_at price receipt"
    events = orders([("a", at(1), 7, 1), ("a", at(1), 3, 2), ("a", at(1), 5, 2), ("a", at(1), 9, None)], columns)
    for seed in range(5):
        shuffled = events.sample(fraction=1, shuffle=True, seed=seed)
        spec = view(latest={"last": "price", "number": "receipt"}, order_by=["receipt"])
        assert features(spec, spine(("a", at(1))), shuffled) == {"last": [5], "number": [2]}
        by_value = view(latest={"last": "price", "number": "receipt"})
        assert features(by_value, spine(("a", at(1))), shuffled) == {"last": [9], "number": [None]}


def test_categories_of_the_same_moment_are_ranked_by_name():
    names = pl.Series(["zinc", "apple"], dtype=pl.Categorical)
    events = orders([("a", at(1), 0), ("a", at(1), 0)]).with_columns(name=names)
    found = compute_features(view(latest={"last": "name"}), spine(("a", at(1))), events, time="due")
    assert found["last"].to_list() == ["zinc"]


def test_composite_keys_named_differently_in_the_spine():
    events = orders([("a", at(1), 1, "x"), ("a", at(1), 2, "y"), ("b", at(1), 3, "x")], "shop paid_at price till")
    rows = pl.DataFrame({"counter": ["x", "y", "x", "y", None], "shop": ["b", "a", "a", "b", "a"], "due": at(2)})
    spec = view(entity=["shop", "till"], spine_keys={"till": "counter"}, latest={"last": "price"})
    found = compute_features(spec, rows.cast({"due": MOMENT}), events, time="due")
    assert found.columns == ["shop", "counter", "due", "last"]
    assert found["last"].to_list() == [3, 2, 1, None, None]


def test_a_view_without_entity_sees_the_whole_table():
    events = orders([("a", at(1), 1), ("b", at(2), 2), (None, at(3), 4)])
    spec = view(entity=[], windows=["1d"], aggregates={"price": {"of": "price", "functions": ["sum"]}})
    found = compute_features(spec, spine(("q", at(2)), ("r", at(3))), events, time="due")
    assert found.columns == ["due", "price_sum_1d"]
    assert found["price_sum_1d"].to_list() == [3, 7]


def test_lookups_find_the_row_of_the_entity():
    shops = pl.DataFrame({"shop": ["b", "a", None, None], "size": [20, 10, 5, 6], "open": [True, None, True, False]})
    spec = view(known_at=None, table="shops", lookups={"size": "size", "twice": "size * 2", "open": "open"})
    found = features(spec, spine(("a", at(1)), ("z", at(1)), ("b", at(2)), (None, at(1)), ("a", at(9))), shops)
    assert found == {
        "size": [10, None, 20, None, 10],
        "twice": [20, None, 40, None, 20],
        "open": [None, None, True, None, None],
    }


def test_request_features_are_computed_from_the_spine_row():
    rows = spine(("a", at(5)), ("b", at(30))).with_columns(pieces=pl.Series([3, 4]))
    request = {"hour": "EXTRACT(hour FROM due)", "many": "pieces > 3", "one": "1"}
    spec = FeatureViewSpec(name="calendar", description="When.", entity=["shop"], request=request)
    found = compute_features(spec, rows, None, time="due")
    assert found.columns == ["shop", "due", "hour", "many", "one"]
    assert found.select("hour", "many", "one").rows() == [(5, False, 1), (6, True, 1)]


def test_a_decimal_becomes_the_nearest_float_in_every_kind_of_feature():
    price = pl.Series("price", ["0.10", "0.25"]).cast(pl.Decimal(10, 2))
    events = pl.DataFrame({"shop": ["a", "a"], "paid_at": [at(1), at(2)], "price": price}).cast({"paid_at": MOMENT})
    rows = spine(("a", at(5))).with_columns(fee=pl.Series(["0.30"]).cast(pl.Decimal(10, 2)))
    aggregates = {"price": {"of": "price", "functions": ["min", "mean"]}}
    spec = view(latest={"last": "price"}, windows=["5h"], aggregates=aggregates, request={"fees": "fee"})
    found = compute_features(spec, rows, events, time="due").select(spec.feature_names)
    assert set(found.dtypes) == {pl.Float64}
    assert found.to_dict(as_series=False) == {
        "last": [0.25],
        "price_min_5h": [0.1],
        "price_mean_5h": [0.175],
        "fees": [0.3],
    }
    static = view(known_at=None, table="shops", lookups={"price": "price"})
    assert features(static, spine(("a", at(1))), events.head(1).drop("paid_at")) == {"price": [0.1]}


def test_aggregates_of_a_request_view_and_a_table_can_stand_together():
    events = orders([("a", at(1), 1)])
    spec = view(latest={"last": "price"}, request={"hour": "EXTRACT(hour FROM due)"})
    assert features(spec, spine(("a", at(5))), events) == {"last": [1], "hour": [5]}


def test_types_of_the_results():
    events = orders([("a", at(1), 1)]).with_columns(
        small=pl.lit(3, pl.Int16),
        single=pl.lit(0.5, pl.Float32),
        flag=pl.lit(True),
        day=pl.lit(date(2024, 1, 2)),
        exact=pl.lit("1.25").cast(pl.Decimal(10, 2)),
        text=pl.lit("x"),
    )
    of = {"small": "small", "single": "single", "flag": "flag", "exact": "exact"}
    aggregates = {base: {"of": text, "functions": ALL_FUNCTIONS} for base, text in of.items()}
    aggregates |= {"day": {"of": "day", "functions": ["min", "max", "count"]}}
    aggregates |= {
        "moment": {"of": "paid_at", "functions": ["max"]},
        "text": {"of": "text", "functions": ["count"]},
    }
    aggregates |= {"nothing": {"of": "NULL", "functions": ["sum", "count"]}}
    result = compute_features(view(windows=["1d"], aggregates=aggregates), spine(("a", at(5))), events, time="due")
    row, schema = result.row(0, named=True), result.schema
    assert [schema[f"{base}_mean_1d"] for base in of] == [pl.Float64] * 4
    assert [schema[f"{base}_std_1d"] for base in of] == [pl.Float64] * 4
    assert [schema[f"{base}_count_1d"] for base in of] == [pl.Int64] * 4
    assert [schema[f"{base}_sum_1d"] for base in of] == [pl.Int64, pl.Float64, pl.Int64, pl.Float64]
    assert [schema[f"{base}_min_1d"] for base in of] == [pl.Int16, pl.Float32, pl.Int64, pl.Float64]
    assert [row[f"{base}_sum_1d"] for base in of] == [3, 0.5, 1, 1.25]
    assert [row[f"{base}_max_1d"] for base in of] == [3, 0.5, 1, 1.25]
    assert row["day_min_1d"] == row["day_max_1d"] == date(2024, 1, 2)
    assert row["moment_max_1d"] == at(1)
    assert (row["day_count_1d"], row["text_count_1d"]) == (1, 1)
    assert (row["nothing_sum_1d"], row["nothing_count_1d"]) == (None, 0)


def test_nan_counts_as_missing():
    events = orders([("a", at(1), float("nan")), ("a", at(2), 3.0)])
    spec = view(windows=["1d"], aggregates={"price": {"of": "price", "functions": ["mean", "count", "max"]}})
    found = features(spec, spine(("a", at(5)), ("a", at(1))), events)
    assert found == {"price_mean_1d": [3.0, None], "price_count_1d": [1, 0], "price_max_1d": [3.0, None]}


FULL = view(
    latest={"last": "price"},
    windows=["1d"],
    aggregates={"price": {"of": "price", "functions": ALL_FUNCTIONS}, "n": {"functions": ["count"]}},
    request={"hour": "EXTRACT(hour FROM due)"},
)


def test_an_empty_table_gives_nulls_and_zero_counts():
    found = features(FULL, spine(("a", at(1))), orders([("a", at(1), 1.0)]).clear())
    assert {name: values[0] for name, values in found.items()} == {
        name: {"price_count_1d": 0, "n_count_1d": 0, "hour": 1}.get(name) for name in FULL.feature_names
    }


def test_an_empty_spine_gives_an_empty_frame_of_the_same_types():
    events = orders([("a", at(1), 1.0)])
    full = compute_features(FULL, spine(("a", at(2))), events, time="due")
    empty = compute_features(FULL, spine(), events, time="due")
    assert empty.height == 0
    assert empty.schema == full.schema


def test_a_lazy_table_is_read_no_further_than_needed():
    events = pl.concat([orders([("a", at(hour), 1.0)]) for hour in range(0, 100)])
    spec = view(windows=["2h"], aggregates={"price": {"of": "price", "functions": ["sum"]}})
    seen = []

    def remember(frame: pl.DataFrame) -> pl.DataFrame:
        seen.append(frame.height)
        return frame

    watched = events.lazy().map_batches(remember, predicate_pushdown=True)
    assert features(spec, spine(("a", at(50)), ("a", at(51))), watched) == {"price_sum_2h": [2.0, 2.0]}
    assert seen == [3]


@pytest.mark.parametrize("key", [pl.Categorical(), pl.Enum(["a", "b"]), pl.String()])
def test_text_keys_of_different_types_match(key):
    events = orders([("a", at(1), 1), ("b", at(1), 2)]).cast({"shop": key})
    assert features(view(latest={"last": "price"}), spine(("b", at(2)), ("z", at(2))), events) == {"last": [2, None]}


def test_integer_keys_of_different_widths_match():
    events = orders([(1, at(1), 1), (2, at(1), 2)]).cast({"shop": pl.Int16})
    rows = pl.DataFrame({"shop": [2, 70_000], "due": [at(2), at(2)]}).cast({"due": MOMENT})
    assert features(view(latest={"last": "price"}), rows, events) == {"last": [2, None]}


def test_an_expression_may_read_the_key():
    events = orders([("a", at(1), 1)])
    assert features(view(latest={"last": "shop || '!'"}), spine(("a", at(1))), events) == {"last": ["a!"]}


def test_moments_centuries_apart_for_very_many_entities():
    # Entity and microseconds no longer fit one int64 as they are.
    far = [datetime(1700, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC)]
    names = [f"{i}" for i in range(3000)]
    events = orders([(name, moment, i) for i, name in enumerate(names) for moment in far])
    rows = pl.concat([spine(*[(name, at(1)) for name in names]), spine(*[(name, far[1]) for name in names])])
    spec = view(latest={"last": "price"}, ttl="1d", windows=["300000d"], aggregates={"n": {"functions": ["count"]}})
    found = features(spec, rows, events)
    assert found["last"] == [None] * 3000 + list(range(3000))
    assert found["n_count_300000d"] == [1] * 3000 + [2] * 3000


ERRORS = {
    "the spine lacks a key": (
        {"latest": {"last": "price"}},
        lambda s, e: (s.drop("shop"), e),
        r"feature view 'shops': spine has no column 'shop' \(it has due\); add it, or map a key with `spine_keys`",
    ),
    "the spine lacks what a request reads": (
        {"latest": {"last": "price"}, "request": {"a": "pieces + 1"}},
        lambda s, e: (s, e),
        "spine has no column 'pieces'",
    ),
    "the table lacks a column": (
        {"latest": {"last": "weight"}},
        lambda s, e: (s, e),
        r"feature view 'shops': table 'orders' has no column 'weight' \(it has shop, paid_at, price\)",
    ),
    "the table lacks known_at": (
        {"latest": {"last": "price"}, "known_at": "seen_at"},
        lambda s, e: (s, e),
        "table 'orders' has no column 'seen_at'",
    ),
    "the spine's time has no zone": (
        {"latest": {"last": "price"}},
        lambda s, e: (s.cast({"due": pl.Datetime("us")}), e),
        r"spine column 'due' is Datetime\(time_unit='us', time_zone=None\), not .*UTC.*; cast it",
    ),
    "known_at is text": (
        {"latest": {"last": "price"}},
        lambda s, e: (s, e.cast({"paid_at": pl.String})),
        "table 'orders' column 'paid_at' is String",
    ),
    "a prediction time is null": (
        {"latest": {"last": "price"}},
        lambda s, e: (s.with_columns(due=pl.lit(None, MOMENT)), e),
        "time column 'due' is null in 1 of 1 rows",
    ),
    "keys of different kinds": (
        {"latest": {"last": "price"}},
        lambda s, e: (s, e.with_columns(shop=pl.lit(1))),
        "key 'shop' is Int32 in table 'orders' but String in the spine; cast one",
    ),
    "a key is a float": (
        {"latest": {"last": "price"}},
        lambda s, e: (s.with_columns(shop=pl.lit(1.0)), e.with_columns(shop=pl.lit(1.0))),
        "key 'shop' is a floating-point number",
    ),
    "a feature is called like the time column": (
        {"latest": {"due": "price"}},
        lambda s, e: (s, e),
        "'due' is also the spine's time column",
    ),
    "no table was given": ({"latest": {"last": "price"}}, lambda s, _: (s, None), "it reads table 'orders'"),
    "a division by zero": (
        {"windows": ["1d"], "aggregates": {"rate": {"of": "price / 0", "functions": ["mean"]}}},
        lambda s, e: (s, e),
        r"aggregate 'rate': `price / 0` is infinite in 3 of 3 known rows; .* NULLIF",
    ),
    "the mean of text": (
        {"windows": ["1d"], "aggregates": {"name": {"of": "shop", "functions": ["count", "mean"]}}},
        lambda s, e: (s, e),
        "aggregate 'name': `shop` is String, of which there is no mean",
    ),
    "the sum of dates": (
        {"windows": ["1d"], "aggregates": {"t": {"of": "paid_at", "functions": ["max", "sum"]}}},
        lambda s, e: (s, e),
        "of which there is no sum",
    ),
    "an expression fails": (
        {"latest": {"last": "shop::double"}},
        lambda s, e: (s, e),
        "feature view 'shops', 'last': `shop::double` cannot be evaluated",
    ),
    "several columns at once": (
        {"latest": {"last": "COLUMNS('p.*')"}},
        lambda s, e: (s, e),
        "gives several columns",
    ),
    "a sum beyond Int64": (
        {"windows": ["1d"], "aggregates": {"big": {"of": f"price + {2**62}", "functions": ["sum"]}}},
        lambda s, e: (s, e),
        "aggregate 'big': .* a sum is beyond Int64; cast it to DOUBLE",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong_and_what_to_do(case):
    fields, spoil, message = ERRORS[case]
    good = spine(("a", at(9))), orders([("a", at(1), 1), ("a", at(2), 2), ("a", at(3), 3)])
    with pytest.raises(FeatureError, match=message):
        compute_features(view(**fields), *spoil(*good), time="due")


def test_a_static_table_with_several_rows_for_an_entity_is_refused():
    shops = pl.DataFrame({"shop": ["b", "a", "b", "c", "c"], "size": [1, 2, 3, 4, 4]})
    spec = view(known_at=None, table="shops", lookups={"size": "size"})
    with pytest.raises(FeatureError, match=r"'shops' has several rows for 2 entities, such as \{'shop': 'b'\}"):
        compute_features(spec, spine(("a", at(1))), shops, time="due")


ACROSS_ROWS = [
    "price - AVG(price)",
    "MAX(price)",
    "COUNT(*)",
    "price / SUM(price) OVER (PARTITION BY shop)",
    "LAG(price) OVER (ORDER BY paid_at)",
    "ROW_NUMBER() OVER (ORDER BY paid_at)",
    "CASE WHEN price > MEDIAN(price) THEN 1 ELSE 0 END",
    "FIRST(price)",
]


@pytest.mark.parametrize("text", ACROSS_ROWS)
def test_an_expression_that_looks_at_other_rows_is_refused(text):
    events = orders([("a", at(hour), float(hour % 7)) for hour in range(40)])
    message = "gives a row a value that depends on other rows, so the future could reach the past"
    for fields in (
        {"latest": {"f": text}},
        {"windows": ["1d"], "aggregates": {"f": {"of": text, "functions": ["mean"]}}},
    ):
        with pytest.raises(FeatureError, match=message):
            compute_features(view(**fields), spine(("a", at(50))), events, time="due")
    rows = events.rename({"paid_at": "due"})
    request = FeatureViewSpec(name="r", description="d", entity=["shop"], request={"f": text.replace("paid_at", "due")})
    with pytest.raises(FeatureError, match=message):
        compute_features(request, rows, None, time="due")


ONE_ROW = [
    "price / 3",
    "price % 2",
    "COALESCE(price, 0)",
    "CASE WHEN price > 2 THEN 1 ELSE 0 END",
    "price IN (1, 2)",
    "SIN(price) + LN(price + 1)",
    "POW(price, 3)",
    "ROUND(price / 7, 2)",
    "GREATEST(price, 2)",
    "NULLIF(price, 2)",
    "EXTRACT(dow FROM paid_at)",
    "shop || '-' || shop",
    "price / 0",
    "1",
    "NULL",
    "'x'",
]


@pytest.mark.parametrize("text", ONE_ROW)
def test_an_expression_of_one_row_is_accepted(text):
    events = orders([("a", at(hour), float(hour % 7)) for hour in range(40)])
    events = events.vstack(orders([("a", at(50), None), ("a", at(51), float("nan"))]).cast(events.schema))
    assert compute_features(view(latest={"f": text}), spine(("a", at(60))), events, time="due").height == 1
