import json
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from ml_assets.commands.lifecycle.summary import print_summary, realised_by_horizon, summarise
from ml_assets.lake import Lake

DROPS = ["2024-04", "2024-05"]
LEAST = 3
"""Rows from which a chunk is watched."""


@pytest.fixture
def lake(tmp_path):
    """A model scored in April and, by another version, in May, when no label is known yet."""
    tables = Lake(str(tmp_path / "lake"))
    predictions = pl.DataFrame({"month": [*["2024-05"] * 2, *["2024-04"] * 3], "model_version": [*"22", *"111"]})
    tables.replace("returns/predictions", predictions.with_columns(score=0.5), {"month": DROPS})
    drift = pl.DataFrame(
        [
            ("2024-04", "price", "psi", "period", 0.1),
            ("2024-04", "hour", "psi", "period", 0.3),
            ("2024-04", "price", "psi", "chunk", 9.0),
            ("2024-04", "price", "jensen_shannon", "period", 8.0),
            ("2024-05", "price", "psi", "period", 1.5),
        ],
        schema=["month", "feature", "method", "scope", "value"],
        orient="row",
    )
    tables.replace("returns/drift_report", drift, {"month": DROPS})
    performance = pl.DataFrame(
        [
            ("2024-04", "estimated", "roc_auc", "period", 0.75, 1, 3),
            ("2024-04", "realised", "roc_auc", "period", 0.7, 1, 3),
            ("2024-04", "realised", "roc_auc", "chunk", 0.1, 1, 2),
            ("2024-04", "realised", "roc_auc", "chunk", 0.1, 8, 3),
            ("2024-04", "realised", "f1", "period", 0.2, 1, 3),
            ("2024-05", "estimated", "roc_auc", "period", 0.65, 1, 2),
            ("2024-05", "realised", "roc_auc", "period", None, 1, 0),
            ("2024-05", "estimated", "roc_auc", "chunk", 0.65, 1, 2),
            ("2024-05", "realised", "roc_auc", "chunk", None, 1, 0),
        ],
        schema=["month", "kind", "metric", "scope", "value", "day", "rows"],
        orient="row",
    ).with_columns(chunk_start=pl.datetime(2024, 1, pl.col("day"), time_zone="UTC"))
    performance = performance.drop("day").with_columns(
        missing=pl.when(kind="realised").then(pl.col("value").fill_null(20.0) // 10).cast(pl.Int64)
    )
    tables.replace("returns/performance_report", performance, {"month": DROPS})
    evaluation = pl.DataFrame(
        [
            ("2024-01-01", "model", "roc_auc", 0.1),
            ("2024-04-01", "model", "roc_auc", 0.8),
            ("2024-04-01", "baseline", "roc_auc", 0.5),
            ("2024-04-01", "shop=a", "roc_auc", 0.9),
        ],
        schema=["_as_of", "subject", "metric", "value"],
        orient="row",
    )
    tables.replace("returns/evaluation", evaluation)
    for source, quarantined in {"orders": ["2024-04"] * 2, "visits": ["2024-04", "2023-12"]}.items():
        tables.replace(f"{source}/quarantine", pl.DataFrame({"_drop": quarantined, "id": [1, 2]}))
    return tables


@pytest.fixture
def summary(lake):
    return summarise(lake, "returns", "month", "roc_auc", ["orders", "visits"], LEAST)


def test_there_is_a_row_per_scored_drop(summary):
    assert summary.drops.to_dicts() == [
        {
            "drop": "2024-04", "rows": 3, "quarantined": 3, "strongest_drift": "hour", "psi": 0.3,
            "estimated": 0.75, "realised": 0.7, "missing_labels": 0, "champion": "1",
            "chunks": 2, "small_chunks": 1,
        },
        {
            "drop": "2024-05", "rows": 2, "quarantined": 0, "strongest_drift": "price", "psi": 1.5,
            "estimated": 0.65, "realised": None, "missing_labels": 2,
            "champion": "2", "chunks": 1, "small_chunks": 1,
        },
    ]  # fmt: skip


def test_a_drop_that_was_measured_again_has_its_newest_values(lake):
    first = lake.scan("returns/performance_report").collect()
    end, later = (datetime(2024, month, 1, tzinfo=UTC) for month in (6, 7))
    again = first.filter(month="2024-05", kind="realised").with_columns(
        value=pl.lit(0.6), missing=pl.lit(1, pl.Int64), measured_at=pl.lit(later)
    )
    both = pl.concat([first.with_columns(measured_at=pl.lit(end)), again], how="vertical_relaxed")
    lake.replace("returns/performance_report", both)
    drops = summarise(lake, "returns", "month", "roc_auc", [], LEAST).drops
    shown = drops.select("drop", "estimated", "realised", "missing_labels").rows()
    assert shown == [("2024-04", 0.75, 0.7, 0), ("2024-05", 0.65, 0.6, 1)]


def test_the_newest_values_by_horizon_are_those_of_the_drop(lake):
    assert realised_by_horizon(lake, "returns", "month", "2024-05", "roc_auc") == {}
    early, late = (datetime(2024, month, 1, tzinfo=UTC) for month in (6, 7))
    rows = [
        ("2024-05", "mae", "horizon", 604_800, 4.0, early),
        ("2024-05", "mae", "horizon", 604_800, 3.0, late),
        ("2024-05", "mae", "horizon", 86_400, 2.0, late),
        ("2024-05", "mae", "horizon", 2_419_200, None, late),
        ("2024-05", "rmse", "horizon", 86_400, 9.0, late),
        ("2024-05", "mae", "period", None, 3.5, late),
        ("2024-04", "mae", "horizon", 86_400, 1.0, late),
    ]
    columns = ["month", "metric", "scope", "horizon", "value", "measured_at"]
    report = pl.DataFrame(rows, schema=columns, orient="row").with_columns(kind=pl.lit("realised"))
    lake.replace("forecast/performance_report", report)
    found = realised_by_horizon(lake, "forecast", "month", "2024-05", "mae")
    assert list(found.items()) == [("1d", 2.0), ("7d", 3.0), ("28d", None)]


def test_rows_that_are_in_no_scored_drop_are_counted_by_source_and_place(lake, capsys):
    placement = pl.DataFrame({"place": ["before 2024-01", "not ingested"], "rows": [3, 7], "waits": [False, True]})
    lake.replace("orders/placement", placement)
    summary = summarise(lake, "returns", "month", "roc_auc", ["orders", "visits"], LEAST)
    assert summary.left_out.rows() == [
        ("orders", "before 2024-01", 3),
        ("orders", "not ingested", 7),
        ("visits", "quarantine of 2023-12", 1),
    ]
    print_summary([summary], as_json=False)
    assert "before 2024-01" in capsys.readouterr().out


def test_a_drop_without_rows_is_shown_with_0(lake):
    decided = pl.DataFrame({"month": ["2024-05", "2024-06"], "retrain": False})
    lake.replace("returns/retrain_decision", decided, {"month": decided["month"].to_list()})
    drops = summarise(lake, "returns", "month", "roc_auc", ["orders", "visits"], LEAST).drops
    counted = drops.select("drop", "rows", "champion").rows()
    assert counted == [("2024-04", 3, "1"), ("2024-05", 2, "2"), ("2024-06", 0, None)]


def test_the_holdout_is_that_of_the_newest_training(summary):
    assert summary.holdout.to_dicts() == [{"metric": "roc_auc", "model": 0.8, "baseline": 0.5}]


def test_json_is_one_object_that_a_program_can_read(summary, capsys):
    print_summary([summary], as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["returns"]["drops"] == summary.drops.to_dicts()
    assert printed["returns"]["holdout"] == summary.holdout.to_dicts()


def test_the_table_shows_every_value_and_fits_a_terminal(summary, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_summary([summary], as_json=False)
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= 80
    april = next(line for line in printed.splitlines() if line.strip().startswith("2024-04"))
    assert april.split() == ["2024-04", "3", "3", "hour", "0.300", "0.750", "0.700", "0", "1"]
    may = next(line for line in printed.splitlines() if line.strip().startswith("2024-05"))
    assert may.split() == ["2024-05", "2", "0", "price", "1.500", "0.650", "–", "2", "2"]
    (unwatched,) = (line for line in " ".join(printed.split()).split("2024-05: ")[1:])
    assert unwatched.startswith("Not watched: the only chunk has fewer than 3 rows (`monitoring.min_chunk_rows`)")
    assert "ml-assets ui" in printed
    assert "ml-assets mlflow" in printed


def test_a_model_that_scored_nothing_says_so(tmp_path, capsys):
    nothing = summarise(Lake(str(tmp_path)), "returns", "month", "roc_auc", ["orders"], LEAST)
    print_summary([nothing], as_json=False)
    assert "returns: nothing scored yet" in capsys.readouterr().out
    print_summary([nothing], as_json=True)
    empty = {"drops": [], "holdout": [], "left_out": []}
    assert json.loads(capsys.readouterr().out) == {"returns": empty | {"waits_for_approval": None}}


def test_a_version_that_waits_for_approval_is_named_with_what_to_do(tmp_path, capsys):
    nothing = summarise(Lake(str(tmp_path)), "returns", "month", "roc_auc", ["orders"], LEAST)
    waiting = replace(nothing, waits_for_approval="2")
    print_summary([waiting], as_json=False)
    assert "returns: version 2 waits for approval: `ml-assets approve returns 2 --by NAME`" in capsys.readouterr().out


def test_a_model_that_is_scored_and_not_monitored_yet_has_its_rows(tmp_path, lake):
    tables = Lake(str(tmp_path / "other"))
    for key in ("returns/predictions", "returns/evaluation"):
        tables.replace(key, lake.scan(key).collect())
    drops = summarise(tables, "returns", "month", "roc_auc", [], LEAST).drops
    assert drops.select("drop", "rows", "psi", "estimated", "realised").rows() == [
        ("2024-04", 3, None, None, None), ("2024-05", 2, None, None, None),
    ]  # fmt: skip
