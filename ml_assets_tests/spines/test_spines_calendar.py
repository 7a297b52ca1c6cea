"""The moments of a calendar in UTC, by hand on the days on which clocks change, and beside Dagster's own."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dagster._utils.schedules import cron_string_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.spines.calendar import check_cron, moments_between


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Paris: 02:00 +01 becomes 03:00 +02 at 2024-03-31 01:00 UTC; 03:00 +02 becomes 02:00 +01 at 2024-10-27 01:00 UTC.
# New York: 2024-03-10 07:00 UTC and 2024-11-03 06:00 UTC. Lord Howe moves by half an hour: 2024-04-06 15:00 UTC from
# +11 to +10:30, 2024-10-05 15:30 UTC back. Samoa had no 2011-12-30 at all: from -10 to +14 at 10:00 UTC.
CASES = {
    "every Monday in winter and in summer": (
        "0 6 * * mon", "Europe/Paris", "2024-03-24", "2024-04-09",
        ["2024-03-25T05:00", "2024-04-01T04:00", "2024-04-08T04:00"],
    ),
    "a time that is skipped is the first moment after": (
        "30 2 * * *", "Europe/Paris", "2024-03-30", "2024-04-02",
        ["2024-03-30T01:30", "2024-03-31T01:00", "2024-04-01T00:30"],
    ),
    "two times that are skipped are one moment": (
        "0,30 2 * * *", "Europe/Paris", "2024-03-31", "2024-04-01",
        ["2024-03-31T01:00"],
    ),
    "a time that comes twice is the later": (
        "30 2 * * *", "Europe/Paris", "2024-10-26", "2024-10-29",
        ["2024-10-26T00:30", "2024-10-27T01:30", "2024-10-28T01:30"],
    ),
    "every hour comes every hour that passes, when one is skipped": (
        "15 * * * *", "America/New_York", "2024-03-10T05:00", "2024-03-10T09:00",
        ["2024-03-10T05:15", "2024-03-10T06:15", "2024-03-10T07:15", "2024-03-10T08:15"],
    ),
    "every hour comes every hour that passes, when one comes twice": (
        "15 * * * *", "America/New_York", "2024-11-03T04:00", "2024-11-03T08:00",
        ["2024-11-03T04:15", "2024-11-03T05:15", "2024-11-03T06:15", "2024-11-03T07:15"],
    ),
    "clocks that move by half an hour: skipped": (
        "15 2 * * *", "Australia/Lord_Howe", "2024-10-04T12:00", "2024-10-06T15:00",
        ["2024-10-04T15:45", "2024-10-05T15:30"],
    ),
    "clocks that move by half an hour: twice": (
        "45 1 * * *", "Australia/Lord_Howe", "2024-04-06T12:00", "2024-04-07T12:00",
        ["2024-04-06T15:15"],
    ),
    "a day that a zone never had": (
        "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", "2012-01-01T00:00",
        ["2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00", "2011-12-31T22:00"],
    ),
    "the start counts and the end does not": (
        "0 0 * * *", "UTC", "2024-01-01", "2024-01-03",
        ["2024-01-01T00:00", "2024-01-02T00:00"],
    ),
    "the last day of each month": (
        "0 0 l * *", "UTC", "2024-01-01", "2024-04-01",
        ["2024-01-31T00:00", "2024-02-29T00:00", "2024-03-31T00:00"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_moments_are_those_told_by_hand(case):
    cron, zone, start, end, expected = CASES[case]
    assert moments_between(cron, zone, utc(start), utc(end)) == [utc(text) for text in expected]


def test_a_period_is_the_sum_of_its_parts():
    days = [utc("2024-10-20") + timedelta(hours=7 * n) for n in range(40)]
    parts = [moments_between("*/20 1-3 * * *", "Europe/Paris", a, b) for a, b in pairwise(days)]
    whole = moments_between("*/20 1-3 * * *", "Europe/Paris", days[0], days[-1])
    assert [moment for part in parts for moment in part] == whole


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.one_of(st.just("*"), st.integers(0, 23)),
    day=st.sampled_from(["* * *", "* * mon", "* * 0,6", "1 * *", "28 * *"]),
    zone=st.sampled_from(["Europe/Paris", "America/New_York", "UTC", "Asia/Kolkata"]),
    begin=st.integers(0, 366),
)
def test_moments_are_those_of_dagsters_schedules(minute, hour, day, zone, begin):
    cron, start = f"{minute} {hour} {day}", utc("2024-01-01") + timedelta(days=begin)
    end = start + timedelta(days=3 if hour == "*" else 70)
    theirs = []
    for moment in cron_string_iterator(start.timestamp(), cron, zone):
        if moment.timestamp() >= end.timestamp():
            break
        if moment.timestamp() >= start.timestamp():
            theirs.append(moment.astimezone(UTC))
    assert moments_between(cron, zone, start, end) == theirs


@pytest.mark.parametrize(
    "cron", ["", "monday", "* * * *", "0 6 * * mon#9", "61 * * * *", "H 6 * * *", "0 R(1-5) * * *", "@weekly"]
)
def test_what_is_no_cron_expression_is_refused(cron):
    with pytest.raises(ValueError, match="is no cron expression: write minute, hour"):
        check_cron(cron)


def test_a_day_that_never_comes_is_refused():
    check_cron("0 0 29 2 *")
    with pytest.raises(ValueError, match="never comes"):
        check_cron("0 0 30 2 *")


def test_a_weekday_of_the_zone_is_not_that_of_utc():
    (moment,) = moments_between("30 0 * * mon", "Asia/Tokyo", utc("2024-01-01"), utc("2024-01-08"))
    assert moment == utc("2024-01-07T15:30")
    assert moment.astimezone(ZoneInfo("Asia/Tokyo")).weekday() == 0
