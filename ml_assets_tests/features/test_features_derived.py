"""Derived features: expressions over a view's own features, one row at a time."""

import math
from datetime import UTC, datetime

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.derived import derived_features
from ml_assets.features.describe import describe_features
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.row.features import computable, only_of_row
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_features, stored_rows, stored_view
from ml_assets.online.values.payload import encode_rows
from ml_assets.serving.prediction.derived_features import DerivedFeatures
from ml_assets.training.records.inputs import feature_meanings

MOMENT = pl.Datetime("us", "UTC")
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
DERIVED = {
    "trend": "units_sum_1d / units_sum_7d",
    "per_kilo": "units_sum_1d / kilos",
    "inverse": "1 / (units_sum_1d / kilos)",
    "big_on_weekend": "CASE WHEN day_weekend THEN last_units - kilos ELSE 0 END",
}
VIEW = FeatureViewSpec(
    name="items", description="How items sell.", entity=["item"], table="sales", known_at="sold_at",
    latest={"last_units": "units"}, windows=["1d", "7d"], aggregates={"units": {"of": "units", "functions": ["sum"]}},
    request={"kilos": "kilos"}, calendar={"day": {"time_zone": "UTC", "parts": ["weekend"]}}, derived=DERIVED,
)  # fmt: skip
SALES = pl.DataFrame(
    {"item": ["a", "a", "b"], "sold_at": [NOON.replace(hour=h) for h in (1, 2, 3)], "units": [4, 2, 0]},
    schema={"item": pl.String, "sold_at": MOMENT, "units": pl.Int64},
)
# 1 March 2024 is a Friday, 2 March a Saturday.
ROWS = pl.DataFrame(
    {"item": ["a", "a", "b", "unseen"], "at": [NOON, NOON.replace(day=2), NOON, NOON], "kilos": [3.0, 0.0, 2.0, None]},
    schema={"item": pl.String, "at": MOMENT, "kilos": pl.Float64},
)
# By hand: units_sum_1d 6, null (none within a day), 0, null; units_sum_7d 6, 6, 0, null.
EXPECTED = {
    "trend": [1.0, None, None, None],
    "per_kilo": [2.0, None, 0.0, None],
    "inverse": [0.5, None, None, None],
    "big_on_weekend": [0.0, 2.0, 0.0, 0.0],
}


def test_ratios_and_differences_by_hand():
    found = compute_features(VIEW, ROWS, SALES, time="at")
    assert found.select(*DERIVED).to_dict(as_series=False) == EXPECTED
    assert found.columns == ["item", "at", *VIEW.feature_names]
    assert find_leaks(VIEW, found, SALES, time="at", spine=ROWS).rows() == []


@pytest.mark.parametrize("carried", [["item", "at"], ["item", "at", "kilos"]])
def test_they_are_not_stored_and_are_the_same_where_rows_are_joined_with_what_is(carried):
    whole = compute_features(VIEW, ROWS, SALES, time="at")
    stored = stored_rows(VIEW, ROWS, whole, "at")
    assert stored_features(VIEW) == ["last_units", "units_sum_1d", "units_sum_7d"]
    assert not {*DERIVED} & {*stored.columns}
    tables = ViewTables(VIEW, stored.lazy(), SALES.lazy())
    joined = join_features(ROWS, [tables], time="at", carried=carried)
    assert joined.select(*VIEW.feature_names).equals(whole.select(*VIEW.feature_names))


numbers = st.none() | st.sampled_from([0.0, -0.0, 1.0, -2.5, 1e300]) | st.floats(-1e6, 1e6)


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=8))
def test_a_division_by_zero_is_null_wherever_it_stands(rows):
    def divided(a, b):
        return None if a is None or b is None or b == 0 else a / b

    def usable(value):
        return value if value is not None and math.isfinite(value) else None

    frame = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.Float64, "c": pl.Float64}, orient="row")
    texts = {"one": "a / b", "nested": "c / (a / b)", "sum": "a / b + c", "rest": "a % b"}
    found = derived_features("v", texts, frame).rows(named=True)
    for (a, b, c), row in zip(rows, found, strict=True):
        ratio = divided(a, b)
        assert row["one"] == pytest.approx(usable(ratio))
        # Of what overflows in between, the engine may still say something.
        if ratio is None or math.isfinite(ratio):
            assert row["nested"] == pytest.approx(usable(divided(c, ratio)))
            assert row["sum"] == pytest.approx(usable(None if ratio is None or c is None else ratio + c))
        assert (row["rest"] is None) == (a is None or b is None or b == 0)


