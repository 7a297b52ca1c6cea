"""A spine whose rows share entity and second: request features are the row's own, and the audit sees where not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.modelling import context as model_context

MONTHS = ["2024-01", "2024-02"]
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-03"}
ROWS = 1_200
TRAINING_SET, VIEWS = "returns/training_set", ("features/sales", "features/trip", "features/whole")


def made_up_trips() -> pl.DataFrame:
    """Twenty trips a day, of two shops, all of them at one second."""
    random = np.random.default_rng(7)
    at = [datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=n // 20) for n in range(ROWS)]
    return pl.DataFrame(
        {
            "month": [f"{moment:%Y-%m}" for moment in at],
            "id": np.arange(ROWS),
            "shop": [("a", "b", None)[n] for n in random.integers(0, 3, ROWS)],
            "km": random.integers(1, 1000, ROWS),
            "at": at,
            "returned": random.random(ROWS) < 0.5,
            "known": [moment + timedelta(hours=1) for moment in at],
        }
    ).with_columns(pl.col("at", "known").dt.cast_time_unit("us"))


@pytest.fixture(scope="module")
def trips(make_project):
    view = {"spine": "trips", "description": "Any."}
    past = {"entity": ["shop"], "table": "trips", "known_at": "known"}
    project = make_project(
        {
            "type": "ml_assets.Spine",
            "attributes": {"name": "trips", "table": "trips", "key": ["id"], "time": "at", "partition": "month",
                           "drops": MONTHLY},
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | past | {
                "name": "sales", "windows": ["2d"], "aggregates": {"km": {"of": "km", "functions": ["sum"]}},
                "request": {"km2": "km * 2"},
            },
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {"name": "trip", "entity": ["shop"], "request": {"km3": "km * 3"}},
        },
        {"type": "ml_assets.FeatureView", "attributes": view | {"name": "whole", "request": {"km4": "km * 4"}}},
        {
            "type": "ml_assets.MLModel",
            "attributes": {
                "name": "returns", "description": "Any.", "spine": "trips", "features": ["sales", "trip", "whole"],
                "label": {"column": "returned", "known_at": "known"},
                "split": {"validation": "7d", "holdout": "7d", "gap": "1d"},
            },
        },
    )  # fmt: skip
    project.lake.replace("trips", made_up_trips(), {"month": MONTHS})
    outcome = project.run(*VIEWS, drops=MONTHS)
    assert outcome.success, outcome.errors
    return project


def test_every_row_of_the_training_set_holds_its_own_values(trips):
    outcome = trips.run(TRAINING_SET)
    assert outcome.success, outcome.errors
    assert outcome.check(f"{TRAINING_SET}:point_in_time").passed
    stored = trips.lake.scan(TRAINING_SET).collect()
    rows = made_up_trips().join(stored.select("id", "km_sum_2d", "km2", "km3", "km4"), on="id", how="inner")
    assert rows.height > 1_000
    assert rows.select((pl.col("km2") != pl.col("km") * 2).sum()).item() == 0
    assert rows.select((pl.col("km3") != pl.col("km") * 3).sum()).item() == 0
    assert rows.select((pl.col("km4") != pl.col("km") * 4).sum()).item() == 0
    # The window of two days up to noon holds what was known at 13:00 of the day before, and no more.
    of_day = rows.drop_nulls("shop").group_by("shop", "at").agg(pl.col("km").sum(), pl.col("km_sum_2d").first())
    before = of_day.with_columns(pl.col("at") + timedelta(days=1)).select("shop", "at", day="km")
    two = before.with_columns(pl.col("at") + timedelta(days=1)).select("shop", "at", earlier="day")
    compared = of_day.join(before, on=["shop", "at"]).join(two, on=["shop", "at"])
    assert compared.height > 50
    assert compared.select((pl.col("km_sum_2d") != pl.col("day") + pl.col("earlier")).sum()).item() == 0


def test_only_what_entity_and_time_determine_is_stored(trips):
    stored = trips.lake.scan("features/sales").collect()
    assert stored.columns == ["month", "at", "shop", "km_sum_2d", "_declaration", "_inputs"]
    assert stored.select("month", "at", "shop").is_unique().all()


def test_the_audit_of_the_training_set_catches_a_row_with_the_value_of_another(trips, monkeypatch):
    honest = model_context.join_features

    def joined_by_shop_and_time(spine, views, **more):
        """What a join by entity and time makes of a request feature: one row's value for all of its like."""
        features = honest(spine, views, **more)
        return features.with_columns(pl.col("km4").first().over("shop", "at"))

    monkeypatch.setattr(model_context, "join_features", joined_by_shop_and_time)
    outcome = trips.run(TRAINING_SET)
    check = outcome.check(f"{TRAINING_SET}:point_in_time")
    assert not check.passed
    assert check.blocking
    assert check.metadata["observed"].value > 25
    assert "km4" in check.metadata["differing"].value
