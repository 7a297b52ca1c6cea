"""Hours, days, weeks, months, quarters and years as drops, against the standard library's calendar."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from ml_assets.components.partitions import partitions_of
from ml_assets.sources.delivery.read import list_drops, read_drops
from ml_assets.sources.drops.cut import period_starts
from ml_assets.sources.drops.grains import GRAINS, drop_start, following, has_ended, is_name, name_at, stretches
from ml_assets.sources.drops.moments import drop_at, drop_end
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.errors import DeliveryFault
from ml_assets.sources.watch import due_drops, watch

STARTS = {
    "hourly": ("2024-02-28T00", "2024-03-02T05"),
    "daily": ("2024-02-20", "2024-03-05"),
    "weekly": ("2024-12-16", "2025-02-10"),
    "monthly": ("2023-11", "2025-03"),
    "quarterly": ("2023-10", "2025-04"),
    "yearly": ("2019", "2026"),
}


@pytest.mark.parametrize("grain", GRAINS)
def test_dagster_names_the_same_drops_and_ends_them_at_the_same_moments(grain):
    start, end = STARTS[grain]
    drops = Drops(grain=grain, start=start, end=end)
    partitions = partitions_of(drops)
    assert partitions.get_partition_keys() == drops.names
    for name in drops.names:
        window = partitions.time_window_for_partition_key(name)
        assert drop_start(grain, name).replace(tzinfo=UTC) == window.start
        assert drop_end(name, drops) == window.end
        assert following(grain, name) == drop_at(window.end, drops)
        assert drop_at(window.end - timedelta(microseconds=1), drops) == name
    assert sorted(drops.names) == drops.names


@pytest.mark.parametrize(
    ("grain", "good", "bad"),
    [
        ("hourly", "2024-02-29T23", ["2024-02-29T24", "2024-02-29T9", "2024-02-29", "2024-02-29 09"]),
        ("daily", "2024-02-29", ["2023-02-29", "2024-2-9", "2024-02", "20240229", "whole"]),
        ("weekly", "2024-12-30", ["2024-12-31", "2024-W01"]),
        ("monthly", "2024-12", ["2024-13", "2024-1", "2024-12-01", " 2024-12"]),
        ("quarterly", "2024-10", ["2024-11", "2024-Q4", "2024", "2024-10-01"]),
        ("yearly", "2024", ["2024-01", "24", "whole"]),
        ("whole", "whole", ["2024-12", ""]),
    ],
)
def test_only_names_of_the_grain_are_names(grain, good, bad):
    assert is_name(grain, good)
    assert [name for name in bad if is_name(grain, name)] == []


def test_stretches_end_where_a_drop_is_missing():
    assert stretches("daily", ["2024-03-01", "2024-02-29", "2024-03-03"]) == [
        ["2024-02-29", "2024-03-01"],
        ["2024-03-03"],
    ]
    assert stretches("weekly", ["2024-12-30", "2025-01-06", "2025-01-20"]) == [
        ["2024-12-30", "2025-01-06"],
        ["2025-01-20"],
    ]
    assert stretches("whole", ["whole"]) == [["whole"]]
    assert stretches("hourly", []) == []


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "America/Havana"])
@pytest.mark.parametrize("grain", ["daily", "weekly", "monthly", "quarterly", "yearly"])
def test_rows_are_cut_by_the_wall_clock_of_the_zone(grain, zone):
    # Both changes of the clocks lie in it; Havana's are at midnight.
    first = datetime(2024, 3, 1, tzinfo=UTC)
    moments = [first + timedelta(minutes=37 * i) for i in range(11_000)]
    drops = Drops(grain=grain, start=STARTS[grain][0], time_zone=zone)
    starts = period_starts(pl.Series("at", moments, pl.Datetime("us", "UTC")), drops)
    by_hand = [name_at(grain, moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for moment in moments]
    assert [name_at(grain, start) for start in starts] == by_hand


def test_dates_tell_days_but_no_hours():
    days = pl.Series("day", [date(2024, 1, 1)])
    assert period_starts(days, Drops(grain="weekly", start="2024-01-01")).to_list() == [datetime(2024, 1, 1)]
    with pytest.raises(DeliveryFault, match="hours cannot be told from Date"):
        period_starts(days, Drops(grain="hourly", start="2024-01-01T00"))


@pytest.mark.parametrize(
    ("grain", "name", "zone", "end"),
    [
        ("daily", "2024-01-31", "UTC", datetime(2024, 2, 1, tzinfo=UTC)),
        ("daily", "2024-01-31", "America/New_York", datetime(2024, 2, 1, 5, tzinfo=UTC)),
        ("daily", "2024-01-31", "Asia/Tokyo", datetime(2024, 2, 1, tzinfo=UTC)),
        ("hourly", "2024-01-31T23", "UTC", datetime(2024, 2, 1, tzinfo=UTC)),
        ("weekly", "2024-01-29", "UTC", datetime(2024, 2, 5, tzinfo=UTC)),
        ("quarterly", "2024-10", "America/New_York", datetime(2025, 1, 1, 5, tzinfo=UTC)),
        ("yearly", "2024", "UTC", datetime(2025, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_drop_is_over_when_its_zone_and_utc_say_so(grain, name, zone, end):
    assert has_ended(grain, name, zone, end.timestamp())
    assert not has_ended(grain, name, zone, end.timestamp() - 1)


DAYS = "id,amount,shop,at\n1,9.5,Oslo,2024-01-15T23:30:00Z\n2,9.5,Oslo,2024-01-16T00:10:00Z\n"


@pytest.mark.parametrize(
    ("grain", "start", "names"),
    [
        ("hourly", "2024-01-01T00", ["2024-01-15T23", "2024-01-16T00"]),
        ("daily", "2024-01-01", ["2024-01-15", "2024-01-16"]),
        ("weekly", "2024-01-01", ["2024-01-15"]),
        ("monthly", "2024-01", ["2024-01"]),
        ("quarterly", "2023-10", ["2024-01"]),
        ("yearly", "2023", ["2024"]),
    ],
)
def test_a_shared_file_is_cut_by_every_grain(orders, orders_schema, grain, start, names):
    spec = orders(content=DAYS.encode(), drops={"grain": grain, "column": "at", "start": start})
    assert list_drops(spec, orders_schema) == names
    read = read_drops(spec, None, orders_schema)
    assert [read[name].frame["id"].to_list() for name in names] == ([[1], [2]] if len(names) == 2 else [[1, 2]])
    assert all(read[name].frame["_drop"].unique().to_list() == [name] for name in names)


def test_files_are_found_by_the_names_of_their_grain(orders, orders_schema, tmp_path):
    for name in ("2024-01-01", "2024-01-02", "2024-01", "2024-01-32", "2023-12-31"):
        (tmp_path / f"o-{name}.csv").write_text(DAYS)
    spec = orders("o-{partition}.csv", drops={"grain": "daily", "start": "2024-01-01"})
    assert list_drops(spec, orders_schema) == ["2024-01-01", "2024-01-02"]
    with pytest.raises(ValueError, match="no drop '2024-01'; it has the days from 2024-01-01 to before any end"):
        read_drops(spec, ["2024-01"], orders_schema)


def test_a_day_is_due_once_it_is_over(orders, orders_schema, tmp_path):
    for name in ("2024-01-15", "2024-01-16"):
        (tmp_path / f"o-{name}.csv").write_text(DAYS)
    spec = orders("o-{partition}.csv", drops={"grain": "daily", "start": "2024-01-01"})
    noon = datetime(2024, 1, 16, 12, tzinfo=UTC).timestamp()
    tokens = watch(spec, orders_schema, {}, noon)
    assert list(due_drops(spec, orders_schema, tokens, {}, {}, noon)) == ["2024-01-15"]
    later = noon + 12 * 3600
    assert list(due_drops(spec, orders_schema, tokens, tokens, {}, later)) == ["2024-01-15", "2024-01-16"]