NAN = float("nan")
OF_MISSING = FeatureViewSpec(
    name="items", description="How items sell.", entity=["item"], table="sales", known_at="sold_at",
    latest={"price": "price"}, lags={"before": {"of": "price", "offset": "2h"}}, request={"kilos": "kilos"},
    derived={"dear": "price > 5", "filled": "COALESCE(price, 0)", "unknown": "price IS NULL",
             "was": "COALESCE(before, -1)", "heavy": "kilos > 5", "weight": "COALESCE(kilos, 1)"},
)  # fmt: skip


def test_nan_is_as_missing_in_training_and_audit_as_it_is_online():
    sales = pl.DataFrame(
        {"item": ["a", "a", "b", "c"], "sold_at": [NOON.replace(hour=h) for h in (8, 11, 8, 8)],
         "price": [NAN, NAN, 7.0, None]}, schema={"item": pl.String, "sold_at": MOMENT, "price": pl.Float64},
    )  # fmt: skip
    rows = pl.DataFrame(
        {"item": ["a", "b", "c"], "at": [NOON] * 3, "kilos": [NAN, 9.0, None]}, schema_overrides={"at": MOMENT}
    )
    found = compute_features(OF_MISSING, rows, sales, time="at")
    by_hand = {
        "dear": [None, True, None], "filled": [0.0, 7.0, 0.0], "unknown": [True, False, True],
        "was": [-1.0, 7.0, -1.0], "heavy": [None, True, None], "weight": [1.0, 9.0, 1.0],
    }  # fmt: skip
    assert found.select(*by_hand).to_dict(as_series=False) == by_hand
    assert find_leaks(OF_MISSING, found, sales, time="at", spine=rows).rows() == []
    base = found.select("price", "before", "kilos")
    online = [orjson.loads(f"[{text}]") for text in encode_rows("items", base)]
    served = [dict(zip(base.columns, values, strict=True)) for values in online]
    sent = [values | {"kilos": kilos} for values, kilos in zip(served, rows["kilos"], strict=True)]
    for answered in (served, sent):
        DerivedFeatures([OF_MISSING], base.schema).add(answered)
        assert {name: [row[name] for row in answered] for name in by_hand} == by_hand


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("units_sum_1d / price", "derived.d: `units_sum_1d / price` reads price, which is no feature of the view"),
        ("item", "reads item, which is no feature of the view"),
        ("trend * 2", "reads trend, which is no feature of the view; derived features read none of their kind"),
        ("units_sum_1d / SUM(units_sum_1d)", "reaches across rows"),
        ("units_sum_1d - AVG(units_sum_1d) OVER ()", "reaches across rows"),
        ("LAG(units_sum_1d) OVER (ORDER BY kilos)", "reaches across rows"),
        ("ROW_NUMBER() OVER (ORDER BY kilos)", "reaches across rows"),
        ("1", "reads no feature of the view"),
        ("units_sum_1d //", "is no Polars SQL expression"),
        ("kilos * EXTRACT(hour FROM NOW())", "read the clock"),
    ],
)  # fmt: skip
def test_what_is_no_expression_of_one_rows_features_is_refused_when_declared(text, message):
    with pytest.raises(ValidationError) as error:
        FeatureViewSpec(**VIEW.model_dump() | {"derived": {"trend": DERIVED["trend"], "d": text}})
    assert message in str(error.value)


def test_features_of_the_row_are_no_part_of_what_is_stored():
    plain = FeatureViewSpec(
        **{k: v for k, v in VIEW.model_dump().items() if k not in ("request", "calendar", "derived")}
    )
    assert stored_view(VIEW) == plain
    assert declaration_of(VIEW) == declaration_of(plain)


def test_where_a_column_is_missing_what_needs_it_is_left_out():
    assert computable(VIEW, ["item", "kilos"]).feature_names == VIEW.feature_names
    assert list(computable(VIEW, ["item"]).derived) == ["trend"]
    assert list(computable(VIEW, ["item", "kilos"], of_table=False).derived) == []
    of_row = only_of_row(VIEW)
    assert (of_row.table, of_row.feature_names) == (None, ["kilos", "day_weekend"])


