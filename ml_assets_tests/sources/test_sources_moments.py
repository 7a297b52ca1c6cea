"""Dates and times as files have them. Expected moments are computed by hand from the zones' offsets."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.sources.delivery.read import list_drops, read_drops
from ml_assets.sources.errors import DeliveryFault, SourceError
from ml_assets.sources.values.column import ColumnFormat
from ml_assets.sources.values.moments import as_moments

MOMENT = pl.Datetime("us", "UTC")


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def read(value, dtype=MOMENT, **declared):
    values = pl.Series("at", value if isinstance(value, list) else [value])
    return as_moments(values, dtype, ColumnFormat(**declared)).values.to_list()


@pytest.mark.parametrize(
    ("text", "declared", "moment"),
    [
        ("2024-01-01 08:00:00", {"time_zone": "UTC"}, utc(2024, 1, 1, 8)),
        ("2024-01-01T08:00", {"time_zone": "Europe/Berlin"}, utc(2024, 1, 1, 7)),
        ("2024-07-01 08:00:00.25", {"time_zone": "Europe/Berlin"}, utc(2024, 7, 1, 6, 0, 0, 250_000)),
        ("2024-01-01T08:00Z", {"format": "%Y-%m-%dT%H:%M%#z"}, utc(2024, 1, 1, 8)),
        ("2024-01-01T08:00+02:00", {"format": "%Y-%m-%dT%H:%M%#z"}, utc(2024, 1, 1, 6)),
        ("31.12.2024 23:59", {"format": "%d.%m.%Y %H:%M", "time_zone": "Europe/Berlin"}, utc(2024, 12, 31, 22, 59)),
        ("12/31/2024 11:59 PM", {"format": "%m/%d/%Y %I:%M %p", "time_zone": "UTC"}, utc(2024, 12, 31, 23, 59)),
        ("2024-07-01", {"time_zone": "America/New_York"}, utc(2024, 7, 1, 4)),
        ("2024-07-01", {"time_zone": "America/New_York", "day": "end"}, utc(2024, 7, 2, 4)),
        ("01.07.2024", {"format": "%d.%m.%Y", "time_zone": "UTC", "day": "end"}, utc(2024, 7, 2)),
        ("2024-07-01 10:00", {"time_zone": "UTC", "day": "end"}, utc(2024, 7, 1, 10)),
        ("1704096000", {"format": "epoch_seconds"}, utc(2024, 1, 1, 8)),
        ("1704096000.123456", {"format": "epoch_seconds"}, utc(2024, 1, 1, 8, 0, 0, 123_456)),
        ("1704096000123", {"format": "epoch_milliseconds"}, utc(2024, 1, 1, 8, 0, 0, 123_000)),
        (1704096000, {"format": "epoch_seconds"}, utc(2024, 1, 1, 8)),
        (-1, {"format": "epoch_seconds"}, utc(1969, 12, 31, 23, 59, 59)),
        ("2024", {"format": "%Y", "time_zone": "UTC"}, utc(2024, 1, 1)),
        (2024, {"format": "%Y", "time_zone": "UTC"}, utc(2024, 1, 1)),
        ("2024-03", {"format": "%Y-%m", "time_zone": "UTC"}, utc(2024, 3, 1)),
        (20240301, {"format": "%Y%m%d", "time_zone": "UTC"}, utc(2024, 3, 1)),
        (datetime(2024, 7, 1, 8), {"time_zone": "Europe/Berlin"}, utc(2024, 7, 1, 6)),
        (date(2024, 7, 1), {"time_zone": "Europe/Berlin"}, utc(2024, 6, 30, 22)),
        ("2024-02-30 08:00", {"time_zone": "UTC"}, None),
        ("2024-01-01T08:00:00Z", {"time_zone": "UTC"}, None),
        ("1704096000.1234567", {"format": "epoch_seconds"}, None),
        ("99999999999999999999", {"format": "epoch_seconds"}, None),
        ("2024-01-01 08:00:00.1234567", {"time_zone": "UTC"}, None),
        ("999999999999999", {"format": "epoch_seconds"}, None),
        (None, {"time_zone": "UTC"}, None),
    ],
)
def test_a_moment_is_told_by_format_and_zone(text, declared, moment):
    assert read(text, **declared) == [moment]


@pytest.mark.parametrize(
    ("text", "zone", "earliest", "latest"),
    [
        # Summer time ends: 02:30 is shown at UTC+2 and again at UTC+1.
        ("2024-10-27 02:30", "Europe/Berlin", utc(2024, 10, 27, 0, 30), utc(2024, 10, 27, 1, 30)),
        ("2024-11-03 01:30", "America/New_York", utc(2024, 11, 3, 5, 30), utc(2024, 11, 3, 6, 30)),
        # Summer time begins: 02:30 is never shown; at UTC+2 it would be 00:30 UTC, at UTC+1 01:30 UTC.
        ("2024-03-31 02:30", "Europe/Berlin", utc(2024, 3, 31, 0, 30), utc(2024, 3, 31, 1, 30)),
        ("2024-03-10 02:30", "America/New_York", utc(2024, 3, 10, 6, 30), utc(2024, 3, 10, 7, 30)),
        # Half an hour: from UTC+10:30 to UTC+11.
        ("2024-10-06 02:15", "Australia/Lord_Howe", utc(2024, 10, 5, 15, 15), utc(2024, 10, 5, 15, 45)),
        # The day that Samoa left out, from UTC-10 to UTC+14.
        ("2011-12-30 12:00", "Pacific/Apia", utc(2011, 12, 29, 22), utc(2011, 12, 30, 22)),
    ],
)
def test_a_time_that_the_clock_showed_twice_or_never_is_read_as_declared(text, zone, earliest, latest):
    for choice, moment in (("earliest", earliest), ("latest", latest), ("quarantine", None)):
        assert read(text, time_zone=zone, ambiguous=choice, missing=choice) == [moment]
    # Of other times nothing depends on it.
    assert read("2024-07-01 00:00", time_zone="Europe/Berlin") == [utc(2024, 6, 30, 22)]


@pytest.mark.parametrize(
    ("text", "declared", "day"),
    [
        ("31.12.2024", {"format": "%d.%m.%Y"}, date(2024, 12, 31)),
        ("12/31/24", {"format": "%m/%d/%y"}, date(2024, 12, 31)),
        ("2024", {"format": "%Y"}, date(2024, 1, 1)),
        ("31/12/2024", {"format": "%m/%d/%Y"}, None),
    ],
)
def test_a_date_in_its_format(text, declared, day):
    assert read(text, pl.Date(), **declared) == [day]


@pytest.mark.parametrize(
    ("values", "dtype", "declared", "detail"),
    [
        (["x"], pl.Int64(), {"format": "%Y-%m-%d"}, "does not become Int64: declare pl.Date"),
        (["x"], pl.Date(), {"time_zone": "UTC"}, "a date has no time zone"),
        (["x"], pl.Datetime("us"), {"time_zone": "UTC"}, "a time with a zone does not become"),
        (["x"], MOMENT, {"format": "%Y-%m-%d"}, "cannot be told"),
        ([1.5], MOMENT, {"format": "epoch_seconds"}, "Float64 does not count since 1970"),
        ([utc(2024, 1, 1)], MOMENT, {"time_zone": "UTC"}, "is not written in a format"),
    ],
)
def test_a_format_that_does_not_fit_the_contract(values, dtype, declared, detail):
    with pytest.raises(DeliveryFault, match=detail) as raised:
        read(values, dtype, **declared)
    assert (raised.value.kind, raised.value.column) == ("wrong type", "at")


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"format": "%d.%m"}, "tells no year"),
        ({"format": "%Y-%m-%d %Q"}, "is no format"),
        ({"format": "%Y-%m-%d %H"}, "is no format"),
        ({"time_zone": "Mars/Base"}, "is no IANA time zone"),
        ({"format": "epoch_seconds", "time_zone": "UTC"}, "tells the moment by itself"),
        ({"unit": "%", "time_zone": "UTC"}, "give one of them"),
        ({"unit": "5"}, "cannot be told from a number"),
    ],
)
def test_a_format_that_is_none_is_refused(declared, why):
    with pytest.raises(ValidationError, match=why):
        ColumnFormat(**declared)


BERLIN = {"columns": {"at": {"format": "%d.%m.%Y %H:%M", "time_zone": "Europe/Berlin"}}}


def test_a_wrong_format_is_named_at_the_source(orders, orders_schema):
    content = b"id,amount,shop,at\n1,1,x,31.12.2024 10:00\n2,1,x,12/31/2024 10:00\n"
    with pytest.raises(SourceError) as raised:
        read_drops(orders(content=content, **BERLIN), None, orders_schema)
    assert str(raised.value) == (
        "source 'orders', drop 'whole', column 'at': wrong type: '12/31/2024 10:00' in data row 2 is no time of the "
        "form %d.%m.%Y %H:%M; correct the delivery or change the contract"
    )


def test_a_time_that_is_no_moment_keeps_its_text_and_lies_in_a_drop(orders, orders_schema):
    rows = b"1,1,x,27.10.2024 02:30\n2,1,x,27.10.2024 03:30\n3,1,x,01.11.2024 00:30\n"
    content = b"id,amount,shop,at\n" + rows
    spec = orders(content=content, drops={"grain": "monthly", "column": "at", "start": "2024-10"}, **BERLIN)
    assert list_drops(spec, orders_schema) == ["2024-10"]  # 00:30 in Berlin is October in UTC
    (drop,) = read_drops(spec, None, orders_schema).values()
    assert drop.frame["at"].to_list() == [None, utc(2024, 10, 27, 2, 30), utc(2024, 10, 31, 23, 30)]
    assert drop.frame["_unread"].to_list() == ["at: ambiguous local time '27.10.2024 02:30'", None, None]
    # Another such time is another delivery.
    other = orders(content=content.replace(b"02:30", b"02:31"), drops=dict(spec.drops), **BERLIN)
    assert read_drops(other, None, orders_schema)["2024-10"].content_hash != drop.content_hash
