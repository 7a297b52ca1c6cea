import pytest
from pydantic import ValidationError

from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import Freshness, RowCount, SourceSpec
from ml_assets.sources.where import Where

MONTHLY = {"grain": "monthly", "column": "at", "start": "2024-01"}


def declared(**changes):
    plain = {
        "name": "orders",
        "description": "One row per order.",
        "where": {"path": "in/orders.csv"},
        "contract": "shop.contracts:Orders",
        "key_columns": ["id"],
    }
    return SourceSpec(**plain | changes)


def test_defaults_are_strict_about_bad_rows_and_lenient_about_nothing_else():
    spec = declared()
    assert spec.max_bad_share == 0
    assert spec.max_missing_share == 0.01
    assert (spec.row_count.min_ratio, spec.row_count.max_ratio) == (0.5, 2.0)
    assert spec.drops.grain == "whole"
    hours = [age.total_seconds() / 3600 for age in (spec.freshness.warn_after, spec.freshness.fail_after)]
    assert hours == [18, 24]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a.csv", "csv"),
        ("a.csv.zip", "csv.zip"),
        ("s3://bucket/x/a.csv.gz", "csv.gz"),
        ("https://host/a.parquet", "parquet"),
    ],
)
def test_format_is_told_from_the_ending(path, told):
    assert declared(where={"path": path}).format == told


def test_declared_format_wins_over_the_ending():
    assert declared(where={"path": "https://host/export?day=1"}, format="csv").format == "csv"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": {}}, "where: give either `path`, or both `package` and `file`, or both `query` and `connection`"),
        (
            {"where": {"package": "p"}},
            "where: give either `path`, or both `package` and `file`, or both `query` and `connection`",
        ),
        (
            {"where": {"path": "a.csv", "package": "p", "file": "b.csv"}},
            "where: give either `path`, or both `package` and `file`, or both `query` and `connection`",
        ),
        (
            {"where": {"path": "a.csv", "file": "b.csv"}},
            "where: give either `path`, or both `package` and `file`, or both `query` and `connection`",
        ),
        (
            {"where": {"query": "select 1"}},
            "where: give either `path`, or both `package` and `file`, or both `query` and `connection`",
        ),
        (
            {"where": {"path": "a.csv", "changed": "at"}},
            "where: `changed` is a column of `query`; leave it out",
        ),
        (
            {"where": {"query": "select '{partition}'", "connection": "SHOP"}},
            "where: {partition} belongs into a path; a query is cut by `drops.column`",
        ),
        (
            {"where": {"query": "select 1", "connection": "SHOP"}, "format": "csv"},
            "format: sql is that of a query, and of nothing else; leave it out",
        ),
        (
            {"where": {"query": "select 1", "connection": "SHOP"}, "null_values": ["NA"]},
            "null_values: a query has nulls of its own; leave them out",
        ),
        (
            {"where": {"path": "a-{partition}"}, "format": "delta", "drops": {"grain": "daily", "start": "2024-01-01"}},
            "where: {partition} is for files; a Delta table is cut by `drops.column`",
        ),
        (
            {"where": {"package": "p.data", "file": "b.csv"}},
            "where: package 'p.data' must be a top-level package; put its folders into `file`",
        ),
        (
            {"where": {"path": "a.txt"}},
            "format: cannot be told from 'a.txt'; give one of csv, csv.gz, csv.zip, delta, jsonl, ndjson, parquet",
        ),
        (
            {"where": {"path": "a.parquet"}, "null_values": ["NA"]},
            "null_values: a Parquet file has nulls of its own; leave them out",
        ),
        (
            {"where": {"path": "a-{partition}.csv"}},
            "where: {partition} needs drops of grain: hourly, daily, weekly, monthly",
        ),
        (
            {"drops": {"grain": "monthly", "start": "2024-01"}},
            "drops: monthly drops of one file, table or query are cut by `column`; files of one drop each have",
        ),
        ({"drops": {"column": "at"}}, "drops: column, start and end belong to grain: hourly, daily, weekly, monthly"),
        (
            {"drops": {"grain": "monthly", "column": "at"}},
            "drops: grain monthly needs `start`, its first month",
        ),
        ({"drops": MONTHLY | {"start": "2024-13"}}, "'2024-13' is no month: write it as YYYY-MM, in quotes"),
        (
            {"drops": MONTHLY | {"grain": "weekly", "start": "2024-01-02"}},
            "'2024-01-02' is no week: write it as the YYYY-MM-DD of its Monday, in quotes",
        ),
        (
            {"drops": MONTHLY | {"grain": "daily"}},
            "'2024-01' is no day: write it as YYYY-MM-DD, in quotes",
        ),
        (
            {"drops": MONTHLY | {"grain": "hourly", "start": "2024-01-02T00", "time_zone": "Asia/Tokyo"}},
            "drops: hours are those of UTC; leave time_zone out",
        ),
        ({"drops": MONTHLY | {"end": "2024-01"}}, "drops: end 2024-01 must lie after start 2024-01; it is exclusive"),
        (
            {"drops": MONTHLY | {"time_zone": "Mars/Base"}},
            "'Mars/Base' is no IANA time zone such as America/New_York",
        ),
        ({"owners": ["data"]}, "owner 'data' must be an e-mail address or team:<name>"),
        ({"contract": "Orders"}, "contract 'Orders' must have the form 'package.module:Class'"),
        ({"contract": "shop.contracts:"}, "contract 'shop.contracts:' must have the form 'package.module:Class'"),
        ({"freshness": {"warn": "24h", "fail": "20h"}}, "freshness: warn (24h) must come before fail (20h)"),
        ({"freshness": {"fail": "soon"}}, "'soon' is no duration"),
        ({"row_count": {"min_ratio": 1.5}}, "row_count: need 0 <= min_ratio <= 1 <= max_ratio"),
        ({"key_columns": []}, "at least 1 item"),
        ({"max_bad_share": 1.5}, "less than or equal to 1"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"name": "My Orders"}, "should match pattern"),
    ],
)
def test_declarations_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValidationError) as raised:
        declared(**changes)
    assert message in str(raised.value)


def test_a_url_in_place_of_its_variable_is_refused_and_not_repeated():
    for declare in (declared, lambda where: Where(**where)):
        with pytest.raises(ValidationError) as raised:
            declare(where={"query": "select 1", "connection": "postgresql://shop:Pa55@host/shop"})
        assert "`connection` is the name of the environment variable that holds the URL" in str(raised.value)
        assert "Pa55" not in str(raised.value)


@pytest.mark.parametrize("model", [SourceSpec, Where, Drops, RowCount, Freshness])
def test_every_field_has_a_description_and_unknown_fields_are_refused(model):
    assert model.model_config["extra"] == "forbid"
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_a_column_cuts_one_file_and_is_looked_at_in_files_of_one_drop_each():
    assert declared(drops=MONTHLY).cut_by == "at"
    files = declared(where={"path": "a-{partition}.csv"}, drops=MONTHLY)
    assert (files.cut_by, files.drops.column) == (None, "at")
