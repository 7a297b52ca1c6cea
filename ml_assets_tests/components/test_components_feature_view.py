from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg
import polars as pl
import pytest

from ml_assets.features import compute
from ml_assets.features.engine import parts
from ml_assets.features.engine.parts import compute_features_in_parts

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY = "2024-01", "2024-02"
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-05"}


def at(day, hour=0, month=1):
    return datetime(2024, month, day, hour, tzinfo=UTC)


def visits(*rows):
    schema = {"month": pl.String, "id": pl.Int64, "shop": pl.String, "at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def sales(*rows):
    schema = {"store": pl.String, "known": pl.Datetime("us", "UTC"), "amount": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


VISITS = visits(
    (JANUARY, 1, "a", at(10)), (JANUARY, 2, "a", at(11)), (JANUARY, 3, "b", at(11)),
    (FEBRUARY, 4, "a", at(1, month=2)), (FEBRUARY, 5, "new", at(2, month=2)),
)  # fmt: skip
SALES = sales(
    ("a", at(9), 10.0), ("a", at(10), 20.0), ("a", at(10, 1), 40.0), ("b", at(1), 5.0), ("a", at(31, 12), 7.0),
)  # fmt: skip

# Sales of the two days up to the visit, both ends by hand: (10 Jan - 2d, 10 Jan] holds 10 and 20, and so on.
LATEST = {1: 20.0, 2: 40.0, 3: 5.0, 4: 7.0, 5: None}
SUMS = {1: 30.0, 2: 60.0, 3: None, 4: 7.0, 5: None}


@pytest.fixture
def shop(make_project):
    view = {"spine": "visits", "owners": ["team:shop"], "description": "Sales of the store."}
    project = make_project(
        {
            "type": "ml_assets.Spine",
            "attributes": {"name": "visits", "table": "visits", "key": ["id"], "time": "at", "partition": "month",
                           "drops": MONTHLY},
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {
                "name": "sales", "table": "sales", "entity": ["store"], "spine_keys": {"store": "shop"},
                "known_at": "known", "latest": {"last_amount": "amount"}, "windows": ["2d"],
                "aggregates": {"amount": {"of": "amount", "functions": ["sum"]}},
            },
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {"name": "visit", "entity": ["id"], "request": {"weekday": "EXTRACT(dow FROM at)"}},
        },
        {
            "type": "ml_assets.MLModel",
            "attributes": {
                "name": "returns", "description": "Any.", "spine": "visits", "features": ["sales", "visit"],
                "label": {"column": "returned", "known_at": "at"},
                "split": {"validation": "2d", "holdout": "2d", "gap": "1d"},
            },
        },
    )  # fmt: skip
    project.lake.replace("visits", VISITS, {"month": [JANUARY, FEBRUARY]})
    project.lake.replace("sales", SALES)
    return project


def by_visit(shop, feature):
    rows = VISITS.join(shop.lake.scan("features/sales").collect(), on=["month", "shop", "at"], how="left")
    return dict(rows.select("id", feature).iter_rows())


def test_features_are_those_known_at_each_rows_time(shop):
    outcome = shop.run("features/sales", drops=[JANUARY, FEBRUARY])
    assert outcome.success, outcome.errors
    assert by_visit(shop, "last_amount") == LATEST
    assert by_visit(shop, "amount_sum_2d") == SUMS
    check = outcome.check("features/sales:point_in_time")
    assert check.passed
    assert check.blocking
    assert (check.metadata["observed"].value, check.metadata["rows_recomputed"].value) == (0, 5)


def test_a_drop_computed_alone_is_the_same_as_computed_with_others(shop):
    shop.run("features/sales", drops=[FEBRUARY])
    shop.run("features/sales", drops=[JANUARY])
    assert by_visit(shop, "last_amount") == LATEST
    assert by_visit(shop, "amount_sum_2d") == SUMS
    assert shop.lake.partitions("features/sales", "month") == [JANUARY, FEBRUARY]


def test_a_drop_computed_in_parts_is_the_same(shop, monkeypatch):
    monkeypatch.setattr(compute, "compute_features_in_parts", partial(compute_features_in_parts, rows_in_memory=1))
    shop.lake.replace("visits", pl.concat([VISITS, VISITS.head(1)]), {"month": [JANUARY, FEBRUARY]})
    outcome = shop.run("features/sales", drops=[JANUARY, FEBRUARY])
    assert outcome.success, outcome.errors
    assert by_visit(shop, "last_amount") == LATEST
    assert by_visit(shop, "amount_sum_2d") == SUMS
    assert shop.lake.scan("features/sales").collect().height == 5
    check = outcome.check("features/sales:point_in_time")
    assert (check.passed, check.metadata["rows_recomputed"].value) == (True, 6)


def test_a_rerun_leaves_no_duplicates(shop):
    for _ in range(2):
        shop.run("features/sales", drops=[JANUARY, FEBRUARY])
    assert shop.lake.scan("features/sales").collect().height == 5


def test_the_asset_tells_what_it_read_and_what_is_missing(shop):
    metadata = shop.run("features/sales", drops=[JANUARY, FEBRUARY]).metadata("features/sales")
    assert metadata["dagster/row_count"] == 5
    assert metadata["table_version"] == 0
    assert metadata["table_versions_read"] == {"visits": 0, "sales": 0}
    assert metadata["missing_share"] == {"last_amount": 0.2, "amount_sum_2d": 0.4}


def test_the_spec_names_its_tables_and_features(shop):
    specs = {spec.key.to_user_string(): spec for assets in shop.definitions.assets for spec in assets.specs}
    spec = specs["features/sales"]
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == {"visits", "sales"}
    assert spec.metadata["features"] == ["last_amount", "amount_sum_2d"]
    assert spec.group_name == "shop"
    assert spec.owners == ["team:shop"]
    assert {dep.asset_key.to_user_string() for dep in specs["features/visit"].deps} == {"visits"}


@pytest.fixture
def leaking_engine(monkeypatch):
    """Computes every feature as of twelve hours after the prediction time."""
    honest = parts.compute_features

    def leak(view, spine, events, *, time):
        moved = spine.with_columns(pl.col(time) + timedelta(hours=12))
        return honest(view, moved, events, time=time).with_columns(spine[time])

    monkeypatch.setattr(parts, "compute_features", leak)


@pytest.mark.usefixtures("leaking_engine")
def test_a_feature_that_uses_the_future_is_caught_and_blocks_training(shop):
    outcome = shop.run("features/sales", "returns/training_set", drops=[JANUARY])
    check = outcome.check("features/sales:point_in_time")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    # The first visit sees the sale of one hour later: 40 instead of 20, and in the sum 70 instead of 30.
    assert check.metadata["observed"].value == 2
    told = check.metadata["differing"].value
    assert all(word in told for word in ("last_amount", "40.0", "20.0", "amount_sum_2d", "70.0", "30.0"))
    assert not outcome.success
    assert "returns/training_set" not in outcome.materialized


@pytest.mark.usefixtures("leaking_engine")
def test_a_leak_is_caught_even_when_another_view_is_honest(shop):
    outcome = shop.run("features/sales", "features/visit", drops=[JANUARY])
    assert outcome.check("features/visit:point_in_time").passed
    assert not outcome.check("features/sales:point_in_time").passed


def test_a_leak_within_a_single_row_of_many_is_caught(shop, monkeypatch):
    honest = parts.compute_features

    def leak_once(view, spine, events, *, time):
        computed = honest(view, spine, events, time=time)
        first = pl.int_range(pl.len()) == 0
        return computed.with_columns(pl.when(first).then(40.0).otherwise(pl.col("last_amount")).alias("last_amount"))

    monkeypatch.setattr(parts, "compute_features", leak_once)
    outcome = shop.run("features/sales", drops=[JANUARY])
    assert outcome.check("features/sales:point_in_time").metadata["observed"].value == 1


def test_a_missing_table_says_what_to_do(make_project):
    spine = {"name": "visits", "table": "visits", "key": ["id"], "time": "at", "partition": "month", "drops": MONTHLY}
    view = {"name": "visit", "spine": "visits", "description": "Any.", "entity": ["id"], "request": {"number": "id"}}
    project = make_project(
        {"type": "ml_assets.Spine", "attributes": spine},
        {"type": "ml_assets.FeatureView", "attributes": view},
    )
    (error,) = project.run("features/visit", drops=[JANUARY]).errors
    assert "table 'visits' is not in the lake at" in error
    assert error.endswith("materialize the asset that writes it first")


def test_a_spine_that_does_not_exist_is_named(make_project):
    view = {"name": "visit", "spine": "nothing", "description": "Any.", "entity": ["id"], "request": {"number": "id"}}
    project = make_project({"type": "ml_assets.FeatureView", "attributes": view})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's own error has no public name
        project.definitions  # noqa: B018
    assert "spine: 'nothing' is not declared; there are none" in str(caught.value.__cause__)
