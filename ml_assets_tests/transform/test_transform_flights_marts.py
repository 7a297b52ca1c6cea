from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.quality.contracts import contract_schema, load_contract
from ml_assets.transform.build import build_models
from ml_assets.transform.project import DbtProject

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
CONTRACTS = "ml_assets.defs.flights.sources.contracts"


def utc(text):
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def flight(number, due, clock, dest, lands, air, arrival_delay=0, *, delay=0, miles=1000, origin="JFK", sched=None):
    """A row of the source. `due` is the scheduled departure in UTC, `clock` the same in New York as HHMM;
    `lands` is the local time of arrival as HHMM; `sched` the scheduled one."""
    moment = utc(due)
    local_day = moment.astimezone(ZoneInfo("America/New_York"))
    assert local_day.hour * 100 + local_day.minute == clock
    return {
        "year": local_day.year, "month": local_day.month, "day": local_day.day, "carrier": "AA", "flight": number,
        "tailnum": f"N{number:03}AA", "origin": origin, "dest": dest, "distance": miles, "air_time": air,
        "sched_dep_time": clock, "dep_delay": delay, "arr_time": lands, "arr_delay": arrival_delay,
        "sched_arr_time": sched or lands or 1200, "hour": clock // 100, "minute": clock % 100,
        "time_hour": moment.replace(minute=0), "_drop": f"{local_day:%Y-%m}",
    }  # fmt: skip


