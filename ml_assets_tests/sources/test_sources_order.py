"""Rows whose order stands in for a time."""

from datetime import UTC, datetime

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.sources.delivery.read import fingerprint, list_drops, read_drops
from ml_assets.sources.errors import SourceError
from ml_assets.sources.spec import SourceSpec

MOMENT = pl.Datetime("us", "UTC")
MADE = {"number": "place", "moment": "at", "start": "2024-01-31T22:00:00", "step": "1h"}
BY = {"by": "serial", "moment": "at", "start": "2024-01-31T22:00:00", "step": "1h"}


@pytest.fixture
def source(tmp_path):
    def declare(order, text, **changes):
        (tmp_path / "rows.csv").write_text(text)
        declared = {
            "name": "rows",
            "description": "Rows.",
            "where": {"path": str(tmp_path / "rows.csv")},
            "order": order,
            "drops": {"grain": "daily", "column": "at", "start": "2024-01-31"},
            "contract": "a.b:C",
            "key_columns": ["place"],
        }
        return SourceSpec(**declared | changes)

    return declare


def test_the_place_in_the_file_makes_number_and_moment(source):
    spec = source(MADE, "size\n5\n6\n7\n")
    schema = {"place": pl.Int64(), "size": pl.Int64(), "at": MOMENT}
    assert list_drops(spec, schema) == ["2024-01-31", "2024-02-01"]
    drops = read_drops(spec, None, schema)
    assert drops["2024-01-31"].frame.select("place", "size", "at").rows() == [
        (1, 5, datetime(2024, 1, 31, 22, tzinfo=UTC)),
        (2, 6, datetime(2024, 1, 31, 23, tzinfo=UTC)),
    ]
    assert drops["2024-02-01"].frame["at"].to_list() == [datetime(2024, 2, 1, tzinfo=UTC)]


def test_a_delivered_number_makes_the_moment_whatever_the_order_of_the_file(source):
    spec = source(BY, "serial,size\n3,7\n1,5\n")
    schema = {"serial": pl.Int64(), "at": MOMENT}
    drops = read_drops(spec, ["2024-02-01"], schema)
    assert drops["2024-02-01"].frame.select("serial", "at").rows() == [(3, datetime(2024, 2, 1, tzinfo=UTC))]
    assert drops["2024-02-01"].extra_columns == ("size",)


def test_rows_that_are_appended_change_no_earlier_drop(source):
    schema = {"place": pl.Int64(), "size": pl.Int64(), "at": MOMENT}
    before = fingerprint(source(MADE, "size\n5\n6\n"), ["2024-01-31"], schema)
    assert fingerprint(source(MADE, "size\n5\n6\n7\n"), ["2024-01-31"], schema) == before
    assert fingerprint(source(MADE, "size\n5\n8\n7\n"), ["2024-01-31"], schema) != before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("serial\n1\n\nx\n", "'x' in data row"),
        ("serial,size\n1,2\n,3\n", "1 rows have no place in the order, the first is data row 2"),
        ("size\n1\n", "serial"),
    ],
)
def test_a_row_without_a_place_is_an_error(source, text, why):
    with pytest.raises(SourceError, match=why):
        read_drops(source(BY, text), ["2024-01-31"], {"serial": pl.Int64(), "at": MOMENT})


@pytest.mark.parametrize(
    ("order", "changes", "why"),
    [
        ({**MADE, "by": "serial"}, {}, "order: give either `by`"),
        ({name: value for name, value in MADE.items() if name != "number"}, {}, "order: give either `by`"),
        ({**MADE, "step": "often"}, {}, "step: 'often' is no duration"),
        ({**MADE, "start": "spring"}, {}, "start: 'spring' is no ISO 8601 date"),
        (MADE, {"where": {"path": "rows.parquet"}}, "order: is for CSV files"),
        (
            MADE,
            {"where": {"path": "{partition}.csv"}, "drops": {"grain": "daily", "start": "2024-01-31"}},
            "order: is that of the rows of one file",
        ),
    ],
)
def test_an_order_that_cannot_be_is_refused(source, order, changes, why):
    with pytest.raises(ValidationError, match=why):
        source(order, "", **changes)


def test_a_file_without_a_header_line_gets_the_declared_one(source):
    spec = source(MADE, "5,a\n6,b\n", header=["size", "name"])
    drops = read_drops(spec, ["2024-01-31"], {"place": pl.Int64(), "name": pl.String(), "at": MOMENT})
    assert drops["2024-01-31"].frame.select("place", "name").rows() == [(1, "a"), (2, "b")]
    narrow = source(MADE, "5,a\n6,b\n", header=["size"])
    with pytest.raises(SourceError, match="fields"):
        read_drops(narrow, ["2024-01-31"], {"size": pl.Int64(), "at": MOMENT})


@pytest.mark.parametrize("header", [["a", "a"], ["a,b"], ['"a"'], ["a\n"]])
def test_a_header_that_is_none_is_refused(source, header):
    with pytest.raises(ValidationError, match="is there twice or has a comma"):
        source(MADE, "", header=header)
