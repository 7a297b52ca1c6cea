import json
import signal
import sqlite3
import time
from contextlib import closing

import dagster as dg
import polars as pl
import pytest

from ml_assets.code_version import PACKAGE
from ml_assets.lake import Lake
from ml_assets.registry.registry import Registry
from ml_assets_tests import processes

pytestmark = pytest.mark.slow

LAST = "2013-10"
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def registry(home):
    return Registry(f"sqlite:///{home}/mlflow/mlflow.db", str(home / "mlflow" / "artifacts"), "ml_assets")


def mlflow_runs(home):
    opened = registry(home)
    return opened._client.search_runs([opened.experiment_id])


def dagster_runs(home, **filters):
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return instance.get_runs(dg.RunsFilter(**filters))


def lake(home):
    return Lake(str(home / "lake"))


def delivered(flights_slice, month):
    return flights_slice.filter(pl.col("month") == str(int(month[-2:]))).height


def test_the_summary_counts_the_rows_that_were_delivered(finished, flights_slice):
    _, printed, _ = finished
    (drop,) = json.loads(printed)["flight_delay"]["drops"]
    assert drop["drop"] == LAST
    assert drop["rows"] == delivered(flights_slice, LAST)
    assert drop["champion"] == "1"
    assert 0.6 < drop["realised"] < 0.9


def test_no_row_is_lost_between_delivery_and_quarantine(finished, flights_slice):
    tables = lake(finished[0])
    counts = {
        table: tables.scan(f"flights/{table}").group_by("_drop").len().collect()
        for table in ("raw", "validated", "quarantine")
    }
    assert counts["raw"]["len"].sum() == sum(delivered(flights_slice, f"2013-{m:02}") for m in range(1, 11))
    assert counts["validated"]["len"].sum() + counts["quarantine"]["len"].sum() == counts["raw"]["len"].sum()


def test_the_one_impossible_wind_is_in_quarantine_with_its_rule(finished):
    (row,) = lake(finished[0]).scan("weather/quarantine").collect().to_dicts()
    assert row["wind_speed"] > 1000
    assert "wind_speed" in row["_columns"]


def test_every_prediction_is_made_once_from_what_was_known(finished):
    home, _, _ = finished
    predictions = lake(home).scan("flight_delay/predictions").collect()
    assert predictions["flight_id"].is_unique().all()
    assert predictions["score"].is_between(0, 1).all()
    training = lake(home).scan("flight_delay/training_set").collect()
    cut_off = pl.lit("2013-10-01T00:00:00Z").str.to_datetime(time_zone="UTC", time_unit="us")
    assert training.filter(pl.col("arrived_at") > cut_off).is_empty()


def test_the_champion_is_registered_by_a_finished_run_that_names_its_inputs(finished):
    home, _, _ = finished
    champion = registry(home).champion("flight_delay")
    (run,) = mlflow_runs(home)
    assert (champion.run_id, run.info.status) == (run.info.run_id, "FINISHED")
    assert "features/origin_queue" in json.loads(run.data.tags["table_versions"])
    assert run.data.metrics["holdout_roc_auc"] > 0.65


def test_each_scored_drop_has_its_report(finished):
    report = finished[0] / "lake" / "flight_delay" / "reports" / f"{LAST}.html"
    assert LAST in report.read_text()


def test_a_second_lifecycle_finds_nothing_to_do(finished, live):
    home, printed, _ = finished
    before = len(dagster_runs(home))
    again, told = live(home)
    assert told.count("nothing has changed") == 3
    assert json.loads(again) == json.loads(printed)
    assert len(dagster_runs(home)) == before


def test_a_second_model_takes_the_features_that_are_there(finished, live):
    home, _, _ = finished
    shared = [f"features/{view}" for view in ("schedule", "origin_queue", "aircraft_rotation")]
    versions = {table: lake(home).version(table) for table in shared}
    printed, told = live(home, model="arrival_delay")
    assert "nothing has changed" in told
    told = json.loads(printed)["arrival_delay"]
    assert [drop["champion"] for drop in told["drops"]] == ["1"]
    holdout = {row["metric"]: row for row in told["holdout"]}
    assert holdout["mae"]["model"] < holdout["mae"]["baseline"]
    ours, other = (lake(home).scan(f"{model}/training_set").collect() for model in ("arrival_delay", "flight_delay"))
    features = [name for name in ours.columns if name.startswith("origin_waiting")]
    assert features
    assert (
        ours.sort("flight_id")
        .select(features)
        .equals(other.join(ours, on="flight_id", how="semi").sort("flight_id").select(features))
    )
    # Nine months of history are not built again, only the drop that is scored.
    assert {table: lake(home).version(table) for table in shared} == {
        table: version + 1 for table, version in versions.items()
    }


def trainings_going_on(home):
    """Count them in the table itself: to ask MLflow takes longer than a short training."""
    file = home / "mlflow/mlflow.db"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
        there = opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
        return there and opened.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]


MODEL = {
    "split": {"train": "9d", "validation": "7d", "holdout": "7d", "gap": "2d"},
    "promotion": {"resamples": 100},
}
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04"]


def test_a_killed_lifecycle_is_put_in_order_by_the_next_even_if_two_start_at_once(
    make_project, made_up_orders, tmp_path
):
    home, delivered = tmp_path / "home", tmp_path / "delivered"
    delivered.mkdir()
    folder = make_project(*made_up_orders.declared(delivered, **MODEL)).folder
    (folder / "definitions.py").write_text((PACKAGE / "definitions.py").read_text())
    orders = {month: made_up_orders.of(month, 60) for month in MONTHS}
    for month, rows in orders.items():
        rows.write_csv(delivered / f"{month}.csv")

    def start(name, *options):
        output = tmp_path / name
        output.mkdir()
        own = {"ML_ASSETS_HOME": home, "PYTHONPATH": folder}
        command = ["ml-assets", "run", "shop", "--train-as-of", "2024-04-01", "--until", MONTHS[-1], *options]
        return processes.start(*command, cwd=folder, environment=processes.inherited() | own, output=output)

    doomed = start("doomed")
    deadline = time.monotonic() + 300
    while "returns/tuned_parameters" not in doomed.stdout:
        assert doomed.poll() is None, doomed.stderr
        assert time.monotonic() < deadline, doomed.stdout
        time.sleep(0.05)
    while not trainings_going_on(home):
        assert doomed.poll() is None, doomed.stderr
        assert time.monotonic() < deadline, doomed.stdout
        time.sleep(0.02)
    doomed.kill()
    assert doomed.wait(60) == -signal.SIGKILL
    assert dagster_runs(home, statuses=UNFINISHED)
    assert [run.info.status for run in mlflow_runs(home)] == ["RUNNING"]

    both = [start("first", "--json"), start("second", "--json")]
    codes = [process.wait(900) for process in both]
    told = [process.stderr for process in both]
    assert codes == [0, 0], told
    assert sum("waiting for its end" in errors for errors in told) == 1
    assert sum("Closed 1 killed run" in errors for errors in told) == 1

    assert not dagster_runs(home, statuses=UNFINISHED)
    assert sorted(run.info.status for run in mlflow_runs(home)) == ["FINISHED", "KILLED"]
    validated, predicted = (lake(home).scan(name).collect() for name in ("orders/validated", "returns/predictions"))
    assert sorted(validated["id"]) == sorted(pl.concat(orders.values())["id"])
    assert sorted(predicted["id"]) == sorted(orders[MONTHS[-1]]["id"])