# What happens -> the row, departure and arrival in UTC as a clock on the wall of each airport has them.
ARRIVALS = {
    # 08:00 EST (UTC-5) to 11:10 PST (UTC-8): 6 h 10 min under way.
    "three time zones west": (
        flight(1, "2013-01-15 13:00", 800, "LAX", 1110, 330, miles=2475), "2013-01-15 13:00", "2013-01-15 19:10",
    ),
    # 23:30 EST to 00:35 EST of the next day.
    "across midnight in one time zone": (
        flight(2, "2013-01-16 04:30", 2330, "BOS", 35, 40, miles=187), "2013-01-16 04:30", "2013-01-16 05:35",
    ),
    # 2400 is the midnight that ends 15 January in Boston.
    "at midnight written as 2400": (
        flight(3, "2013-01-16 03:50", 2250, "BOS", 2400, 40, miles=187), "2013-01-16 03:50", "2013-01-16 05:00",
    ),
    # Due 23:00 EST, left 01:00 EST the next day; landed 02:25 CST (UTC-6).
    "delayed past midnight before departing": (
        flight(4, "2013-01-16 04:00", 2300, "ORD", 225, 120, 115, delay=120, miles=740, sched=30),
        "2013-01-16 06:00", "2013-01-16 08:25",
    ),
    # 21:30 EST to 00:45 PST: midnight passes in New York first, then in Los Angeles, after the landing's day began.
    "across midnight and three time zones": (
        flight(5, "2013-01-16 02:30", 2130, "LAX", 45, 340, miles=2475), "2013-01-16 02:30", "2013-01-16 08:45",
    ),
    # 10:00 EDT (UTC-4) to 15:05 in Honolulu (UTC-10, no daylight saving): 11 h 5 min.
    "to where clocks never change": (
        flight(6, "2013-07-10 14:00", 1000, "HNL", 1505, 640, miles=4963), "2013-07-10 14:00", "2013-07-11 01:05",
    ),
    # Phoenix keeps UTC-7 in summer: 12:30 there is 19:30 UTC.
    "to a state without daylight saving": (
        flight(7, "2013-07-10 14:00", 1000, "PHX", 1230, 300, miles=2153), "2013-07-10 14:00", "2013-07-10 19:30",
    ),
    # 10 March: 02:00 EST becomes 03:00 EDT. 01:30 EST to 03:35 EDT is 65 minutes.
    "over the lost hour": (
        flight(8, "2013-03-10 06:30", 130, "BOS", 335, 40, miles=187), "2013-03-10 06:30", "2013-03-10 07:35",
    ),
    # Leaves before New York's change, lands after Los Angeles', at 03:40 PDT (UTC-7).
    "over the lost hour of another zone": (
        flight(9, "2013-03-10 04:30", 2330, "LAX", 340, 330, miles=2475), "2013-03-10 04:30", "2013-03-10 10:40",
    ),
    # 10 March, 09:30 UTC: New York has daylight time already, Los Angeles has not: 01:30 PST.
    "between two zones' changes in spring": (
        flight(10, "2013-03-10 03:20", 2220, "LAX", 130, 330, miles=2475), "2013-03-10 03:20", "2013-03-10 09:30",
    ),
    # 3 November: 02:00 EDT becomes 01:00 EST. 00:30 EDT to 02:10 EST is 2 h 40 min.
    "over the repeated hour": (
        flight(11, "2013-11-03 04:30", 30, "BOS", 210, 130, miles=187), "2013-11-03 04:30", "2013-11-03 07:10",
    ),
    # 23:30 EDT to 02:10 PST, after Los Angeles' change at 09:00 UTC: 6 h 40 min.
    "over the repeated hour of another zone": (
        flight(12, "2013-11-03 03:30", 2330, "LAX", 210, 340, miles=2475), "2013-11-03 03:30", "2013-11-03 10:10",
    ),
    # 01:40 happened twice in Los Angeles. The later one is taken, so that nothing is known before it happened.
    "within the repeated hour": (
        flight(20, "2013-11-03 03:30", 2330, "LAX", 140, 340, miles=2475), "2013-11-03 03:30", "2013-11-03 09:40",
    ),
    # Puerto Rico is not in the source's list of airports; it keeps UTC-4: 13:50 there is 17:50 UTC.
    "to an airport that the source leaves out": (
        flight(13, "2013-01-10 14:30", 930, "SJU", 1450, 210, miles=1598), "2013-01-10 14:30", "2013-01-10 18:50",
    ),
    # Left 1301 minutes late (the year's longest delay): 14:00 + 21:41 = 11:41 UTC; landed 12:42 in Honolulu.
    "the longest delay": (
        flight(14, "2013-01-09 14:00", 900, "HNL", 1242, 640, 1272, delay=1301, miles=4983, sched=1530),
        "2013-01-10 11:41", "2013-01-10 22:42",
    ),
    # Due 00:05, left 10 minutes early and so on the day before.
    "early across midnight": (
        flight(15, "2013-01-16 05:05", 5, "BOS", 100, 40, delay=-10, miles=187), "2013-01-16 04:55", "2013-01-16 06:00",
    ),
    # Turned back or put down elsewhere, then went on: 20:30 PST the same day; no delay is recorded.
    "diverted and landed at last": (
        flight(16, "2013-01-15 13:00", 800, "LAX", 2030, None, None, miles=2475, sched=1110),
        "2013-01-15 13:00", "2013-01-16 04:30",
    ),
    "diverted for good": (
        flight(17, "2013-01-15 13:00", 800, "LAX", None, None, None, miles=2475), "2013-01-15 13:00", None,
    ),
    "cancelled": (
        flight(18, "2013-01-15 13:00", 800, "LAX", None, None, None, delay=None, miles=2475), None, None,
    ),
    "to an airport without a time zone": (
        flight(19, "2013-01-15 13:00", 800, "ZZZ", 1110, 330, miles=2475), "2013-01-15 13:00", None,
    ),
}  # fmt: skip

LABELS = {-20: False, 0: False, 14: False, 15: True, 16: True, 300: True, None: None}
LABEL_ROWS = {
    delay: flight(100 + i, "2013-05-02 14:00", 1000, "BOS", None if delay is None else 1105, delay and 40, delay)
    for i, delay in enumerate(LABELS)
}

