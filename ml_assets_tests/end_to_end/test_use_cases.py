"""Use cases from CSV file to reports, by the commands that people type: one of one's own, and the shipped digits."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import httpx
import numpy as np
import polars as pl
import pytest

from ml_assets.commands.init.project import create_project
from ml_assets.defs.digits.features import BLOCKS, COLUMNS, ROWS
from ml_assets.lake import Lake
from ml_assets.registry.registry import Registry
from ml_assets_tests import processes

PROJECT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TASKS = {
    # model -> task, label, the metric that its champion is judged by, what a good model reaches in May
    "late": ("binary", "late", "roc_auc", lambda value: value > 0.75),
    "complaint": ("multiclass", "complaint", "log_loss", lambda value: value < 0.95),
    "hours": ("regression", "hours", "mae", lambda value: value < 7),
}

SHARED = """\
    type: ml_assets.Source
    attributes:
      name: parcels
      description: One row per parcel.
      where: {path: parcels.csv}
      drops: {grain: monthly, column: sent_at, start: "2024-01", end: "2024-06"}
      contract: "parcel_post.contracts:Parcels"
      key_columns: [parcel]
    ---
    type: ml_assets.Spine
    attributes:
      name: parcels
      table: parcels/validated
      key: [parcel]
      time: sent_at
      partition: _drop
      drops: {grain: monthly, start: "2024-01", end: "2024-06"}
    ---
    type: ml_assets.FeatureView
    attributes:
      name: parcel
      description: The parcel itself.
      spine: parcels
      entity: [parcel]
      request: {km: km, courier: courier}
    """

MODEL = """\
    ---
    type: ml_assets.MLModel
    attributes:
      name: {name}
      description: What becomes of a parcel.
      task: {task}
      spine: parcels
      label: {{column: {label}, known_at: arrived_at}}
      features: [parcel]
      split: {{validation: 14d, holdout: 21d, gap: 3d}}
      search: {{trials: 2, rows: 1000, max_rounds: 30}}
      training: {{max_rounds: 60}}
      evaluation: {{resamples: 100, leak_limit: 1.0}}
      promotion: {{resamples: 100}}
      monitoring: {{min_chunk_rows: 50}}
    """

CONTRACT = """\
import pandera.polars as pa
import polars as pl


class Parcels(pa.DataFrameModel):
    parcel: pl.Int64 = pa.Field(unique=True)
    courier: pl.String
    km: pl.Float64 = pa.Field(ge=0)
    sent_at: pl.Datetime("us", "UTC")
    arrived_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)
    hours: pl.Float64 = pa.Field(nullable=True)
    late: pl.Boolean = pa.Field(nullable=True)
    complaint: pl.String = pa.Field(nullable=True)
"""


def parcels() -> pl.DataFrame:
    """30 a day from January to May: the hours follow courier and distance, late and complaint follow the hours."""
    random = np.random.default_rng(4)
    count = 30 * 152
    courier, km = random.integers(0, 3, count), random.uniform(1, 300, count).round(1)
    hours = 4 + np.array([0.05, 0.1, 0.15])[courier] * km + random.normal(0, 3, count).clip(-3, None)
    sent = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=48 * i) for i in range(count)]
    complaint = np.where(hours + random.normal(0, 6, count) < 14, "none", np.where(hours < 28, "call", "letter"))
    return pl.DataFrame(
        {
            "parcel": np.arange(count),
            "courier": np.array(["ann", "bob", "cleo"])[courier],
            "km": km,
            "sent_at": sent,
            "arrived_at": [at + timedelta(hours=float(taken)) for at, taken in zip(sent, hours, strict=True)],
            "hours": hours.round(2),
            "late": hours > 20,
            "complaint": complaint,
        }
    ).with_columns(pl.col("sent_at", "arrived_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


def ml_assets(home: Path, folder: Path, *arguments: str) -> str:
    done = processes.run("ml-assets", *arguments, cwd=folder, timeout=500, ML_ASSETS_HOME=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A new project with a model of each task, trained in May and shown May: its home and the summary."""
    folder = tmp_path_factory.mktemp("new_use_case") / "parcel_post"
    create_project(folder)
    parcels().write_csv(folder / "parcels.csv")
    (folder / "parcel_post" / "contracts.py").write_text(CONTRACT)
    declared = folder / "parcel_post" / "defs" / "post"
    declared.mkdir()
    models = [dedent(MODEL).format(name=name, task=task, label=label) for name, (task, label, *_) in TASKS.items()]
    (declared / "defs.yaml").write_text(dedent(SHARED) + "".join(models))
    home = tmp_path_factory.mktemp("home")
    return home, json.loads(ml_assets(home, folder, "run", "post", "--train-as-of", "2024-05-01", "--json"))


