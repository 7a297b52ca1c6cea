import subprocess
import sys
from datetime import timedelta

import pytest
from pydantic import ValidationError

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec


def view(**fields) -> FeatureViewSpec:
    return FeatureViewSpec(**{"name": "shops", "description": "How shops do.", "entity": ["shop"]} | fields)


def windowed(**fields) -> FeatureViewSpec:
    defaults = {
        "table": "orders",
        "known_at": "paid_at",
        "windows": ["3h", "7d"],
        "aggregates": {"amount": {"of": "price * pieces", "functions": ["mean", "max"]}},
    }
    return view(**defaults | fields)


def test_features_are_named_and_ordered_as_declared():
    spec = windowed(
        latest={"last_price": "price"},
        aggregates={
            "amount": {"of": "price * pieces", "functions": ["mean", "max"]},
            "orders": {"functions": ["count"], "windows": ["1d"]},
        },
        request={"hour": "EXTRACT(hour FROM due)"},
    )
    assert spec.feature_names == [
        "last_price",
        "amount_mean_3h",
        "amount_mean_7d",
        "amount_max_3h",
        "amount_max_7d",
        "orders_count_1d",
        "hour",
    ]


def test_columns_needed_are_those_the_expressions_read():
    spec = windowed(
        entity=["shop", "till"],
        spine_keys={"till": "counter"},
        latest={"last_price": "price"},
        order_by=["receipt"],
        request={"hour": "EXTRACT(hour FROM due)", "shop_hour": "EXTRACT(hour FROM due) + shop"},
    )
    assert spec.spine_entity == ["shop", "counter"]
    assert spec.spine_columns == ["shop", "counter", "due"]
    assert spec.table_columns == ["shop", "till", "paid_at", "price", "receipt", "pieces"]


@pytest.mark.parametrize(
    ("fields", "look_back"),
    [
        ({}, timedelta(days=7)),
        ({"latest": {"last": "price"}, "ttl": "30d"}, timedelta(days=30)),
        ({"latest": {"last": "price"}, "ttl": "1h"}, timedelta(days=7)),
        ({"latest": {"last": "price"}}, None),
        (
            {"aggregates": {"n": {"functions": ["count"], "windows": ["2d"]}}, "windows": []},
            timedelta(days=2),
        ),
    ],
)
def test_look_back_is_the_longest_window_or_ttl(fields, look_back):
    assert windowed(**fields).look_back == look_back


def test_look_back_is_unbounded_for_a_static_table():
    assert view(table="shops", lookups={"size": "size"}).look_back is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"request": {"a": "x"}, "unknown": 1}, "Extra inputs are not permitted"),
        ({}, "latest: no feature is declared"),
        ({"lookups": {"size": "size"}}, "table: is needed by latest, lags, aggregates, planned and lookups"),
        ({"request": {"a": "x"}, "table": "orders"}, "table: is given but nothing reads it"),
        (
            {"table": "orders", "latest": {"last": "price"}},
            "known_at: is needed by latest, lags, aggregates, planned, windows and ttl",
        ),
        (
            {"table": "orders", "lookups": {"a": "x"}, "ttl": "1d"},
            "known_at: is needed by latest, lags, aggregates, planned, windows and ttl",
        ),
        (
            {"table": "orders", "lookups": {"a": "x"}, "windows": ["1d"]},
            "known_at: is needed by latest, lags, aggregates, planned, windows and ttl",
        ),
        ({"table": "orders", "known_at": "at", "lookups": {"a": "x"}}, "lookups: read a static table"),
        ({"table": "orders", "entity": [], "lookups": {"a": "x"}}, "entity: is needed by lookups"),
        ({"request": {"shop": "x"}}, r"features \['shop'\] bear the name of a key"),
        ({"request": {"a": "x"}, "spine_keys": {"till": "counter"}}, r"spine_keys: \['till'\] are no entity columns"),
        ({"request": {"a": "x"}, "entity": ["shop", "shop"]}, r"entity: \['shop'\] twice"),
        (
            {"request": {"a": "x"}, "entity": ["shop", "b"], "spine_keys": {"b": "shop"}},
            "spine_keys: \\['shop'\\] twice",
        ),
        ({"request": {"a": "CURRENT_DATE"}}, "read the clock"),
        ({"request": {"a": "due - now()"}}, "read the clock"),
        ({"name": "Shop Features", "request": {"a": "x"}}, "should match pattern"),
    ],
)
def test_inconsistent_views_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        view(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"windows": []}, r"windows: are missing, and aggregates \['amount'\] have none"),
        ({"windows": ["3h", "3h"]}, r"features \['amount_max_3h', 'amount_mean_3h'\] are declared twice"),
        ({"latest": {"amount_mean_3h": "price"}}, r"features \['amount_mean_3h'\] are declared twice"),
        ({"windows": ["soon"]}, "'soon' is no duration"),
        ({"ttl": "1d"}, "latest: is missing, and ttl belongs to it"),
        ({"order_by": ["receipt"]}, "latest: is missing, and order_by belongs to it, lags or planned"),
        ({"aggregates": {"n": {"functions": ["count"], "windows": ["1d"]}}}, "no aggregate uses them"),
        ({"aggregates": {"n": {"functions": ["mean"]}}}, "rows, which can only be counted"),
        ({"aggregates": {"n": {"of": "x", "functions": []}}}, "at least one"),
        ({"aggregates": {"n": {"of": "x", "functions": ["median"]}}}, "Input should be"),
    ],
)
def test_inconsistent_windows_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        windowed(**fields)


def test_a_word_of_the_clock_in_a_string_is_no_clock():
    assert view(request={"a": "note = 'now() or current_date'"}).feature_names == ["a"]


def test_sql_that_does_not_parse_names_the_view_and_the_text():
    with pytest.raises(FeatureError, match=r"feature view 'shops': `price \+` is no Polars SQL expression"):
        _ = view(request={"a": "price +"}).spine_columns


def test_the_declaration_loads_without_polars_or_numpy():
    code = "import ml_assets.features.spec, sys; print({'polars', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
