"""What texts of a sample are told to stand for, and what is said to be assumed."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from ml_assets.scaffolding.samples.texts import infer_texts
from ml_assets.sources.csv.dialect import CsvDialect


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def told(*values, delimiter=",", **options):
    found = infer_texts(pl.DataFrame({"x": list(values)}), CsvDialect(delimiter=delimiter), **options)
    formats = found.formats["x"].model_dump(exclude_defaults=True) if found.formats else {}
    return formats, found.table["x"].to_list(), found.assumed


@pytest.mark.parametrize(
    ("day", "moment"), [("start", utc(2024, 7, 1, 4)), ("end", utc(2024, 7, 2, 4))]
)  # New York is at UTC-4
def test_a_date_becomes_a_moment_where_one_is_asked_for(day, moment):
    formats, values, assumed = told("2024-07-01", zone="America/New_York", moments={"x": day})
    assert formats == {"time_zone": "America/New_York"} | ({"day": "end"} if day == "end" else {})
    assert values == [moment]
    assert assumed == [f"x: the {day} of the day in America/New_York is assumed, as there is no time"]


def test_a_year_is_a_number_unless_a_moment_is_asked_for():
    assert told("2024", "2025") == ({}, [2024, 2025], [])
    formats, values, _ = told("2024", "2025", moments={"x": "start"})
    assert formats == {"format": "%Y", "time_zone": "UTC"}
    assert values == [utc(2024, 1, 1), utc(2025, 1, 1)]


@pytest.mark.parametrize(
    ("texts", "days", "assumed"),
    [
        (["31/01/2024", "02/01/2024"], [date(2024, 1, 31), date(2024, 1, 2)], []),
        (["01/31/2024", "01/02/2024"], [date(2024, 1, 31), date(2024, 1, 2)], []),
        (["01/02/2024"], [date(2024, 2, 1)], ["x: the day is assumed to come first, though the month may"]),
        (["31.12.99"], [date(1999, 12, 31)], []),
        (["3 Jan 2024"], [date(2024, 1, 3)], []),
    ],
)
def test_which_of_day_and_month_comes_first(texts, days, assumed):
    assert told(*texts)[1:] == (days, assumed)


THOUSANDS = "numbers: , is assumed to stand between thousands, though it may before decimals"
DECIMALS = "numbers: , is assumed to stand before decimals, though it may between thousands"


@pytest.mark.parametrize(
    ("texts", "delimiter", "values", "assumed"),
    [
        (["1,234", "5"], ",", [1234, 5], [THOUSANDS]),
        (["1,234", "5,25"], ",", [1.234, 5.25], []),
        (["1,234,567"], ";", [1234567], []),
        (["1,234", "5"], ";", [1.234, 5.0], [DECIMALS]),
        (["1.234,5"], ";", [1234.5], []),
        (["1.234"], ";", [1.234], []),
        (["1,23,4"], ",", ["1,23,4"], []),
        (["12 abc", "1,5"], ";", ["12 abc", "1,5"], []),
    ],
)
def test_what_a_comma_in_a_number_is(texts, delimiter, values, assumed):
    assert told(*texts, delimiter=delimiter)[1:] == (values, assumed)


@pytest.mark.parametrize(
    "texts",
    [["A1", "A2"], ["10.1.2.3"], ["1-2"], ["12:30"], ["EUR"], ["5 €", "5 $"], ["2024-W01"], ["y"], ["555-12"]],
)
def test_what_stays_a_text(texts):
    assert told(*texts) == ({}, texts, [])


def test_a_number_counts_since_1970_only_under_a_name_that_says_so():
    table = pl.DataFrame({"created_at": [1_706_688_000], "amount": [1_706_688_000]})
    found = infer_texts(table)
    assert found.table.rows() == [(utc(2024, 1, 31, 8), 1_706_688_000)]
    assert list(found.formats) == ["created_at"]
    assert infer_texts(table, fixed=["created_at"]).formats == {}
