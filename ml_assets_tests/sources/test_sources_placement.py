"""Rows that no ingested drop has are counted by the reason, whatever they lie in."""

import polars as pl
import pytest

from ml_assets.sources.delivery.placement import place_rows, placement_table
from ml_assets.sources.delivery.read import list_drops, read_drops

MONTHLY = {"grain": "monthly", "column": "at", "start": "2024-01", "end": "2024-04"}
MOMENTS = [
    "1970-01-01T00:00:00Z",
    "2023-12-31T23:59:59Z",
    "2024-01-01T00:00:00Z",
    "2024-01-31T23:59:59Z",
    None,
    "2024-02-10T00:00:00Z",
    "2024-03-10T00:00:00Z",
    "2024-03-11T00:00:00Z",
    "2024-04-01T00:00:00Z",
]


def rows():
    at = pl.Series("at", MOMENTS).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us")
    return pl.DataFrame({"id": range(len(MOMENTS)), "amount": 1.0, "shop": "Oslo"}).with_columns(at)


def csv():
    return rows().with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv().encode()


@pytest.fixture(params=["csv", "parquet", "delta"])
def source(request, orders, tmp_path):
    if request.param == "csv":
        return orders(content=csv(), drops=MONTHLY)
    if request.param == "parquet":
        rows().write_parquet(tmp_path / "orders.parquet")
        return orders("orders.parquet", drops=MONTHLY)
    rows().write_delta(str(tmp_path / "orders"))
    return orders("orders", drops=MONTHLY, format="delta")


def test_every_row_is_in_a_drop_or_counted(source, orders_schema):
    assert list_drops(source, orders_schema) == ["2024-01", "2024-02", "2024-03"]
    drops = read_drops(source, ["2024-01", "2024-02"], orders_schema)
    placed = place_rows(source, orders_schema, drops)
    assert placed.places == {"before 2024-01": 2, "from 2024-04 on": 1, "without at": 1}
    assert (placed.outside, placed.waiting, placed.files) == (4, 2, ())
    assert sum(drop.frame.height for drop in drops.values()) + placed.outside + placed.waiting == len(MOMENTS)
    assert placement_table(placed).rows() == [
        ("before 2024-01", 2, False),
        ("from 2024-04 on", 1, False),
        ("without at", 1, False),
        ("not ingested", 2, True),
    ]


def test_rows_of_drops_that_are_no_longer_declared_are_counted_once(source, orders_schema):
    later = source.model_copy(update={"drops": source.drops.model_copy(update={"start": "2024-02"})})
    placed = place_rows(later, orders_schema, ["2024-01", "2024-02", "2024-03"])
    assert placed.places == {"before 2024-02": 4, "from 2024-04 on": 1, "without at": 1}
    assert placed.waiting == 0


def test_days_are_those_of_the_declared_zone(orders, orders_schema):
    drops = MONTHLY | {"time_zone": "Europe/Oslo"}
    placed = place_rows(orders(content=csv(), drops=drops), orders_schema, ["2024-01"])
    # A second before midnight of New Year's Eve in London is January in Oslo: only the sentinel lies before.
    assert placed.places == {"before 2024-01": 1, "from 2024-04 on": 1, "without at": 1}
    assert placed.waiting == 4


def test_files_that_no_declared_drop_has_are_named(orders, orders_schema, tmp_path):
    drops = {"grain": "monthly", "start": "2024-01", "end": "2024-04"}
    for name in ("2023-12", "2024-01", "2024-2", "2024-03"):
        (tmp_path / f"orders-{name}.csv").write_bytes(csv())
    spec = orders("orders-{partition}.csv", drops=drops)
    assert list_drops(spec, orders_schema) == ["2024-01", "2024-03"]
    placed = place_rows(spec, orders_schema, ["2024-01"])
    assert placed.files == ("2023-12", "2024-2")
    assert placement_table(placed).rows() == [("file 2023-12", None, False), ("file 2024-2", None, False)]
