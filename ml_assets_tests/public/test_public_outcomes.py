"""Several outcomes of a project's rows at once."""

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets_tests.public.conftest import RETURNS, SENT_BACK, Lived, opened

WITHIN_MONTH = {**SENT_BACK, "attributes": SENT_BACK["attributes"] | {"name": "within_month", "window": "28d"}}


@pytest.fixture(scope="module")
def shop(make_project, made_up_orders, tmp_path_factory):
    declared = made_up_orders.declared(tmp_path_factory.mktemp("none"), **RETURNS | {"features": ["order"]})
    shop = Lived(make_project(*declared, SENT_BACK, WITHIN_MONTH).folder)
    orders = made_up_orders.of("2024-01", 10).with_columns(pl.format("c{}", pl.col("id") % 7).alias("customer"))
    Lake(str(shop.home / "lake")).replace("orders/validated", orders.with_columns(_drop=pl.lit("2024-01")))
    return opened(shop)


def test_several_outcomes_are_what_each_is_alone_and_bear_their_names(shop):
    rows = shop.table("orders/validated").select("id", "customer", "placed_at").collect()
    found = shop.outcomes(["sent_back", shop.declared_outcomes["within_month"]], rows)
    aggregates = ["count", "time_to_first", "time_to_first_censored"]
    for name in ("sent_back", "within_month"):
        alone = shop.outcomes(name, rows)
        own = [*(f"{name}_{column}" for column in aggregates), name, f"{name}_known_at"]
        assert found.select(own).rows() == alone.select(*aggregates, name, f"{name}_known_at").rows()
        assert alone[name].is_not_null().any()
    assert found.columns[: len(rows.columns) + 2] == [*rows.columns, "sent_back_count", "sent_back_time_to_first"]
    assert found.select(rows.columns).equals(rows)


def test_outcomes_that_are_asked_for_together_are_of_one_spine(shop):
    with pytest.raises(ValueError, match="outcomes: none is named"):
        shop.outcomes([], [])
