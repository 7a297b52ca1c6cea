"""Calendar features against the standard library's dates and against known holidays."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ml_assets.features.audit.plain_calendar import plain_calendar
from ml_assets.features.declared.calendar import CalendarPart, CalendarPartsSpec
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

MOMENT = pl.Datetime("us", "UTC")
PARTS = list(CalendarPart.__args__)


def view(**fields) -> FeatureViewSpec:
    spec = {"time_zone": "Europe/Paris", "parts": PARTS, "country": "FR"} | fields
    return FeatureViewSpec(name="days", description="The day.", calendar={"due": spec})


def computed(declared: FeatureViewSpec, times: list, dtype=MOMENT) -> pl.DataFrame:
    spine = pl.DataFrame(
        {
            "at": pl.Series(times, dtype=dtype),
            "asked": pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * len(times), dtype=MOMENT),
        }
    )
    return compute_features(declared, spine, None, time="asked").select(declared.feature_names)


def test_parts_of_a_moment_are_those_of_the_local_calendar():
    # 23:30 in UTC is half past midnight of 1 May in Paris: Labour Day, a Wednesday; Victory Day is a week later.
    (row,) = computed(view(at="at"), [datetime(2024, 4, 30, 22, 30, tzinfo=UTC)]).rows(named=True)
    assert row == {
        "due_hour": 0, "due_weekday": 3, "due_weekend": False, "due_day": 1, "due_day_of_year": 122, "due_week": 18,
        "due_month": 5, "due_quarter": 2, "due_month_start": True, "due_month_end": False, "due_holiday": True,
        "due_days_to_holiday": 0, "due_days_since_holiday": 0,
    }  # fmt: skip
    (utc,) = computed(view(at="at", time_zone="UTC"), [datetime(2024, 4, 30, 22, 30, tzinfo=UTC)]).rows(named=True)
    # Easter Monday was 1 April.
    assert [
        utc[f"due_{part}"] for part in ("hour", "month_end", "holiday", "days_to_holiday", "days_since_holiday")
    ] == [22, True, False, 1, 29]


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(
    st.lists(
        st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2099, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
    st.sampled_from([("DE", "BY"), ("US", None), ("JP", None)]),
)
def test_columns_agree_with_the_plain_calendar_of_each_row(times, zone, region):
    declared = view(at="at", time_zone=zone, country=region[0], subdivision=region[1])
    spine = pl.DataFrame({"at": pl.Series(times, dtype=MOMENT)})
    expected = [plain_calendar(declared, spine[row], 0) for row in range(spine.height)]
    assert computed(declared, times).rows(named=True) == expected


def test_a_date_is_taken_as_it_is_and_the_default_is_the_prediction_time():
    of_date = view(at="at", time_zone="Pacific/Apia", parts=["weekday", "holiday"], country="FR")
    assert computed(of_date, [date(2024, 7, 14), None], pl.Date).rows() == [(7, True), (None, None)]
    assert computed(view(parts=["holiday"]), [None]).rows() == [(True,)]


def test_years_without_known_holidays_are_null_not_false():
    found = computed(view(at="at", parts=["holiday", "days_to_holiday", "weekend"]), [date(1700, 1, 1)], pl.Date)
    assert found.rows() == [(None, None, False)]


def test_an_empty_spine_has_the_same_types():
    assert computed(view(at="at"), []).schema == computed(view(at="at"), [datetime(2024, 1, 1, tzinfo=UTC)]).schema


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"time_zone": "Europe/Nowhere"}, "'Europe/Nowhere' is no IANA time zone"),
        ({"parts": []}, "parts: name at least one"),
        ({"parts": ["day", "day"]}, "day twice"),
        ({"country": None}, "country: is needed by holiday"),
        ({"parts": ["day"]}, "parts name nothing of holidays"),
    ],
)
def test_what_is_wrong_is_said_when_declared(fields, message):
    with pytest.raises(ValidationError, match=message):
        CalendarPartsSpec(**{"time_zone": "UTC", "parts": ["holiday"], "country": "FR"} | fields)


@pytest.mark.parametrize(
    ("declared", "dtype", "message"),
    [
        (view(at="at", country="ZZ"), MOMENT, "calendar.due: country: 'ZZ' is none whose holidays are known"),
        (view(at="at", subdivision="XX"), MOMENT, "subdivision: 'XX' is none of FR"),
        (view(at="at"), pl.Date, "'at' is a date, which has no hour"),
        (view(at="at", parts=["day"], country=None), pl.Datetime("us"), "neither a moment with its zone nor a date"),
    ],
)
def test_what_cannot_be_computed_is_one_message(declared, dtype, message):
    with pytest.raises(FeatureError, match=message):
        computed(declared, [None], dtype)
