"""One small use case lived through: history, a first and a second training, months scored and watched."""

import dataclasses
import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import dagster as dg
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.registry.trackers.interface import TrackedRun, Tracker
from ml_assets.registry.trackers.known import TRACKERS
from ml_assets.training.fit import predict

pytestmark = pytest.mark.slow

HISTORY, APRIL, MAY = ["2024-01", "2024-02", "2024-03"], "2024-04", "2024-05"
FIRST, SECOND = "2024-04-01", "2024-05-01"
FIRST_MOMENT, SECOND_MOMENT = "2024-04-01T00:00:00+00:00", "2024-05-01T00:00:00+00:00"
TRAINING = ("training_set", "tuned_parameters", "model", "evaluation", "reference", "champion")
SCORING = ("predictions", "drift_report", "performance_report")
VIEWS = ("features/order", "features/customer_history")
TABLES = ("orders/raw", "orders/validated", "orders/quarantine")


class NotedRun(TrackedRun):
    """What was logged of a run, as it came."""

    keeps_trials = True

    def __init__(self):
        self.parameters, self.metrics, self.curves, self.tags, self.files = {}, {}, {}, {}, {}
        self.trials, self.statuses = [], []

    def log_parameters(self, parameters):
        self.parameters.update(parameters)

    def log_metrics(self, metrics):
        self.metrics.update(metrics)

    def set_tags(self, tags):
        self.tags.update(tags)

    def log_files(self, files):
        self.files.update(files)

    def log_trials(self, trials):
        self.trials.extend(trials)

    def log_curve(self, metric, values):
        self.curves[metric] = list(values)

    def end(self, status):
        self.statuses.append(status)


class Notes(Tracker):
    runs: ClassVar[dict[str, NotedRun]] = {}
    aliases: ClassVar[list[tuple]] = []

    def start(self, run):
        return self.runs.setdefault(run.run_id, NotedRun())

    def resume(self, run_id):
        return self.runs[run_id]

    def alias_moved(self, model, alias, version):
        self.aliases.append((model, alias, version))


@pytest.fixture(scope="module")
def notes():
    """A tracker that hears what the assets log, beside MLflow."""
    TRACKERS.register("notes", Notes)
    yield Notes
    TRACKERS.unregister("notes")


def made_up_orders(month: str, *, dearer: float = 1.0) -> pl.DataFrame:
    """Orders of a month, 30 a day. A dear order comes back more often, and so do those of the odd customers."""
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    days = ((start + timedelta(days=31)).replace(day=1) - start).days
    random = np.random.default_rng(int(month.replace("-", "")))
    n = 30 * days
    customer = random.integers(0, 20, n)
    amount = random.uniform(0, 100, n).round(2)
    returned = random.random(n) < 1 / (1 + np.exp(-(amount - 60) / 15 - np.where(customer % 2, 1.0, -1.0)))
    placed = [start + timedelta(minutes=48 * i) for i in range(n)]
    days_open = random.uniform(0.2, 1.8, n)
    return pl.DataFrame(
        {
            "id": np.arange(n) + int(month.replace("-", "")) * 10_000,
            "customer": [f"c{c:02}" for c in customer],
            "amount": (amount * dearer).round(2),
            "placed_at": placed,
            "settled_at": [at + timedelta(days=float(d)) for at, d in zip(placed, days_open, strict=True)],
            "returned": returned,
        }
    ).with_columns(pl.col("placed_at", "settled_at").dt.cast_time_unit("us"))


def model(name: str, features=("order", "customer_history"), **changes) -> dict:
    attributes = {
        "name": name,
        "description": "Whether an order comes back.",
        "owners": ["team:shop"],
        "spine": "orders",
        "label": {"column": "returned", "known_at": "settled_at"},
        "features": list(features),
        "slices": ["customer"],
        "split": {"validation": "14d", "holdout": "21d", "gap": "2d"},
        "search": {"trials": 2, "rows": 1000, "max_rounds": 20, "space": {"max_depth": {"choices": [2, 3]}}},
        "training": {"max_rounds": 30, "threads": 1},
        "evaluation": {"resamples": 100},
        "floors": {"roc_auc": 0.6},
        "promotion": {"margin": 0.2, "resamples": 200},
        "monitoring": {"chunk": "7d", "min_chunk_rows": 50, "floors": {"roc_auc": 0.6}},
    }  # fmt: skip
    return {"type": "ml_assets.MLModel", "attributes": attributes | changes}


