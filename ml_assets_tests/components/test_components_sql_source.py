"""A query cut into days or hours, from the declaration to the lake and the sensor's requests."""

import sqlite3
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from ml_assets.automation.sensors.drops import drop_sensor
from ml_assets.components.sources.source import Source
from ml_assets.resources import LakeResource

SOURCE = {
    "name": "orders",
    "description": "One row per order.",
    "where": {"query": "select * from orders", "connection": "SHOP_DATABASE"},
    "contract": "CONTRACTS:Orders",
    "key_columns": ["id"],
}
GRAINS = {
    "daily": ("2024-01-01", ["2024-01-01", "2024-01-02", "2024-01-04"]),
    "hourly": ("2024-01-01T00", ["2024-01-01T22", "2024-01-01T23", "2024-01-02T00", "2024-01-04T09"]),
    "weekly": ("2024-01-01", ["2024-01-01"]),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Orders placed at 22:30, 23:30, 00:30 and, after a day without any, at 09:30."""
    path = tmp_path_factory.mktemp("database") / "shop.db"
    first = datetime(2024, 1, 1, 22, 30, tzinfo=UTC)
    with sqlite3.connect(path) as connection:
        connection.execute("create table orders (id, customer, amount, placed_at, settled_at, returned)")
        for number, hours in enumerate((0, 1, 2, 59)):
            placed = (first + timedelta(hours=hours)).isoformat()
            connection.execute("insert into orders values (?, 'a', 5.0, ?, ?, 'true')", (number, placed, placed))
    return f"sqlite:///{path}"


@pytest.fixture
def sensed(make_project, monkeypatch, database):
    def load(grain):
        monkeypatch.setenv("SHOP_DATABASE", database)
        drops = {"grain": grain, "column": "placed_at", "start": GRAINS[grain][0]}
        project = make_project({"type": "ml_assets.Source", "attributes": SOURCE | {"drops": drops}})
        sources = dg.ComponentTree.for_project(project.folder).get_all_components(of_type=Source)
        return project, drop_sensor("shop", sources, 30)

    return load


def stretches(result):
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    return [(r.tags.get(start, r.partition_key), r.tags.get(end, r.partition_key)) for r in result.run_requests]


@pytest.mark.parametrize("grain", GRAINS)
def test_what_the_sensor_asks_for_can_be_run_and_is_then_not_asked_for_again(sensed, grain):
    project, sensor = sensed(grain)
    lake = LakeResource(root=project.lake.root)
    context = dg.build_sensor_context(instance=project.instance, resources={"lake": lake})
    found = sensor(context)
    asked = stretches(found)
    held = GRAINS[grain][1]
    assert asked == ([(held[0], held[-2]), (held[-1],) * 2] if len(held) > 1 else [(held[0],) * 2])
    for first, last in asked:
        run = project.run("orders/raw", "orders/validated", "orders/quarantine", drops=(first, last))
        assert run.success, run.errors
    stored = project.lake.scan("orders/validated").select("_drop", "id", "returned").collect()
    assert sorted(stored["_drop"].unique()) == held
    assert sorted(stored["id"]) == [0, 1, 2, 3]
    assert stored["returned"].dtype == pl.Boolean
    again = dg.build_sensor_context(instance=project.instance, resources={"lake": lake}, cursor=found.cursor)
    assert sensor(again).run_requests == []


def test_a_database_that_is_not_there_is_told_by_one_run_that_fails_with_one_line(sensed, monkeypatch):
    project, sensor = sensed("daily")
    monkeypatch.setenv("SHOP_DATABASE", "postgresql://shop:Pa55word@127.0.0.1:1/shop")
    told = "the database of SHOP_DATABASE cannot be reached"
    context = dg.build_sensor_context(
        instance=project.instance, resources={"lake": LakeResource(root=project.lake.root)}
    )
    (first,), (second,) = (sensor(context).run_requests for _ in range(2))
    assert first.run_key == second.run_key, "it fails once, however often one looks"
    assert "Pa55word" not in str(first)
    run = project.run("orders/raw", drops=("2024-01-01",))
    (error,) = run.errors
    assert "SourceError: source 'orders', drop '2024-01-01': unreachable: " + told in error
    events = "".join(str(event) for event in run.result.all_events)
    assert told in events
    assert "Pa55word" not in events
