"""Calendar and derived features of requests are what the engine computes of the same rows."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.row.features import computable
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_view
from ml_assets.online.build import build_view
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds
from ml_assets.online.values.unseen import unseen_values
from ml_assets.serving.declared import RequestField, ServedModel
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction import calendar_features
from ml_assets.serving.prediction.row_model import RowModel
from ml_assets.training.records.inputs import ModelInputs
from ml_assets.training.spec import LabelSpec, SpineSpec

MOMENT = pl.Datetime("us", "UTC")
NOON = datetime(2024, 3, 29, 12, tzinfo=UTC)
SALES = pl.DataFrame(
    {"item": ["a", "a", "b"], "sold_at": [NOON - timedelta(hours=h) for h in (30, 2, 3)], "units": [4, 2, 0]},
    schema={"item": pl.String, "sold_at": MOMENT, "units": pl.Int64},
)
VIEW = FeatureViewSpec(
    name="items", description="How items sell.", entity=["item"], table="sales", known_at="sold_at",
    latest={"last_units": "units"}, lags={"units_yesterday": {"of": "units", "offset": "1d"}}, windows=["1d", "7d"],
    aggregates={"units": {"of": "units", "functions": ["sum", "mean"]}},
    request={"kilos": "kilos", "heavy": "kilos > 2"},
    calendar={
        "day": {"time_zone": "Europe/Berlin", "parts": ["hour", "weekday", "holiday"], "country": "DE"},
        "target": {"at": "target_at", "time_zone": "Asia/Kathmandu", "parts": ["hour", "month_end"]},
        "wanted": {"at": "wanted_on", "time_zone": "UTC", "parts": ["day_of_year"]},
    },
    derived={
        "trend": "ROUND(units_sum_1d / units_sum_7d, 3)", "per_kilo": "units_sum_1d / kilos",
        "change": "last_units - units_yesterday", "rush": "heavy AND day_holiday",
    },
)  # fmt: skip
SPINE = {"item": pl.String, "kilos": pl.Float64, "target_at": MOMENT, "wanted_on": pl.Date}
ROWS = [
    {"item": "a", "kilos": 3.0, "target_at": NOON.replace(day=31, hour=18, minute=20), "wanted_on": date(2024, 12, 31)},
    {"item": "a", "kilos": 0.0, "target_at": NOON.replace(day=31, hour=18, minute=10), "wanted_on": None},
    {"item": "b", "kilos": None, "target_at": None, "wanted_on": date(2024, 1, 1)},
    {"item": "unseen", "kilos": 2.5, "target_at": NOON, "wanted_on": date(2024, 1, 2)},
]
FIELDS = [
    RequestField(name="item", kind="text", dtype="String"),
    RequestField(name="kilos", kind="number", dtype="Float64"),
    RequestField(name="target_at", kind="moment", dtype=str(MOMENT)),
    RequestField(name="wanted_on", kind="date", dtype="Date"),
]


@pytest.fixture
def store(tmp_path):
    made = open_store(f"sqlite:///{tmp_path}/online.db")
    build_view(made, VIEW, SALES.lazy(), as_of=NOON, max_age=timedelta(hours=6), build="one")
    yield made
    made.close()


def row_model(store, views=(VIEW,), fields=FIELDS) -> RowModel:
    types = {name: str(dtype) for name, dtype in unseen_values(stored_view(VIEW), SALES.schema).schema.items()}
    declared = ServedModel(
        name="m", key=["item"], time="asked_at", fields=list(fields), views=list(views), stored_types=types
    )
    return RowModel(declared, store)


def by_the_engine(rows, at, view=VIEW) -> pl.DataFrame:
    spine = pl.DataFrame(rows, schema=SPINE).with_columns(pl.lit(at).cast(MOMENT).alias("asked_at"))
    return compute_features(view, spine, SALES, time="asked_at").select(view.feature_names)


@pytest.mark.parametrize("after", [timedelta(0), timedelta(hours=1, seconds=59, microseconds=3), timedelta(hours=5)])
def test_answers_are_what_the_engine_computes(store, after):
    model = row_model(store)
    # Good Friday, all day long.
    for _ in range(2):
        found, _ = model.features(ROWS, microseconds(NOON + after))
        expected = by_the_engine(ROWS, NOON + after)
        assert_frame_equal(pl.DataFrame(found, schema=expected.schema), expected)
    assert expected["rush"].to_list() == [True, False, None, True]
    alone = [model.features([row], microseconds(NOON + after))[0][0] for row in ROWS]
    assert alone == found


def test_what_is_derived_of_expired_values_is_null(store):
    (row,), _ = row_model(store).features(ROWS[:1], microseconds(NOON + timedelta(hours=7)))
    assert [row[name] for name in ("units_sum_1d", "trend", "change", "kilos", "day_weekday")] == [
        None,
        None,
        None,
        3.0,
        5,
    ]


def test_every_feature_can_be_given(store):
    inputs = ModelInputs(
        spine=SpineSpec(table="t", key=["item"], time="asked_at"),
        label=LabelSpec(column="y", known_at="k"), task="binary", views=(VIEW,),
    )  # fmt: skip
    trained = type("Trained", (), {"features": VIEW.feature_names, "inputs": inputs})
    assert row_model(store).lacking(trained) == []
    # Without a field what reads it cannot be given, directly or through another feature.
    less = row_model(store, [computable(VIEW, ["item"])], FIELDS[:1]).trained_on(inputs)
    assert less.lacking(trained) == [
        name
        for name in VIEW.feature_names
        if name.startswith(("target_", "wanted_")) or name in ("kilos", "heavy", "per_kilo", "rush")
    ]


def test_the_calendar_is_computed_once_a_minute(store, monkeypatch):
    model, computed = row_model(store), []
    of = calendar_features.calendar_of
    monkeypatch.setattr(
        calendar_features,
        "calendar_of",
        lambda moments, *rest: computed.append(moments.to_list()) or of(moments, *rest),
    )
    for second in (0, 1, 59, 60):
        model.features(
            [ROWS[0] | {"target_at": None, "wanted_on": None}], microseconds(NOON + timedelta(seconds=second))
        )
    assert [moments for moments in computed if moments != [None]] == [[NOON], [NOON + timedelta(minutes=1)]]


def test_what_is_remembered_is_bounded(store, monkeypatch):
    monkeypatch.setattr(calendar_features, "REMEMBERED", 3)
    model = row_model(store)
    rows = [ROWS[0] | {"target_at": NOON + timedelta(minutes=m)} for m in range(8)]
    found = [model.features([row], microseconds(NOON))[0][0] for row in rows]
    assert pl.DataFrame(found)["target_hour"].to_list() == by_the_engine(rows, NOON)["target_hour"].to_list()
    assert all(len(calendar._remembered) <= 3 for calendar in model._calendars._calendars)


def test_what_cannot_be_derived_is_the_requests_fault(store):
    view = VIEW.model_copy(update={"request": {"code": "item"}, "derived": {"number": "CAST(code AS BIGINT)"}})
    model = row_model(store, [view])
    assert model.features([ROWS[0] | {"item": "12"}], microseconds(NOON))[0][0]["number"] == 12
    with pytest.raises(BadRequest, match="features number cannot be computed"):
        model.features(ROWS[:1], microseconds(NOON))


def test_how_long_ago_something_was_is_served_of_hidden_moments(tmp_path):
    view = FeatureViewSpec(
        name="recency", description="When items sold last.", entity=["item"], table="sales", known_at="sold_at",
        latest={"last_sold_at": "EXTRACT(EPOCH FROM sold_at)"}, request={"now": "EXTRACT(EPOCH FROM asked_at)"},
        derived={"days_since_sale": "(now - last_sold_at) / 86400"}, hidden=["last_sold_at", "now"],
    )  # fmt: skip
    at = NOON + timedelta(hours=1, seconds=59, microseconds=3)
    types = {name: str(dtype) for name, dtype in unseen_values(stored_view(view), SALES.schema).schema.items()}
    declared = ServedModel(
        name="m", key=["item"], time="asked_at", fields=FIELDS[:1], views=[view], stored_types=types
    )  # fmt: skip
    store = open_store(f"sqlite:///{tmp_path}/recency.db")
    build_view(store, view, SALES.lazy(), as_of=NOON, max_age=timedelta(hours=6), build="one")
    found, _ = RowModel(declared, store).features(ROWS, microseconds(at))
    store.close()
    expected = by_the_engine(ROWS, at, view)
    assert expected.columns == view.feature_names == ["days_since_sale"]
    assert [row["days_since_sale"] for row in found] == expected["days_since_sale"].to_list()
    assert expected["days_since_sale"].to_list()[3] is None
    assert expected["days_since_sale"].to_list()[0] == pytest.approx(
        (at - SALES["sold_at"][1]) / timedelta(days=1), abs=1e-11
    )