@pytest.fixture(scope="module")
def shop(make_project, tmp_path_factory, notes):  # noqa: ARG001 - registered
    """The history is in, with its features."""
    delivered = tmp_path_factory.mktemp("delivered")
    for month in (*HISTORY, APRIL):
        made_up_orders(month).write_csv(delivered / f"{month}.csv")
    made_up_orders(MAY, dearer=3.0).write_csv(delivered / f"{MAY}.csv")
    monthly = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}
    view = {"spine": "orders", "owners": ["team:shop"]}
    project = make_project(
        {
            "type": "ml_assets.Source",
            "attributes": {
                "name": "orders",
                "description": "One row per order.",
                "where": {"path": str(delivered / "{partition}.csv")},
                "drops": monthly,
                "contract": "CONTRACTS:Orders",
                "key_columns": ["id"],
            },
        },
        {
            "type": "ml_assets.Spine",
            "attributes": {"name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at",
                           "partition": "_drop", "drops": monthly},
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {"name": "order", "description": "The order itself.", "entity": ["id"],
                                  "request": {"price": "amount", "hour": "EXTRACT(hour FROM placed_at)"}},
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {
                "name": "customer_history", "description": "What the customer did before.", "entity": ["customer"],
                "table": "orders/validated", "known_at": "settled_at", "windows": ["7d", "28d"],
                "aggregates": {"returns": {"of": "CAST(returned AS DOUBLE)", "functions": ["mean", "count"]}},
            },
        },
        {
            "type": "ml_assets.FeatureView",
            "attributes": view | {"name": "peeking", "description": "The outcome itself, and so the future.",
                                  "entity": ["id"], "request": {"came_back": "CAST(returned AS INTEGER)"}},
        },
        model("returns"),
        model("strict", promotion={"margin": 0.0, "resamples": 200}),
        model("hopeless", floors={"roc_auc": 0.999, "brier": 0.5}),
        model("cheat", features=["order", "peeking"]),
    )  # fmt: skip
    assert project.run(*TABLES, *VIEWS, "features/peeking", drops=HISTORY).success
    return dataclasses.replace(project, trackers=("notes",))


def train(shop, name, as_of):
    return shop.run(*(f"{name}/{asset}" for asset in TRAINING), as_of=as_of)


@pytest.fixture(scope="module")
def first(shop):
    outcome = train(shop, "returns", FIRST)
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def hopeless(shop, first):  # noqa: ARG001 - the same training set
    """A model that misses its floor, trained twice as of the same day."""
    outcomes = [train(shop, "hopeless", FIRST) for _ in range(2)]
    assert all(outcome.success for outcome in outcomes), outcomes[-1].errors
    return outcomes


@pytest.fixture(scope="module")
def april(shop, first):  # noqa: ARG001 - scored by the champion
    outcome = shop.run(*TABLES, *VIEWS, *(f"returns/{asset}" for asset in SCORING), drops=[APRIL])
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def second(shop, april):  # noqa: ARG001 - on one month more
    outcome = train(shop, "returns", SECOND)
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def may(shop, second):  # noqa: ARG001 - scored by the new champion
    outcome = shop.run(*TABLES, *VIEWS, *(f"returns/{asset}" for asset in SCORING), drops=[MAY])
    assert outcome.success, outcome.errors
    return outcome


def stored(shop, key, as_of=FIRST_MOMENT):
    return shop.lake.scan(key).filter(pl.col("_as_of") == as_of).drop("_as_of").collect()