def test_a_derived_feature_means_something_else_when_what_it_reads_does():
    before = feature_meanings([VIEW])
    other = FeatureViewSpec(**VIEW.model_dump() | {"aggregates": {"units": {"of": "units * 2", "functions": ["sum"]}}})
    after = feature_meanings([other])
    assert [name for name in before if before[name] != after[name]] == [
        "units_sum_1d", "units_sum_7d", "trend", "per_kilo", "inverse",
    ]  # fmt: skip
    zone = {"calendar": {"day": {"time_zone": "Asia/Tokyo", "parts": ["weekend"]}}}
    moved = feature_meanings([FeatureViewSpec(**VIEW.model_dump() | zone)])
    assert [name for name in before if before[name] != moved[name]] == ["day_weekend", "big_on_weekend"]


RECENCY = VIEW.model_copy(
    update={
        "latest": {"last_sold_at": "EXTRACT(EPOCH FROM sold_at)", "last_units": "units"},
        "request": {"asked_at": "EXTRACT(EPOCH FROM at)"},
        "calendar": {},
        "derived": {
            "days_since_sale": "(asked_at - last_sold_at) / 86400",
            "share_of_last": "last_units / units_sum_7d",
        },
    }
)


def declared(**changes) -> FeatureViewSpec:
    fields = {name: getattr(RECENCY, name) for name in FeatureViewSpec.model_fields}
    return FeatureViewSpec(**fields | {"hidden": ["last_sold_at", "asked_at"]} | changes)


def test_how_long_ago_something_was_is_derived_of_hidden_moments():
    view = declared()
    computed = compute_features(view, ROWS, SALES, time="at")
    # Of item a the last sale was at 2 o'clock: 10 and 34 hours before; of b at 3, 9 hours before.
    days = computed["days_since_sale"].to_list()
    assert days[:3] == pytest.approx([10 / 24, 34 / 24, 9 / 24], abs=1e-11)
    assert days[3] is None
    assert computed.columns == ["item", "at", *view.computed_features]
    assert view.feature_names == ["last_units", "units_sum_1d", "units_sum_7d", "days_since_sale", "share_of_last"]
    assert find_leaks(view, computed, SALES, time="at", spine=ROWS).rows() == []


def test_hidden_features_are_kept_and_given_to_no_model():
    view = declared()
    computed = compute_features(view, ROWS, SALES, time="at")
    stored = stored_rows(view, ROWS, computed, "at")
    assert "last_sold_at" in stored.columns
    for tables in (ViewTables(view, stored.lazy(), SALES.lazy()), ViewTables(view, None, SALES.lazy(), computed=True)):
        joined = join_features(ROWS, [tables], time="at")
        assert joined.columns == [*ROWS.columns, *view.feature_names]
        assert joined.select(view.feature_names).equals(computed.select(view.feature_names))
    # What is kept and what a model learns from is the same whether others are hidden or not; so no digest changes.
    shown = declared(hidden=[])
    assert declaration_of(view) == declaration_of(shown)
    meanings = feature_meanings([shown])
    assert feature_meanings([view]) == {name: meanings[name] for name in view.feature_names}
    assert describe_features(view)["last_sold_at"].endswith("; for derived features alone.")
    assert stored_view(view).hidden == []


def test_without_its_table_a_view_hides_what_nothing_reads_any_more():
    assert only_of_row(declared()) is None
    view = declared(derived={**RECENCY.derived, "hour": "FLOOR(asked_at / 3600) % 24"})
    left = only_of_row(view)
    assert (left.feature_names, left.hidden, left.request) == (
        ["hour"],
        ["asked_at"],
        {"asked_at": "EXTRACT(EPOCH FROM at)"},
    )


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (["last_units"], None),
        (["nothing"], "hidden: nothing is no feature that derived ones can read; there are last_sold_at, last_units"),
        (["share_of_last"], "hidden: share_of_last is no feature that derived ones can read"),
        (["units_sum_1d"], "hidden: units_sum_1d is read by no derived feature"),
        (["asked_at", "asked_at"], "hidden: asked_at twice"),
    ],
)
def test_what_is_hidden_is_read_by_a_derived_feature(hidden, message):
    if message is None:
        assert hidden[0] not in declared(hidden=hidden).feature_names
        return
    with pytest.raises(ValidationError, match=message):
        declared(hidden=hidden)
