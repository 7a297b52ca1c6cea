"""What Dagster recorded of assets, read from a file as its SQLite storage has it.

That it is what Dagster reads itself is tested with a life's records, beside the main job.
"""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from ml_assets.automation.asset_events import CheckResult
from ml_assets.automation.run_records import RunRecordsUnreadable, SqliteRecords

KEY = ["orders", "validated"]
CHECKS = (
    "CREATE TABLE asset_check_executions (asset_key, check_name, partition, execution_status, evaluation_event, "
    "evaluation_event_timestamp)"
)
ASSETS = "CREATE TABLE asset_keys (asset_key, last_materialization)"


def evaluation(observed) -> str:
    metadata = {
        "observed": {"__class__": "FloatMetadataEntryData", "value": observed},
        "threshold": {"__class__": "TextMetadataEntryData", "text": "1 to 3"},
        "evidence": {"__class__": "JsonMetadataEntryData", "data": {"rows": 3}},
    }
    return json.dumps({"dagster_event": {"event_specific_data": {"metadata": metadata}}})


def materialized(**made_of) -> str:
    deps = {
        column: [{"asset_key": {"path": table.split("/")}, "column_name": name} for table, name in those]
        for column, those in made_of.items()
    }
    entries = [
        {"label": "seconds", "entry_data": {"value": 1.0}},
        {"label": "dagster/column_lineage", "entry_data": {"column_lineage": {"deps_by_column": deps}}},
    ]
    event = {"dagster_event": {"event_specific_data": {"materialization": {"metadata_entries": entries}}}}
    return json.dumps({"event_log_entry": event})


@pytest.fixture
def records(tmp_path):
    (tmp_path / "runs").mkdir()
    key = json.dumps(KEY)
    checks = [
        (key, "contract", "a", "FAILED", evaluation(0.5), "2024-01-01 10:00:00.000001"),
        (key, "contract", "a", "SUCCEEDED", evaluation(0.0), "2024-01-02 10:00:00.000001"),
        (key, "contract", "b", "FAILED", evaluation(0.7), "2024-01-02 11:00:00"),
        (key, "contract", "c", "PLANNED", None, "2024-01-02 12:00:00"),
        (key, "row_count", None, "SUCCEEDED", evaluation(2.0), "2024-01-02 11:00:00"),
        (key, "other", "a", "FAILED", evaluation(1.0), "2024-01-02 11:00:00"),
        ('["x"]', "contract", "a", "FAILED", evaluation(9.0), "2024-01-02 11:00:00"),
    ]
    with closing(sqlite3.connect(tmp_path / "runs/index.db")) as opened, opened:
        opened.execute(CHECKS)
        opened.execute(ASSETS)
        opened.executemany("INSERT INTO asset_check_executions VALUES (?, ?, ?, ?, ?, ?)", checks)
        lineage = materialized(late=[("legs", "delay"), ("shop/orders", "id")], one=[])
        opened.execute("INSERT INTO asset_keys VALUES (?, ?)", ('["mart"]', lineage))
        opened.execute("INSERT INTO asset_keys VALUES (?, ?)", ('["never"]', None))
    return SqliteRecords(tmp_path)


def test_of_each_partition_the_newest_result_of_a_check_counts(records):
    found = records.check_results(KEY, ["contract", "row_count"])
    assert {(result.check, result.partition): result.passed for result in found} == {
        ("contract", "a"): True,
        ("contract", "b"): False,
        ("row_count", None): True,
    }


def test_of_one_partition_the_checks_come_with_what_they_observed(records):
    at = datetime(2024, 1, 2, 10, 0, 0, 1, tzinfo=UTC)
    assert records.checks_of(KEY, ["contract"], "a") == [
        CheckResult("contract", "a", True, at, observed=0.0, threshold="1 to 3", evidence={"rows": 3})
    ]
    (whole,) = records.checks_of(KEY, ["contract", "row_count"], None)
    assert (whole.check, whole.observed) == ("row_count", 2.0)


def test_columns_are_made_of_what_the_last_materialization_recorded(records):
    assert records.lineage(["mart"]) == {"late": [("legs", "delay"), ("shop/orders", "id")], "one": []}
    assert records.lineage(["never"]) == records.lineage(["nobody"]) == {}


def test_before_anything_ran_there_is_nothing(tmp_path):
    records = SqliteRecords(tmp_path)
    assert records.check_results(KEY, ["contract"]) == records.checks_of(KEY, ["contract"], "a") == []
    assert records.lineage(KEY) == {}


def test_a_file_that_holds_no_records_is_named(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/index.db").write_text("no database")
    with pytest.raises(RunRecordsUnreadable, match=r"index\.db cannot be read"):
        SqliteRecords(tmp_path).check_results(KEY, ["contract"])