def record(shop, key, as_of=FIRST_MOMENT):
    """The newest record of a training."""
    rows = stored(shop, key, as_of)
    order = next((name for name in ("_number", "version") if name in rows.columns), "record")
    return json.loads(rows.sort(order)["record"][-1])


# The first training


def test_the_training_set_is_spine_features_and_label_in_three_parts_in_time(shop, first):
    rows = stored(shop, "returns/training_set")
    assert {"id", "placed_at", "customer", "returned", "settled_at", "split"} <= set(rows.columns)
    assert {"price", "hour", "returns_mean_7d", "returns_mean_28d", "returns_count_7d", "returns_count_28d"} <= set(
        rows.columns
    )
    assert rows["id"].is_unique().all()
    spans = {name: part["placed_at"] for (name,), part in rows.partition_by("split", as_dict=True).items()}
    cut_off = datetime(2024, 4, 1, tzinfo=UTC)
    # holdout: 21 days that end 2 before the cut-off; 2 days free; validation: 14 days; 2 days free; then training.
    assert cut_off - timedelta(days=23) <= spans["holdout"].min() < spans["holdout"].max() < cut_off - timedelta(days=2)
    assert cut_off - timedelta(days=39) <= spans["validation"].min()
    assert spans["validation"].max() < cut_off - timedelta(days=25)
    assert spans["train"].max() < cut_off - timedelta(days=41)
    assert first.metadata("returns/training_set")["train_rows"] == len(spans["train"])
    assert spans["holdout"].len() == 21 * 30
    assert rows["settled_at"].max() < cut_off


def test_features_are_joined_to_their_own_row(shop, first):  # noqa: ARG001
    rows = stored(shop, "returns/training_set")
    delivered = pl.concat(made_up_orders(month) for month in HISTORY)
    joined = rows.join(delivered, on="id", suffix="_delivered")
    assert joined.height == rows.height
    assert joined["price"].equals(joined["amount"])
    row = joined.filter(split="holdout").sort("id").row(100, named=True)
    settled = delivered.filter(
        pl.col("customer") == row["customer"],
        pl.col("settled_at") <= row["placed_at"],
        pl.col("settled_at") > row["placed_at"] - timedelta(days=28),
    )
    assert row["returns_count_28d"] == settled.height > 0
    assert row["returns_mean_28d"] == pytest.approx(settled["returned"].mean())


def test_labels_were_known_in_time(first):
    check = first.check("returns/training_set:labels_known_in_time")
    assert check.passed
    assert check.blocking
    assert (check.metadata["observed"].value, check.metadata["threshold"].value) == (0, 0)


def test_the_training_run_in_mlflow_says_what_it_rests_on(shop, first):
    version = shop.registry.champion("returns")
    run = shop.registry._client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagster_run_id"] == first.result.run_id
    assert run.data.tags["as_of"] == FIRST_MOMENT
    read = json.loads(run.data.tags["table_versions"])
    assert read == {key: shop.lake.version(key) if key == "returns/training_set" else 0 for key in read}
    assert set(read) == {"orders/validated", *VIEWS, "returns/training_set"}
    tuned = record(shop, "returns/tuned_parameters")
    assert run.data.params["max_depth"] == str(tuned["parameters"]["max_depth"])
    assert tuned["trials"] == 2


def test_a_tracker_beside_mlflow_hears_of_training_evaluation_and_promotion(shop, first, notes):  # noqa: ARG001
    version = shop.registry.versions("returns")[0]
    kept, noted = shop.registry._client.get_run(version.run_id), notes.runs[version.run_id]
    assert {name: str(value) for name, value in noted.parameters.items()} == kept.data.params
    (curve,) = noted.curves
    history = shop.registry._client.get_metric_history(version.run_id, curve)
    assert noted.curves[curve] == [point.value for point in history]
    assert noted.metrics == {name: value for name, value in kept.data.metrics.items() if name != curve}
    plots = {Path(name).name for name in noted.files if name.startswith("plots/")}
    assert plots == {path.name for path in Path(kept.info.artifact_uri.removeprefix("file://"), "plots").iterdir()}
    assert "roc.png" in plots
    assert [trial.number for trial in noted.trials] == [0, 1]
    assert noted.trials[0].parameters.keys() == {"max_depth"}
    assert noted.statuses == ["FINISHED"]
    assert [moved for moved in notes.aliases if moved[0] == "returns"][:3] == [
        ("returns", "challenger", "1"),
        ("returns", "champion", "1"),
        ("returns", "challenger", None),
    ]