@pytest.mark.parametrize("model", TASKS)
def test_a_new_use_case_has_a_champion_predictions_and_reports(lived, model):
    home, told = lived
    task, _, metric, good = TASKS[model]
    lake = Lake(str(home / "lake"))
    registry = Registry(f"sqlite:///{home}/mlflow/mlflow.db", str(home / "mlflow/artifacts"), "ml_assets")
    assert registry.champion(model).version == "1"
    assert registry.load(model, alias="champion").task == task
    holdout = {row["metric"]: row for row in told[model]["holdout"]}
    assert good(holdout[metric]["model"])
    assert not good(holdout[metric]["baseline"])

    predicted = lake.scan(f"{model}/predictions").collect()
    may = pl.col("sent_at").str.starts_with("2024-05")
    assert predicted["parcel"].sort().to_list() == parcels().filter(may)["parcel"].to_list()
    assert predicted["score"].null_count() == 0

    drift = lake.scan(f"{model}/drift_report").collect()
    assert {"km", "courier"} <= set(drift["feature"])
    performance = lake.scan(f"{model}/performance_report").collect()
    realised = performance.filter(pl.col("kind") == "realised", pl.col("metric") == metric)
    assert realised.height >= 4  # a chunk a week
    assert realised["value"].is_not_null().all()
    assert performance.filter(pl.col("kind") == "estimated")["value"].is_not_null().any()
    (report,) = (home / "lake" / model / "reports").rglob("*.html")
    assert metric in report.read_text()
    assert [drop["drop"] for drop in told[model]["drops"]] == ["2024-05"]
    assert good(told[model]["drops"][0]["realised"])


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A home in which the digits were lived through, and the summary."""
    home = tmp_path_factory.mktemp("digits")
    return home, json.loads(ml_assets(home, PROJECT, "run", "digits", "--train-as-of", "2024-02-26", "--json"))["digit"]


def test_the_digits_are_read_in_a_declared_order(digits):
    _, told = digits
    assert [(drop["drop"], drop["rows"], drop["quarantined"]) for drop in told["drops"]] == [
        ("2024-02-26", 168, 0),
        ("2024-03-04", 168, 0),
        ("2024-03-11", 1797 - 10 * 168, 0),
    ]
    holdout = {row["metric"]: row for row in told["holdout"]}
    assert holdout["accuracy"]["model"] > 0.85 > 0.2 > holdout["accuracy"]["baseline"]
    assert all(drop["champion"] == "1" and drop["realised"] < 1 for drop in told["drops"])


@pytest.fixture(scope="module")
def scans(digits):
    """Features of the scans of one drop, by scan, and what was predicted for them when the drop came."""
    lake = Lake(str(digits[0] / "lake"))
    of_drop = pl.col("_drop") == "2024-03-04"
    declared = {name: pl.sql_expr(sql).alias(name) for name, sql in (ROWS | COLUMNS).items()}
    rows = lake.scan("digits/validated").filter(of_drop).select("scan", *BLOCKS, *declared.values())
    predicted = lake.scan("digit/predictions").filter(of_drop).sort("scan").collect()
    return rows.sort("scan").collect(), predicted


def test_the_server_answers_what_the_batch_predicted(digits, scans, tmp_path):
    features, predicted = scans
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = processes.start(
        "ml-assets", "serve", "digit", "--port", port,
        cwd=PROJECT, environment=processes.inherited() | {"ML_ASSETS_HOME": digits[0]}, output=tmp_path,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    client.get("/v2/models/digit/ready").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            rows = features.drop("scan").to_dicts()
            together = client.post("/invocations", json={"dataframe_records": rows}).raise_for_status().json()
            alone = [
                client.post("/invocations", json={"instances": [row]}).raise_for_status().json()["predictions"][0]
                for row in rows[:20]
            ]
    finally:
        server.terminate()
        server.wait(30)
    assert "Finished server process" in server.stderr
    assert [one["prediction"] for one in together["predictions"]] == predicted["prediction"].to_list()
    assert [one["score"] for one in together["predictions"]] == pytest.approx(predicted["score"].to_list(), rel=1e-6)
    # A row alone is answered without the library: the last bit of a float32 may differ.
    for one, among in zip(alone, together["predictions"], strict=False):
        assert one == pytest.approx(among, rel=1e-6, abs=1e-6)


def test_a_file_is_scored_as_the_drop_was(digits, scans, tmp_path):
    features, predicted = scans
    features.write_parquet(tmp_path / "scans.parquet")
    said = ml_assets(
        digits[0], tmp_path, "score", "digit", "--input", "scans.parquet", "--output", "scores.csv", "--json"
    )
    assert json.loads(said)["rows"] == features.height
    scores = pl.read_csv(tmp_path / "scores.csv")
    assert scores["scan"].to_list() == predicted["scan"].to_list()
    assert scores["prediction"].to_list() == predicted["prediction"].to_list()