# Due 12:00, left 12:30. Due 12:10, cancelled. Due 12:20, left 12:15. Another airport: due 12:00, left 12:00.
BOARD_ROWS = [
    flight(201, "2013-06-05 12:00", 800, "BOS", 930, 40, delay=30, origin="LGA"),
    flight(202, "2013-06-05 12:10", 810, "BOS", None, None, None, delay=None, origin="LGA"),
    flight(203, "2013-06-05 12:20", 820, "BOS", 925, 40, delay=-5, origin="LGA"),
    flight(204, "2013-06-05 12:00", 800, "BOS", 905, 40, origin="EWR"),
]

AIRPORTS = [("LAX", "America/Los_Angeles"), ("BOS", "America/New_York"), ("ORD", "America/Chicago"),
            ("HNL", "Pacific/Honolulu"), ("PHX", "America/Phoenix"), ("ZZZ", None)]  # fmt: skip


def table(contract, rows):
    schema = contract_schema(load_contract(f"{CONTRACTS}:{contract}")) | {"_drop": pl.String}
    complete = [{**dict.fromkeys(schema), **row} for row in rows]
    return pl.DataFrame(complete, schema=schema)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The real project over a lake of a few hand-made rows, built once."""
    folder = tmp_path_factory.mktemp("marts")
    lake = Lake(str(folder / "lake"))
    flights = [*(row for row, *_ in ARRIVALS.values()), *LABEL_ROWS.values(), *BOARD_ROWS]
    lake.replace("flights/validated", table("Flights", flights))
    airports = [{"faa": code, "name": code, "tzone": zone, "lat": 0.0, "lon": 0.0} for code, zone in AIRPORTS]
    lake.replace("airports/validated", table("Airports", airports))
    observed = {"origin": "JFK", "temp": 50.0, "dewp": 41.5, "wind_speed": 12.0, "precip": 0.1}
    weather = [
        {**observed, "time_hour": utc("2013-01-01 06:00"), "wind_gust": 20.5},
        {**observed, "time_hour": utc("2013-01-01 05:00"), "wind_gust": None},
    ]
    lake.replace("weather/validated", table("Weather", weather))
    lake.replace("planes/validated", table("Planes", [{"tailnum": "N001AA", "year": 1999, "seats": 140}]))
    project = DbtProject(REPOSITORY / "dbt_project", folder / "state", lake.root)
    (folder / "scratch").mkdir()
    report = build_models(project, "path:models/flights", folder / "scratch")
    return report, {model.name: pl.read_parquet(model.path) for model in report.models if model.path}


@pytest.fixture(scope="module")
def legs(built):
    _, tables = built
    rows = {row["flight_number"]: row for row in tables["flight_legs"].to_dicts()}
    assert len(rows) == tables["flight_legs"].height == len(ARRIVALS) + len(LABELS) + len(BOARD_ROWS)
    return rows


@pytest.mark.parametrize("case", ARRIVALS)
def test_departure_and_arrival_are_moments_in_utc(legs, case):
    row, departed, arrived = ARRIVALS[case]
    leg = legs[row["flight"]]
    assert leg["departed_at"] == (departed and utc(departed))
    assert leg["arrived_at"] == (arrived and utc(arrived))


@pytest.mark.parametrize("case", ARRIVALS)
def test_the_prediction_is_made_two_hours_before_the_scheduled_departure(legs, case):
    row, *_ = ARRIVALS[case]
    leg = legs[row["flight"]]
    due = row["time_hour"].timestamp() + 60 * row["minute"]
    assert leg["scheduled_departure_at"].timestamp() == due
    assert leg["prediction_at"].timestamp() == due - 7200


@pytest.mark.parametrize("delay", LABELS)
def test_late_begins_at_fifteen_minutes(legs, delay):
    assert legs[LABEL_ROWS[delay]["flight"]]["is_late"] is LABELS[delay]


@pytest.mark.parametrize("case", ["cancelled", "diverted for good", "diverted and landed at last"])
def test_cancelled_and_diverted_flights_stay_without_a_label(legs, case):
    leg = legs[ARRIVALS[case][0]["flight"]]
    assert leg["is_late"] is None
    assert leg["arrival_delay"] is None


def test_a_leg_carries_what_is_planned(legs):
    leg = legs[4]
    assert leg["flight_id"] == "2013-01-15/AA4/JFK/1380"
    assert leg["drop_month"] == "2013-01"
    assert leg["route"] == "JFK-ORD"
    assert (leg["scheduled_departure_minute"], leg["scheduled_arrival_minute"]) == (23 * 60, 30)
    assert leg["scheduled_minutes"] == 90
    assert leg["scheduled_weekday"] == 2  # 15 January 2013 was a Tuesday
    assert leg["scheduled_day_of_year"] == 15


def test_the_timetable_is_counted_per_airport_hour_and_day(legs):
    # LGA has three departures in the hour from 12:00 UTC, EWR one; seven at JFK share 14:00 UTC on 2 May.
    assert [legs[n]["scheduled_departures_that_hour"] for n in (201, 202, 203, 204)] == [3, 3, 3, 1]
    assert [legs[n]["scheduled_departures_that_day"] for n in (201, 202, 203, 204, 100)] == [3, 3, 3, 1, 7]


def test_the_drop_is_the_local_month_of_departure(built):
    _, tables = built
    by_month = tables["flight_legs"].group_by("drop_month").len().sort("drop_month")
    assert by_month["drop_month"].to_list() == ["2013-01", "2013-03", "2013-05", "2013-06", "2013-07", "2013-11"]


def test_flights_join_the_queue_when_due_and_leave_it_when_they_depart(built):
    _, tables = built
    board = tables["departure_board"].filter(pl.col("happened_at").dt.date() == pl.date(2013, 6, 5))
    told = board.select("origin", pl.col("happened_at").dt.strftime("%H:%M"), "change", "departure_delay")
    assert told.sort("origin", "happened_at", "change").rows() == [
        ("EWR", "12:00", -1, 0), ("EWR", "12:00", 1, None),
        ("LGA", "12:00", 1, None), ("LGA", "12:10", 1, None), ("LGA", "12:15", -1, -5), ("LGA", "12:20", 1, None),
        ("LGA", "12:30", -1, 30),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "waiting"),
    [("11:59", 0), ("12:00", 1), ("12:10", 2), ("12:15", 1), ("12:20", 2), ("12:29", 2), ("12:30", 1), ("20:00", 1)],
)
def test_the_queue_is_the_sum_of_changes_and_keeps_the_cancelled(built, clock, waiting):
    _, tables = built
    board = tables["departure_board"].filter(
        pl.col("origin") == "LGA", pl.col("happened_at") <= utc(f"2013-06-05 {clock}")
    )
    assert board["change"].sum() == waiting


def test_a_gust_that_was_not_reported_is_the_wind_itself(built):
    _, tables = built
    weather = tables["hourly_weather"]
    assert weather["observed_at"].to_list() == [utc("2013-01-01 05:00"), utc("2013-01-01 06:00")]
    assert weather["wind_gust_mph"].to_list() == [12.0, 20.5]
    assert weather["dew_point_spread_f"].to_list() == [8.5, 8.5]


def test_aircraft_keep_their_facts_under_this_projects_names(built):
    _, tables = built
    assert tables["aircraft"].select("tailnum", "built_year", "seats").rows() == [("N001AA", 1999, 140)]


def test_every_test_of_the_project_ran_and_passed(built):
    report, _ = built
    assert len(report.tests) > 10
    assert [test for test in report.tests if not test.passed] == []


def test_moments_are_stored_in_utc_at_microseconds(built):
    _, tables = built
    moments = {name: dtype for name, dtype in tables["flight_legs"].schema.items() if name.endswith("_at")}
    assert set(moments.values()) == {pl.Datetime("us", "UTC")}
