"""Computing in parts gives what computing at once gives, whatever the parts."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.features.engine import parts
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.engine.parts import compute_features_in_parts
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

pytestmark = pytest.mark.slow

START = datetime(2024, 3, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
SPINE = {"shop": pl.String, "counter": pl.Int32, "due": MOMENT}
EVENTS = {"shop": pl.String, "till": pl.Int64, "paid_at": MOMENT, "amount": pl.Float64, "receipt": pl.Int64}
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow], database=None
)

LATEST = {"latest": {"amount": "amount", "shop_is": "shop"}, "order_by": ["receipt"]}
WINDOWS = {
    "windows": ["2m", "5m"],
    "aggregates": {
        "amount": {"of": "amount", "functions": ["mean", "sum", "count", "min", "max", "std"]},
        "sales": {"functions": ["count"]},
    },
}
REQUEST = {"request": {"minute": "EXTRACT(minute FROM due)"}}
ONE_KEY = {"entity": ["shop"]}
TWO_KEYS = {"entity": ["shop", "till"], "spine_keys": {"till": "counter"}}
VIEWS = {
    "latest": ONE_KEY | LATEST,
    "latest with a ttl": TWO_KEYS | LATEST | {"ttl": "3m"},
    "windows": ONE_KEY | WINDOWS,
    "windows and latest, two keys": TWO_KEYS | WINDOWS | LATEST | REQUEST,
    "no entity": WINDOWS | LATEST,
    "no entity, with a ttl": LATEST | {"ttl": "3m"},
}

moments = st.builds(
    lambda minute, odd: START + timedelta(minutes=minute, microseconds=odd),
    st.integers(0, 12),
    st.sampled_from([0, 0, -1, 1]),
)
shops = st.sampled_from(["a", "b", "c", "d", None])
tills = st.sampled_from([1, 2, None])
amounts = st.none() | st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-30)
event = st.tuples(shops, tills, st.none() | moments, amounts, st.none() | st.integers(0, 2))
spine_row = st.tuples(st.sampled_from(["a", "b", "c", "unseen", None]), tills, moments)


def view(**fields) -> FeatureViewSpec:
    known = {} if "lookups" in fields or "table" in fields else {"table": "orders", "known_at": "paid_at"}
    return FeatureViewSpec(**{"name": "shops", "description": "How shops do."} | known | fields)


def frame(rows: list[tuple], schema: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


def joined(spec, spine, events, rows_in_memory: int) -> tuple[pl.DataFrame, int]:
    """Features in the spine's order, and how many parts there were."""
    numbered = spine.with_row_index("row").lazy()
    events = None if events is None else events.lazy()
    found = list(compute_features_in_parts(spec, numbered, events, time="due", rows_in_memory=rows_in_memory))
    for part in found:
        assert_frame_equal(part.rows.select(spec.spine_entity), part.features.select(spec.spine_entity))
    together = pl.concat([part.features.with_columns(part.rows["row"]) for part in found])
    return together.sort("row").drop("row"), len(found)


@pytest.mark.parametrize("fields", VIEWS.values(), ids=VIEWS)
@SEEDED
@given(st.lists(event, max_size=40), st.lists(spine_row, min_size=1, max_size=25), st.integers(1, 30))
def test_any_number_of_parts_gives_the_same(fields, events, rows, rows_in_memory):
    spec, spine, table = view(**fields), frame(rows, SPINE), frame(events, EVENTS)
    found, _ = joined(spec, spine, table, rows_in_memory)
    assert_frame_equal(found, compute_features(spec, spine, table, time="due"), check_exact=True)


def many(rows: int, shops: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    number = pl.int_range(rows, eager=True)
    shop = "s" + (number * 7 % shops).cast(pl.String)
    due = pl.Series([START + timedelta(minutes=minute) for minute in number], dtype=MOMENT)
    spine = pl.DataFrame({"shop": shop, "due": due})
    table = pl.DataFrame({"shop": shop, "paid_at": due + timedelta(minutes=30), "amount": number.cast(pl.Float64)})
    return spine, table


@pytest.mark.parametrize("shops", [1, 50])
@pytest.mark.parametrize("fields", [LATEST | {"order_by": []}, WINDOWS], ids=["latest", "windows"])
def test_no_more_rows_are_computed_at_once_than_allowed(shops, fields, monkeypatch):
    computed = []

    def remember(spec, spine, events, *, time):
        computed.append(spine.height + events.collect().height)
        return compute_features(spec, spine, events, time=time)

    monkeypatch.setattr(parts, "compute_features", remember)
    spine, table = many(1000, shops)
    _, count = joined(view(**ONE_KEY, **fields), spine, table, 200)
    assert count >= 10
    # The last row of each shop, or five minutes of rows, come on top.
    assert max(computed) <= 200 + max(shops, 5)


def test_rows_that_fit_are_computed_at_once_and_keep_their_order():
    spine, table = many(100, 5)
    spec = view(**ONE_KEY, **WINDOWS)
    (part,) = compute_features_in_parts(spec, spine.lazy(), table.lazy(), time="due", rows_in_memory=200)
    assert_frame_equal(part.rows, spine)
    assert_frame_equal(part.features, compute_features(spec, spine, table, time="due"))


def test_the_spines_further_columns_are_handed_back_whatever_their_names():
    spine, table = many(100, 10)
    spine = spine.with_columns(part=pl.int_range(100), moment=pl.lit("x"), rows=pl.lit(None, pl.Int8))
    spec = view(**ONE_KEY, latest={"amount": "amount"})
    found = [p.rows for p in compute_features_in_parts(spec, spine.lazy(), table.lazy(), time="due", rows_in_memory=30)]
    assert len(found) > 5
    assert_frame_equal(pl.concat(found).sort("part"), spine)


def test_history_before_the_first_prediction_is_read_in_ranges_too():
    spine, table = many(1000, 1)
    spec = view(**ONE_KEY, latest={"amount": "amount"})
    late = spine.tail(3)
    found, count = joined(spec, late, table, 50)
    assert found["amount"].to_list() == [967.0, 968.0, 969.0]
    assert count <= 2


def test_static_tables_and_views_without_a_table_are_divided():
    spine, _ = many(100, 10)
    shops = spine.select("shop").unique().with_columns(size=pl.col("shop").str.len_bytes())
    static = view(entity=["shop"], table="shops", lookups={"size": "size"})
    request = view(entity=["shop"], table=None, **REQUEST)
    for spec, table in ((static, shops), (request, None)):
        found, count = joined(spec, spine, table, 20)
        assert count > 4
        assert_frame_equal(found, compute_features(spec, spine, table, time="due"))


def test_an_empty_spine_gives_one_empty_part():
    spine, table = many(10, 2)
    spec = view(**ONE_KEY, **WINDOWS)
    found, count = joined(spec, spine.clear(), table, 5)
    assert (found.height, count) == (0, 1)
    assert found.columns == ["shop", "due", *spec.feature_names]


def test_what_is_wrong_is_said_as_when_computed_at_once():
    spine, table = many(10, 2)
    spec = view(**ONE_KEY, **WINDOWS)
    wrong = {
        "time column 'due' is null in 10 of 10 rows": (spine.with_columns(due=pl.lit(None, MOMENT)), table),
        "spine has no column 'shop'": (spine.drop("shop"), table),
        "table 'orders' has no column 'amount'": (spine, table.drop("amount")),
        "it reads table 'orders', but was given no rows": (spine, None),
    }
    for message, (rows, events) in wrong.items():
        with pytest.raises(FeatureError, match=message):
            joined(spec, rows, events, 3)
