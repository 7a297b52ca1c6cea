"""Rows that look ahead: a row each horizon, on days on which the clocks change too, and what is declared of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.lake import Lake
from ml_assets.sources.drops.spec import Drops
from ml_assets.spines.calendar import ahead
from ml_assets.spines.rows import MadeSpine, make_rows
from ml_assets.spines.spec import HORIZON, TARGET_AT, CalendarSpec, EntitiesSpec

DAY, MOMENT = timedelta(days=1), pl.Datetime("us", "UTC")
DECLARED = {
    "name": "daily",
    "entities": {"table": "shops/validated", "key": ["shop"], "columns": ["town"]},
    "every": {"cron": "0 6 * * *", "time_zone": "Europe/Paris"},
    "drops": {"grain": "monthly", "start": "2024-01"},
    "horizons": ["1d", "7d", "12h"],
}


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "length", "target"),
    [
        # In Paris the clocks go forward on 31 March at 01:00 UTC, and back on 27 October at 01:00 UTC.
        ("2024-03-30T05:00", DAY, "2024-03-31T04:00"),
        ("2024-03-30T05:00", 7 * DAY, "2024-04-06T04:00"),
        ("2024-03-30T05:00", timedelta(hours=36), "2024-03-31T17:00"),
        ("2024-10-26T04:00", DAY, "2024-10-27T05:00"),
        # 02:30 is skipped on 31 March: the first moment after. It comes twice on 27 October: the later one.
        ("2024-03-30T01:30", DAY, "2024-03-31T01:00"),
        ("2024-10-26T00:30", DAY, "2024-10-27T01:30"),
        ("2024-06-01T05:00", DAY, "2024-06-02T05:00"),
    ],
)
def test_whole_days_ahead_are_days_on_the_clock_and_hours_pass(moment, length, target):
    assert ahead(utc(moment), length, "Europe/Paris") == utc(target)


def test_each_row_comes_once_for_each_horizon():
    spine = MadeSpine(
        "daily",
        EntitiesSpec(table="shops", key=["shop"], columns=["town"]),
        CalendarSpec(cron="0 6 30 * *", time_zone="Europe/Paris"),
        Drops(grain="monthly", start="2024-01"),
        "at",
        "_drop",
        (DAY, timedelta(hours=12)),
    )
    shops = pl.LazyFrame({"shop": [1, 2], "town": ["x", None]})
    with TemporaryDirectory() as folder:
        made = make_rows(spine, shops, ["2024-02", "2024-03"], Path(folder))
        rows = made.rows.collect()
    at = utc("2024-03-30T05:00")
    assert rows.schema == {
        "_drop": pl.String, "shop": pl.Int64, "at": MOMENT, HORIZON: pl.Int64, TARGET_AT: MOMENT, "town": pl.String,
    }  # fmt: skip
    assert sorted(rows.select(pl.exclude("town")).rows()) == [
        ("2024-03", shop, at, seconds, target)
        for shop in (1, 2)
        for seconds, target in ((43_200, utc("2024-03-30T17:00")), (86_400, utc("2024-03-31T04:00")))
    ]
    assert (made.by_drop, made.moments) == ({"2024-02": 0, "2024-03": 4}, 1)


def test_the_horizon_is_part_of_the_key_and_not_of_the_series():
    spine = DeclaredSpine.model_validate(DECLARED)
    assert spine.key == ["shop", "prediction_at", HORIZON]
    assert (spine.series, spine.ahead, spine.target_at) == (["shop"], [TARGET_AT], TARGET_AT)
    assert spine.time_zone == "Europe/Paris"
    assert spine.made is not None
    assert spine.made.horizons == (DAY, 7 * DAY, timedelta(hours=12))
    plain = DeclaredSpine.model_validate({**DECLARED, "horizons": []})
    assert (plain.key, plain.ahead, plain.target_at) == (["shop", "prediction_at"], [], None)


def test_coherence_knows_the_columns_of_rows_that_look_ahead():
    spine = DeclaredSpine.model_validate(DECLARED)
    columns = DeclaredTables([PlacedDeclaration(spine, "shop")], {}).columns("daily/rows")
    assert columns is not None
    assert (columns[HORIZON], columns[TARGET_AT]) == (pl.Int64(), MOMENT)


def test_a_spine_with_one_horizon_has_its_rows_alone(tmp_path):
    lake, spine = Lake(str(tmp_path)), DeclaredSpine.model_validate(DECLARED)
    rows = pl.DataFrame(
        {"_drop": "2024-01", "shop": [1, 1, 2], "prediction_at": [utc("2024-01-01T05:00")] * 3,
         HORIZON: [86_400, 604_800, 604_800]}
    )  # fmt: skip
    lake.replace("daily/rows", rows, {"_drop": ["2024-01"]})
    # A week is seven days, whichever way it is written.
    week = spine.with_horizon("1w")
    assert week.horizons == ["7d"]
    assert week.rows(lake, ["2024-01"], ["shop"])["shop"].sort().to_list() == [1, 2]
    assert spine.with_horizon(None).rows(lake, ["2024-01"], ["shop"]).height == 3
    with pytest.raises(ValueError, match="28d is no horizon of spine daily; there are 1d, 7d, 12h"):
        spine.with_horizon("28d")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizons": ["7d", "1w"]}, "names something twice"),
        ({"horizons": ["a week"]}, "'a week' is no duration"),
        ({"time": "target_at"}, "horizons: give the rows a column 'target_at', and another"),
        ({"time_zone": "Asia/Tokyo"}, "time_zone: is that of `every`"),
        ({"time_zone": "Moon"}, "'Moon' is no IANA time zone"),
        (
            {"entities": None, "every": None, "table": "t", "key": ["id"], "time": "at", "partition": "drop"},
            "horizons: belong to made rows",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DeclaredSpine.model_validate(DECLARED | changes)


def test_columns_of_the_entities_that_rows_do_not_carry_may_have_any_name():
    """The entities' own horizon and moment decide who counts, and are not those of the rows."""
    entities = EntitiesSpec(
        table="shops", key=["shop"], **{"from": TARGET_AT, "where": f"{HORIZON} = 'long'"}, columns=["town"]
    )
    cron, cut = CalendarSpec(cron="0 6 1 * *"), Drops(grain="monthly", start="2024-01")
    spine = MadeSpine("daily", entities, cron, cut, "at", "_drop", (DAY,))
    opened = [utc("2023-01-01"), utc("2023-01-01"), utc("2025-01-01")]
    own = {"shop": [1, 2, 3], "town": ["x"] * 3, HORIZON: ["long", "short", "long"], TARGET_AT: opened}
    shops = pl.LazyFrame(own, schema_overrides={TARGET_AT: MOMENT})
    with TemporaryDirectory() as folder:
        rows = make_rows(spine, shops, ["2024-02"], Path(folder)).rows.collect()
    assert rows.rows() == [("2024-02", 1, utc("2024-02-01T06:00"), 86_400, utc("2024-02-02T06:00"), "x")]
