"""Features of a request are what the engine computes from the same row."""

import math
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction import request_features
from ml_assets.serving.prediction.request_features import RequestFeatures

SCHEMA = {
    "courier": pl.String(), "minute": pl.Int16(), "parcels": pl.Int64(), "km": pl.Float64(), "kg": pl.Float32(),
    "express": pl.Boolean(), "due": pl.Datetime("us", "UTC"), "day": pl.Date(),
}  # fmt: skip
VIEWS = [
    FeatureViewSpec(
        name="parcel",
        description="The parcel.",
        request={
            "courier": "courier",
            "minute": "minute",
            "kg": "kg",
            "hour": "FLOOR(minute / 60)",
            "late_hour": "minute / 60 >= 20",
            "per_parcel": "km / parcels",
            "inverse": "1 / NULLIF(km, 0)",
            "sign": "CASE WHEN 1 / km < 0 THEN 'down' ELSE 'up' END",
            "speed": "CASE WHEN express THEN km * 2 ELSE km END",
            "shout": "UPPER(courier)",
            "constant": "3",
            "due_hour": "EXTRACT(hour FROM due)",
            "weekday": "EXTRACT(isodow FROM day)",
        },
    ),
    FeatureViewSpec(
        name="clock",
        description="The moment.",
        request={"asked_hour": "EXTRACT(hour FROM asked_at)", "is_kg": "kg IS NOT NULL"},
    ),
]

numbers = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1e300]), st.floats(allow_nan=False, allow_infinity=False))
rows = st.fixed_dictionaries(
    {
        "courier": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
        "minute": st.none() | st.integers(-(2**15), 2**15 - 1),
        "parcels": st.none() | st.integers(-3, 3),
        "km": st.none() | numbers,
        "kg": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        "express": st.none() | st.booleans(),
        "due": st.none()
        | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
        "day": st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    }
)


@pytest.fixture(scope="module")
def computed():
    return RequestFeatures(VIEWS, SCHEMA, "asked_at")


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=1e-9) and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and one == other


@settings(max_examples=150, deadline=None)
@given(asked=st.lists(rows, min_size=1, max_size=4), at=st.integers(0, 4 * 10**15))
def test_what_is_remembered_is_what_the_engine_computes(computed, asked, at):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    spine = pl.DataFrame(asked, schema=SCHEMA).with_columns(asked_at=pl.lit(moment).cast(pl.Datetime("us", "UTC")))
    wanted = [compute_features(view, spine, None, time="asked_at").to_dicts() for view in VIEWS]
    # Twice: what was computed, and what was remembered.
    for _ in range(2):
        found = computed.compute(asked, at)
        for place, row in enumerate(found):
            expected = {
                name: part[place][name] for view, part in zip(VIEWS, wanted, strict=True) for name in view.request
            }
            assert row.keys() == expected.keys()
            assert [name for name in row if not same(row[name], expected[name])] == []


def test_an_expression_is_evaluated_once_for_each_input(monkeypatch):
    view = FeatureViewSpec(name="v", description="d", request={"minute": "minute", "hour": "FLOOR(minute / 60)"})
    features = RequestFeatures([view], SCHEMA, "asked_at")
    row = dict.fromkeys(SCHEMA)
    evaluated = []
    select = pl.DataFrame.select
    monkeypatch.setattr(
        pl.DataFrame, "select", lambda self, *args: evaluated.append(self.row(0)) or select(self, *args)
    )
    asked = [row | {"minute": minute, "courier": courier} for minute, courier in ((59, "a"), (60, "a"), (59, "b"))]
    told = [{"minute": 59, "hour": 0.0}, {"minute": 60, "hour": 1.0}, {"minute": 59, "hour": 0.0}]
    assert features.compute(asked, 0) == told
    assert features.compute(asked, 5) == told
    assert evaluated == [(59,), (60,)]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(request_features, "REMEMBERED", 3)
    view = FeatureViewSpec(name="v", description="d", request={"hour": "FLOOR(minute / 60)"})
    features = RequestFeatures([view], SCHEMA, "asked_at")
    asked = [{"minute": 60 * hour} for hour in range(8)]
    for _ in range(2):
        assert features.compute(asked, 0) == [{"hour": float(hour)} for hour in range(8)]
        (group,) = features._groups
        assert len(group._remembered) == 3


def test_a_row_that_cannot_be_computed_names_features_and_inputs():
    view = FeatureViewSpec(name="v", description="d", request={"number": "CAST(courier AS BIGINT)"})
    features = RequestFeatures([view], SCHEMA, "asked_at")
    assert features.compute([{"courier": "12"}], 0) == [{"number": 12}]
    with pytest.raises(BadRequest, match="features number cannot be computed of courier = 'twelve'"):
        features.compute([{"courier": "twelve"}], 0)


def test_an_expression_that_is_none_is_told_at_once():
    view = FeatureViewSpec(name="v", description="d", request={"hour": "minute // 60 //"})
    with pytest.raises(FeatureError, match="no Polars SQL expression"):
        RequestFeatures([view], SCHEMA, "asked_at")
