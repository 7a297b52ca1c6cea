"""Up to when a source's facts are all there, as its gate leaves them: days without rows, and days not come."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredOutcome, DeclaredSource
from ml_assets.deliveries.gate import judge_deliveries, write_validated
from ml_assets.deliveries.withheld import keep_withheld
from ml_assets.lake import Lake

MOMENT = pl.Datetime("us", "UTC")
US = timedelta(microseconds=1)
OUTCOME = {
    "name": "churned", "description": "No order.", "spine": "customers", "table": "orders/validated",
    "entity": ["customer"], "happened_at": "placed_at", "window": "3d", "aggregate": {"functions": ["count"]},
    "label": "count == 0",
}  # fmt: skip


class Orders(pa.DataFrameModel):
    id: pl.Int64 = pa.Field(ge=0)
    customer: pl.String
    placed_at: Annotated[pl.Datetime, "us", "UTC"]


def source(name: str = "orders", **fields) -> DeclaredSource:
    declared = {
        "name": name, "description": "", "where": {"path": "{partition}.csv"}, "contract": "shop:Orders",
        "key_columns": ["id"], "drops": {"grain": "daily", "start": "2024-03-01"}, "empty_drops": "accept",
        "after_failure": "continue",
    }  # fmt: skip
    return DeclaredSource.model_validate(declared | fields)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


def deliver(lake: Lake, of: DeclaredSource, day: int, *ids: int) -> None:
    """Let a day's orders pass the gate as the assets do."""
    drop = f"2024-03-{day:02}"
    raw = pl.DataFrame(
        {"id": ids, "customer": ["a"] * len(ids), "placed_at": [datetime(2024, 3, day, 12, tzinfo=UTC)] * len(ids)},
        schema={"id": pl.Int64, "customer": pl.String, "placed_at": MOMENT},
    ).with_columns(_drop=pl.lit(drop), _content_hash=pl.lit(str(ids)))
    lake.replace(of.table("raw"), raw, {"_drop": [drop]})
    judged = judge_deliveries(of, lake, Orders, [drop])
    write_validated(of, lake, judged)
    keep_withheld(of, lake, list(judged.gates), judged.outcome)


def complete(lake: Lake, of: DeclaredSource, **fields) -> tuple[datetime | None, tuple[str, ...]]:
    found = DeclaredOutcome.model_validate(OUTCOME | fields).completeness(lake, of)
    return found.until, found.drops_without_rows


def end_of(day: int) -> datetime:
    return datetime(2024, 3, day + 1, tzinfo=UTC) - US


def test_a_newest_day_that_came_empty_says_that_nothing_happened(lake):
    orders = source()
    deliver(lake, orders, 4, 1, 2)
    assert complete(lake, orders) == (end_of(4), ())
    deliver(lake, orders, 5)
    assert complete(lake, orders) == (end_of(5), ())
    # The 6th has not come: what happened then is not known, and nor is what happened later.
    deliver(lake, orders, 7)
    assert complete(lake, orders) == (end_of(5), ("2024-03-06",))
    deliver(lake, orders, 6, 3)
    assert complete(lake, orders) == (end_of(7), ())


def test_a_day_that_came_empty_and_is_delivered_again_with_rows_is_a_day_like_any(lake):
    orders = source()
    deliver(lake, orders, 4, 1)
    deliver(lake, orders, 5)
    deliver(lake, orders, 5, 2)
    assert orders.came_empty(lake) == []
    assert complete(lake, orders) == (end_of(5), ())
    deliver(lake, orders, 5)
    assert orders.came_empty(lake) == ["2024-03-05"]
    assert complete(lake, orders) == (end_of(5), ())


def test_a_day_of_which_every_row_was_refused_did_not_come_empty(lake):
    orders = source(max_bad_share=1.0)
    deliver(lake, orders, 4, 1)
    deliver(lake, orders, 5, -1)
    assert orders.came_empty(lake) == []
    assert complete(lake, orders)[0] == end_of(4)


def test_a_source_of_which_no_drop_was_empty_has_no_table_of_them(lake):
    deliver(lake, source(), 4, 1)
    assert not lake.exists("orders/came_empty")


def test_a_table_cut_by_another_moment_is_complete_as_the_table_that_it_follows(lake):
    orders, customers = source(), source("customers")
    deliver(lake, customers, 4, 1, 2)  # the last to sign up
    for day in (4, 5, 7):
        deliver(lake, orders, day, day)
    own = {"table": "customers/validated"}
    assert complete(lake, customers, **own) == (end_of(4), ())
    followed = own | {"follows": "orders/validated"}
    assert complete(lake, orders, **followed) == (end_of(5), ("2024-03-06",))
    deliver(lake, orders, 6)
    assert complete(lake, orders, **followed) == (end_of(7), ())