def test_the_training_run_names_its_rows_and_says_what_it_is(shop, first):  # noqa: ARG001
    client, version = shop.registry._client, shop.registry.champion("returns")
    run = client.get_run(version.run_id)
    given = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    rows = stored(shop, "returns/training_set")
    for used_for, part in (("training", "train"), ("validation", "validation"), ("evaluation", "holdout")):
        dataset = given.pop(used_for)
        assert dataset.name == "returns/training_set"
        assert json.loads(dataset.profile)["num_rows"] == rows.filter(split=part).height
        source = json.loads(dataset.source)
        assert (source["delta_table_name"], dataset.source_type) == ("returns/training_set", "delta_table")
        types = {one["name"]: one["type"] for one in json.loads(dataset.schema)["mlflow_colspec"]}
        assert (types["price"], types["placed_at"], types["returned"]) == ("double", "datetime", "boolean")
    assert given == {}
    digests = [one.dataset.digest for one in run.inputs.dataset_inputs]
    assert len(set(digests)) == 3
    told = run.data.tags
    assert told["mlflow.note.content"].startswith("Whether an order comes back. Trained as of 2024-04-01 on ")
    assert told["mlflow.source.name"] == "shop/returns"
    assert told["decision"] == "promote"


def test_the_registry_says_what_a_model_is_and_why_a_version_serves(shop, first):  # noqa: ARG001
    client = shop.registry._client
    assert client.get_registered_model("returns").description == "Whether an order comes back."
    version = client.get_model_version("returns", "1")
    assert version.description.startswith("Trained as of 2024-04-01. Version 1 keeps every floor and beats the naive")
    told = {name: version.tags[name] for name in ("task", "metric", "decision", "decision_rule")}
    assert told == {"task": "binary", "metric": "roc_auc", "decision": "promote", "decision_rule": "first_champion"}
    experiment = client.get_experiment(shop.registry.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_what_was_decided_and_why_is_told_first(first):
    told = list(first.metadata("returns/champion"))
    assert told[:2] == ["decision", "reason"]
    assert told[-1] == "dagster/column_schema"


@pytest.mark.parametrize(
    "asset",
    ["training_set", "evaluation", "reference", "champion", "predictions", "drift_report", "performance_report"],
)
def test_plots_come_before_the_schema_and_every_column_is_described(first, april, asset):
    told = (first if asset in TRAINING else april).metadata(f"returns/{asset}")
    plots = [place for place, value in enumerate(told.values()) if str(value).startswith("![")]
    assert max(plots, default=0) < list(told).index("dagster/column_schema")
    columns = told["dagster/column_schema"].columns
    # The contract describes its own columns; all others the platform does.
    assert [column.name for column in columns if not column.description] == []


@pytest.mark.parametrize("table", [*TABLES, *VIEWS])
def test_every_column_of_what_comes_before_a_model_is_described(april, table):
    columns = april.metadata(table)["dagster/column_schema"].columns
    assert [column.name for column in columns if not column.description] == []


def test_the_model_is_stored_without_pickles(shop, first):  # noqa: ARG001
    files = [path.name for path in (shop.folder / "home/artifacts").rglob("*") if path.is_file()]
    assert any(name.endswith((".ubj", ".json")) for name in files)
    assert [name for name in files if name.endswith((".pkl", ".pickle", ".joblib"))] == []


def test_the_evaluation_is_that_of_the_registered_model_on_the_holdout(shop, first):
    version = shop.registry.champion("returns")
    holdout = stored(shop, "returns/training_set").filter(split="holdout").sort("placed_at", "id")
    score = predict(shop.registry.load("returns", version=version.version), holdout)
    expected = roc_auc_score(holdout["returned"].cast(int).to_numpy(), score)
    assert expected > 0.7
    metrics = stored(shop, "returns/evaluation")
    measured = metrics.filter(subject="model", metric="roc_auc")["value"].item()
    assert measured == pytest.approx(expected, abs=1e-9)
    assert first.metadata("returns/evaluation")["roc_auc"] == pytest.approx(expected, abs=1e-9)
    run = shop.registry._client.get_run(version.run_id)
    assert run.data.metrics["holdout_roc_auc"] == pytest.approx(expected, abs=1e-9)
    reference = stored(shop, "returns/reference").sort("placed_at", "id")
    assert reference["id"].equals(holdout["id"])
    assert reference["score"].to_numpy() == pytest.approx(score)
    assert set(reference["model_version"]) == {version.version}


def test_each_slice_is_measured(shop, first):  # noqa: ARG001
    slices = stored(shop, "returns/evaluation").filter(pl.col("subject").str.starts_with("customer="))
    assert slices.filter(metric="prevalence").height == 20
    holdout = stored(shop, "returns/training_set").filter(split="holdout", customer="c07")
    told = slices.filter(subject="customer=c07", metric="prevalence")
    assert told["value"].item() == pytest.approx(holdout["returned"].mean())
    assert told["rows"].item() == holdout.height


@pytest.mark.parametrize(
    ("asset", "plots"),
    [
        ("returns/tuned_parameters", ["history", "parallel_coordinates"]),
        ("returns/evaluation", ["roc", "calibration", "importance"]),
    ],
)
def test_plots_are_pictures_in_the_metadata(first, asset, plots):
    metadata = first.metadata(asset)
    for name in plots:
        data = metadata[name].partition("base64,")[2].rstrip(")")
        assert b64decode(data).startswith(b"\x89PNG\r\n\x1a\n"), name


def test_the_first_model_that_keeps_its_floors_becomes_champion(shop, first):  # noqa: ARG001
    decision = record(shop, "returns/champion")
    assert (decision["promote"], decision["rule"], decision["champion"]) == (True, "first_champion", None)
    assert [item["name"] for item in decision["evidence"]] == ["roc_auc", "roc_auc_over_baseline_low"]
    assert all(item["passed"] for item in decision["evidence"])


def test_no_feature_is_suspected_in_an_honest_model(first):
    assert first.check("returns/evaluation:no_suspicious_feature").passed
    assert first.check("returns/evaluation:no_sign_of_a_leak").passed
    assert first.check("returns/evaluation:beats_baseline").passed


def test_training_again_as_of_the_same_day_keeps_what_was_known_of_the_version_before(shop, hopeless):  # noqa: ARG001
    assert stored(shop, "hopeless/training_set").equals(stored(shop, "returns/training_set"))
    assert stored(shop, "hopeless/tuned_parameters").height == 1
    assert record(shop, "hopeless/model")["version"] == "2"
    assert stored(shop, "hopeless/model")["version"].sort().to_list() == ["1", "2"]
    for table in ("reference", "evaluation"):
        rows = stored(shop, f"hopeless/{table}").group_by("model_version").len()
        assert sorted(rows["model_version"]) == ["1", "2"]
        assert rows["len"].n_unique() == 1
    challengers = [
        json.loads(text)["challenger"] for text in stored(shop, "hopeless/champion").sort("_number")["record"]
    ]
    assert challengers == ["1", "2"]


# A month is scored and watched


def test_every_row_of_the_drop_is_scored_once_by_the_champion(shop, april):
    predictions = shop.lake.scan("returns/predictions").filter(_drop=APRIL).collect()
    assert sorted(predictions["id"]) == sorted(made_up_orders(APRIL)["id"])
    assert set(predictions["model_version"]) == {"1"}
    assert json.loads(predictions["feature_versions"][0]) == dict.fromkeys(VIEWS, 1)
    scored_at = predictions["scored_at"].unique().item()
    run = shop.instance.get_run_record_by_id(april.result.run_id)
    assert scored_at == run.create_timestamp.replace(tzinfo=UTC)
    metadata = april.metadata("returns/predictions")
    assert metadata["model_version"] == "1"
    assert metadata["mean_score"] == pytest.approx(predictions["score"].mean())


def test_a_month_like_those_before_it_raises_no_alert(april):
    assert april.check("returns/drift_report:psi").passed
    assert april.check("returns/performance_report:estimated_performance").passed
    assert april.check("returns/performance_report:realised_performance").passed


def test_realised_performance_stands_beside_the_number_of_labels_that_are_missing(shop, april):
    predictions = shop.lake.scan("returns/predictions").filter(_drop=APRIL).select("id", "score").collect()
    rows = made_up_orders(APRIL).join(predictions, on="id")
    known = rows.filter(pl.col("settled_at") <= datetime(2024, 5, 1, tzinfo=UTC))
    assert 0 < known.height < rows.height
    expected = roc_auc_score(known["returned"].cast(int).to_numpy(), known["score"].to_numpy())
    report = shop.lake.scan("returns/performance_report").filter(_drop=APRIL, kind="realised", scope="period").collect()
    assert report.filter(metric="roc_auc")["value"].item() == pytest.approx(expected, abs=1e-9)
    assert report["rows"].unique().to_list() == [known.height]
    assert report["missing"].unique().to_list() == [rows.height - known.height]
    metadata = april.metadata("returns/performance_report")
    assert (metadata["labelled_rows"], metadata["missing_labels"]) == (known.height, rows.height - known.height)
    page = (shop.folder / f"home/lake/returns/reports/{APRIL}.html").read_text()
    assert f"{rows.height - known.height} without a label" in page


def test_each_scored_month_has_one_self_contained_report(shop, april, may):  # noqa: ARG001
    reports = sorted((shop.folder / "home/lake/returns/reports").iterdir())
    assert [path.name for path in reports] == [f"{APRIL}.html", f"{MAY}.html"]
    for path in reports:
        page = path.read_text()
        assert path.stem in page
        assert "data:image/png;base64," in page
        assert 'src="http' not in page
        assert "<link" not in page


# The second training


def test_the_challenger_replaces_the_champion_by_a_paired_bootstrap_on_the_same_rows(shop, second):  # noqa: ARG001
    decision = record(shop, "returns/champion", SECOND_MOMENT)
    assert (decision["promote"], decision["rule"]) == (True, "no_worse_than_champion")
    assert (decision["challenger"], decision["champion"]) == ("2", "1")
    evidence = decision["evidence"][-1]
    assert evidence["name"] == "roc_auc_over_champion_low"
    assert evidence["threshold"] == -0.2
    rows = stored(shop, "returns/reference", SECOND_MOMENT)
    label = rows["returned"].cast(int).to_numpy()
    new, old = (roc_auc_score(label, predict(shop.registry.load("returns", version=version), rows)) for version in "21")
    assert f"roc_auc differs by {new - old:+.4f}" in decision["reason"]
    assert evidence["observed"] <= new - old


def test_the_aliases_follow_the_decision(shop, second):  # noqa: ARG001
    assert shop.registry.champion("returns").version == "2"
    assert shop.registry.challenger("returns") is None


def test_the_first_training_is_still_on_record(shop, second):  # noqa: ARG001
    assert record(shop, "returns/champion")["challenger"] == "1"
    assert record(shop, "returns/model")["version"] == "1"
    assert stored(shop, "returns/training_set").height > 0
    assert stored(shop, "returns/training_set", SECOND_MOMENT)["settled_at"].max() < datetime(2024, 5, 1, tzinfo=UTC)


def test_a_decision_materialized_again_is_the_one_that_was_made(shop, second):  # noqa: ARG001
    before = {as_of: stored(shop, "returns/champion", as_of) for as_of in (FIRST_MOMENT, SECOND_MOMENT)}
    for as_of in (SECOND, FIRST):
        outcome = shop.run("returns/champion", as_of=as_of)
        assert outcome.success, outcome.errors
    assert outcome.metadata("returns/champion")["serves_now"] == "2"
    for as_of, rows in before.items():
        assert stored(shop, "returns/champion", as_of).equals(rows)
    assert record(shop, "returns/champion", SECOND_MOMENT)["champion"] == "1"
    assert shop.registry.champion("returns").version == "2"
    assert shop.registry.version("returns", "2").tags["replaced"] == "1"


def test_the_new_champion_scores_the_next_month_and_leaves_the_last_one_alone(shop, may):  # noqa: ARG001
    versions = shop.lake.scan("returns/predictions").group_by("_drop").agg(pl.col("model_version").unique()).collect()
    assert dict(versions.iter_rows()) == {APRIL: ["1"], MAY: ["2"]}


def test_prices_that_tripled_are_drift(shop, may):
    check = may.check("returns/drift_report:psi")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["observed"].value > check.metadata["threshold"].value == 0.2
    assert check.metadata["drifted"].value.split(", ")[0] == "price"
    psi = shop.lake.scan("returns/drift_report").filter(_drop=MAY, method="psi", scope="period").collect()
    alerts = dict(psi.select("feature", "alert").iter_rows())
    assert alerts["price"] is True
    assert alerts["hour"] is False


# Models that may not serve


def test_a_challenger_not_shown_to_be_as_good_leaves_the_champion_in_place(shop, second):  # noqa: ARG001
    # The champion looks from a month later: it has been trained on the very rows that both are compared on.
    assert train(shop, "strict", SECOND).success
    assert train(shop, "strict", FIRST).success
    decision = record(shop, "strict/champion")
    assert (decision["promote"], decision["rule"]) == (False, "no_worse_than_champion")
    assert (decision["challenger"], decision["champion"]) == ("2", "1")
    evidence = decision["evidence"][-1]
    assert evidence["observed"] < evidence["threshold"] == 0
    assert shop.registry.champion("strict").version == "1"
    assert shop.registry.challenger("strict").version == "2"


def test_a_model_below_its_floor_is_kept_from_serving(shop, hopeless):  # noqa: ARG001
    decision = record(shop, "hopeless/champion")
    assert (decision["promote"], decision["rule"]) == (False, "floors")
    passed = {item["name"]: item["passed"] for item in decision["evidence"]}
    assert passed["roc_auc"] is False
    assert passed["brier"] is True
    assert shop.registry.champion("hopeless") is None
    assert shop.registry.challenger("hopeless").version == "2"
    (error,) = shop.run("hopeless/predictions", drops=[HISTORY[-1]]).errors
    assert "model hopeless has no champion yet: materialize hopeless/champion first" in error


def test_a_feature_that_is_the_outcome_is_caught(shop, april):  # noqa: ARG001
    assert shop.run("features/peeking", drops=[APRIL]).success
    outcome = train(shop, "cheat", FIRST)
    assert outcome.errors == []
    check = outcome.check("cheat/evaluation:no_suspicious_feature")
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert check.metadata["feature"].value == "came_back"
    assert check.metadata["observed"].value > check.metadata["threshold"].value


def test_a_view_that_does_not_exist_is_named(make_project):
    monthly = {"grain": "monthly", "start": "2024-01"}
    spine = {"name": "orders", "table": "t", "key": ["id"], "time": "at", "partition": "_drop", "drops": monthly}
    project = make_project({"type": "ml_assets.Spine", "attributes": spine}, model("returns", features=["nothing"]))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Dagster's own error has no public name
        project.definitions  # noqa: B018
    assert "features: nothing is not declared; there are none" in str(caught.value.__cause__)
