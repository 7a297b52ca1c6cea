from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.features.audit import leaks
from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")
VIEW = FeatureViewSpec(
    name="shops",
    description="How shops do.",
    entity=["shop"],
    table="orders",
    known_at="paid_at",
    latest={"last": "amount", "kind": "kind", "day": "day", "seen": "paid_at"},
    ttl="5d",
    windows=["1d", "7d"],
    aggregates={
        "amount": {"of": "amount", "functions": ["mean", "sum", "std", "min", "max"]},
        "orders": {"functions": ["count"]},
        "newest": {"of": "paid_at", "functions": ["max"], "windows": ["7d"]},
    },
    request={"hour": "EXTRACT(hour FROM due)"},
)


def minutes(rng: np.random.Generator, rows: int) -> pl.Series:
    start = int(START.timestamp()) * 1_000_000
    return pl.Series(start + rng.integers(0, 60 * 24 * 60, rows) * 60_000_000).cast(MOMENT)


@pytest.fixture(scope="module")
def orders() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "shop": rng.choice(["a", "b", "c"], 6000),
            "paid_at": minutes(rng, 6000),
            "amount": 1e6 + rng.normal(size=6000),
            "kind": pl.Series(rng.choice(["cash", "card"], 6000), dtype=pl.Categorical),
            "day": [date(2024, 1, 1)] * 6000,
        }
    )


@pytest.fixture(scope="module")
def spine() -> pl.DataFrame:
    rng = np.random.default_rng(6)
    return pl.DataFrame({"shop": rng.choice(["a", "b", "c", "unseen"], 800), "due": minutes(rng, 800)})


@pytest.mark.slow
@pytest.mark.parametrize("rows_at_once", [1, 2500])
def test_a_table_too_large_is_read_entity_by_entity(spine, orders, rows_at_once, monkeypatch):
    stored = compute_features(VIEW, spine, orders, time="due")
    spoiled = stored.with_columns(pl.col("orders_count_7d") + (pl.int_range(pl.len()) == 400).cast(pl.Int64))
    together = find_leaks(VIEW, spoiled, orders, time="due", rows=800)
    monkeypatch.setattr(leaks, "_ROWS_AT_ONCE", rows_at_once)
    assert_frame_equal(find_leaks(VIEW, spoiled, orders.lazy(), time="due", rows=800), together)
    assert together.height == 1


def test_features_of_the_engine_are_clean(spine, orders):
    stored = compute_features(VIEW, spine, orders, time="due")
    found = find_leaks(VIEW, stored, orders, time="due")
    assert found.is_empty()
    assert found.schema == {"shop": pl.String, "due": MOMENT} | dict.fromkeys(
        ["feature", "stored", "recomputed"], pl.String
    )


def test_features_stored_in_other_types_are_clean(spine, orders):
    stored = compute_features(VIEW, spine, orders, time="due")
    stored = stored.cast({"kind": pl.String, "orders_count_1d": pl.Int32, "hour": pl.Int64})
    assert find_leaks(VIEW, stored, orders.lazy(), time="due").is_empty()


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), timedelta(hours=3), timedelta(days=3)])
def test_features_that_looked_ahead_are_found(spine, orders, ahead):
    known_early = orders.with_columns(pl.col("paid_at") - ahead)
    leaking = compute_features(VIEW, spine, known_early, time="due")
    found = find_leaks(VIEW, leaking, orders, time="due")
    assert {"amount_mean_7d", "orders_count_7d", "seen"} <= set(found["feature"])
    assert "hour" not in set(found["feature"])
    assert "unseen" not in set(found["shop"])


def test_a_single_leaking_feature_is_named_with_both_values(spine, orders):
    stored = compute_features(VIEW, spine, orders, time="due")
    whole = orders.group_by("shop").agg(pl.col("amount").mean().alias("whole"))
    leaking = stored.join(whole, on="shop", how="left", maintain_order="left")
    leaking = leaking.with_columns(amount_mean_1d="whole").drop("whole")
    found = find_leaks(VIEW, leaking, orders, time="due", rows=50, seed=3)
    assert found["feature"].unique().to_list() == ["amount_mean_1d"]
    row = found.row(0, named=True)
    at_row = (pl.col("shop") == row["shop"]) & (pl.col("due") == row["due"])
    assert float(row["stored"]) == pytest.approx(leaking.filter(at_row)["amount_mean_1d"][0], rel=1e-12)
    assert float(row["recomputed"]) == pytest.approx(stored.filter(at_row)["amount_mean_1d"][0], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        ("orders_count_7d", pl.col("orders_count_7d") + 1),
        ("amount_sum_7d", pl.col("amount_sum_7d") * (1 + 1e-8)),
        ("amount_std_1d", pl.col("amount_std_1d") * (1 + 1e-6)),
        ("last", pl.col("last").fill_null(0.0)),
        ("last", pl.lit(None, pl.Float64)),
        ("kind", pl.lit("voucher")),
        ("hour", pl.col("hour") + 1),
        ("newest_max_7d", pl.col("newest_max_7d") + timedelta(microseconds=1)),
    ],
)
def test_small_differences_are_found(spine, orders, name, spoiled):
    stored = compute_features(VIEW, spine, orders, time="due").with_columns(spoiled.alias(name))
    assert find_leaks(VIEW, stored, orders, time="due")["feature"].unique().to_list() == [name]


def test_only_the_sample_is_checked_and_the_seed_draws_it(spine, orders):
    stored = compute_features(VIEW, spine, orders, time="due").with_columns(hour=pl.lit(99))
    first = find_leaks(VIEW, stored, orders, time="due", rows=10, seed=1)
    assert first.height == 10
    assert find_leaks(VIEW, stored, orders, time="due", rows=10, seed=1).equals(first)
    assert not find_leaks(VIEW, stored, orders, time="due", rows=10, seed=2).equals(first)
    assert find_leaks(VIEW, stored, orders, time="due", rows=10_000).height == 800


def test_static_lookups_are_compared_too():
    view = FeatureViewSpec(name="s", description="d", entity=["shop"], table="shops", lookups={"size": "size"})
    shops = pl.DataFrame({"shop": ["a", "b", None], "size": [1, 2, 3]})
    spine = pl.DataFrame({"shop": ["a", "z", None], "due": [START] * 3}).cast({"due": MOMENT})
    stored = compute_features(view, spine, shops, time="due")
    assert find_leaks(view, stored, shops, time="due").is_empty()
    spoiled = stored.with_columns(size=pl.lit(2))
    found = find_leaks(view, spoiled, shops, time="due").select("shop", "stored", "recomputed")
    assert set(found.rows()) == {("a", "2", "1"), ("z", "2", None), (None, "2", None)}


def test_missing_features_and_missing_tables_are_errors(spine, orders):
    stored = compute_features(VIEW, spine, orders, time="due")
    with pytest.raises(FeatureError, match=r"no stored values of \['last'\]: compute the view again"):
        find_leaks(VIEW, stored.drop("last"), orders, time="due")
    with pytest.raises(FeatureError, match="it reads table 'orders', but was given no rows"):
        find_leaks(VIEW, stored, None, time="due")
    with pytest.raises(FeatureError, match="table 'orders' has no column 'amount'"):
        find_leaks(VIEW, stored, orders.drop("amount"), time="due")
