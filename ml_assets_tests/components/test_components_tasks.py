"""A number and a choice among classes, trained twice and served, by each kind of model."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, r2_score

from ml_assets.training.fit import predict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

HISTORY, APRIL = ["2024-01", "2024-02", "2024-03"], "2024-04"
FIRST, SECOND = "2024-04-01", "2024-05-01"
FIRST_MOMENT, SECOND_MOMENT = "2024-04-01T00:00:00+00:00", "2024-05-01T00:00:00+00:00"
TABLES = ("orders/raw", "orders/validated", "orders/quarantine", "features/who", "features/what")
TRAINING = ("training_set", "tuned_parameters", "model", "evaluation", "reference", "champion")


def made_up_orders(month: str) -> pl.DataFrame:
    """24 orders a day. Each customer spends about as much every time; a fourth one comes in April."""
    start = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    days = ((start + timedelta(days=31)).replace(day=1) - start).days
    random = np.random.default_rng(int(month.replace("-", "")))
    n = 24 * days
    names = ["ann", "bob", "cleo lee", "dora"] if month == APRIL else ["ann", "bob", "cleo lee"]
    customer = random.integers(0, len(names), n)
    amount = np.array([20, 50, 100, 300])[customer] + random.normal(0, np.array([4, 10, 20, 30])[customer])
    placed = [start + timedelta(hours=i) for i in range(n)]
    return pl.DataFrame(
        {
            "id": np.arange(n) + int(month.replace("-", "")) * 10_000,
            "customer": np.array(names)[customer],
            "amount": np.abs(amount).round(2),
            "placed_at": placed,
            "settled_at": [at + timedelta(hours=20) for at in placed],
            "returned": random.random(n) < 0.5,
        }
    ).with_columns(pl.col("placed_at", "settled_at").dt.cast_time_unit("us"))


def model(name: str, task: str, kind: str, label: str, view: str, **changes) -> dict:
    attributes = {
        "name": name,
        "description": "What an order tells.",
        "owners": ["team:shop"],
        "task": task,
        "kind": kind,
        "spine": "orders",
        "label": {"column": label, "known_at": "settled_at"},
        "features": [view],
        "slices": ["returned"],
        "split": {"validation": "14d", "holdout": "7d", "gap": "1d"},
        "search": {"trials": 2, "rows": 1000, "max_rounds": 20},
        "training": {"max_rounds": 40, "threads": 1},
        "evaluation": {"resamples": 100, "block": "1d"},
        "promotion": {"margin": 100.0, "resamples": 100},
        "monitoring": {"chunk": "7d", "min_chunk_rows": 50},
    }
    return {"type": "ml_assets.MLModel", "attributes": attributes | changes}


@pytest.fixture(scope="module")
def shop(make_project, tmp_path_factory):
    delivered = tmp_path_factory.mktemp("delivered")
    for month in (*HISTORY, APRIL):
        made_up_orders(month).write_csv(delivered / f"{month}.csv")
    monthly = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}
    view = {"type": "ml_assets.FeatureView"}
    shared = {"spine": "orders", "owners": ["team:shop"], "description": "The order itself.", "entity": ["id"]}
    source = {
        "name": "orders",
        "description": "One row per order.",
        "where": {"path": str(delivered / "{partition}.csv")},
        "drops": monthly,
        "contract": "CONTRACTS:Orders",
        "key_columns": ["id"],
    }
    spine = {
        "name": "orders",
        "table": "orders/validated",
        "key": ["id"],
        "time": "placed_at",
        "partition": "_drop",
        "drops": monthly,
    }
    hour = "EXTRACT(hour FROM placed_at)"
    project = make_project(
        {"type": "ml_assets.Source", "attributes": source},
        {"type": "ml_assets.Spine", "attributes": spine},
        view | {"attributes": shared | {"name": "who", "request": {"buyer": "customer", "hour": hour}}},
        view | {"attributes": shared | {"name": "what", "request": {"price": "amount", "hour_of_day": hour}}},
        model(
            "spending",
            "regression",
            "lightgbm",
            "amount",
            "who",
            intervals={"coverage": 0.8, "groups": 3},
            evaluation={"resamples": 100, "quantiles": [0.9]},
            floors={"mae": 90.0, "r2": 0.1},
        ),
        model(
            "buyer",
            "multiclass",
            "xgboost",
            "customer",
            "what",
            calibration="sigmoid",
            # Who buys is told by the price alone, as it should be.
            evaluation={"resamples": 100, "block": "1d", "leak_limit": 1.0},
            floors={"accuracy": 0.6},
        ),
        model("line", "regression", "sklearn:sklearn.linear_model.Ridge", "amount", "who", metric="rmse"),
        model("peeking", "regression", "xgboost", "amount", "what"),
    )
    assert project.run(*TABLES, drops=HISTORY).success
    return project


def train(shop, name, as_of):
    outcome = shop.run(*(f"{name}/{asset}" for asset in TRAINING), as_of=as_of)
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def first(shop):
    return {name: train(shop, name, FIRST) for name in ("spending", "buyer", "line")}


@pytest.fixture(scope="module")
def april(shop, first):  # noqa: ARG001 - scored by the champions
    outcome = shop.run(*TABLES, *(f"{name}/predictions" for name in ("spending", "buyer", "line")), drops=[APRIL])
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def watched(shop, april):  # noqa: ARG001
    reports = ("drift_report", "performance_report", "retrain_decision")
    keys = [f"{name}/{report}" for name in ("spending", "buyer", "line") for report in reports]
    outcome = shop.run(*keys, drops=[APRIL])
    assert outcome.success, outcome.errors
    return outcome


@pytest.fixture(scope="module")
def second(shop, watched):  # noqa: ARG001 - on one month more
    return {name: train(shop, name, SECOND) for name in ("spending", "buyer")}


def stored(shop, key, as_of=FIRST_MOMENT):
    return shop.lake.scan(key).filter(pl.col("_as_of") == as_of).drop("_as_of").collect()


def record(shop, key, as_of=FIRST_MOMENT):
    return json.loads(stored(shop, key, as_of)["record"].item())


def test_metrics_are_those_of_the_registered_model_on_the_holdout(shop, first):
    holdout = stored(shop, "spending/training_set").filter(split="holdout").sort("placed_at", "id")
    score = predict(shop.registry.load("spending", version="1"), holdout)
    told = first["spending"].metadata("spending/evaluation")
    assert told["mae"] == pytest.approx(mean_absolute_error(holdout["amount"], score), abs=1e-9)
    assert {"mae", "rmse", "r2", "pinball_0.9", "residuals", "importance"} <= set(told)
    # Noise of 4, 10 and 20 around the mean of each customer: mean absolute deviation 0.8 of it.
    assert told["mae"] == pytest.approx(0.8 * (4 + 10 + 20) / 3, rel=0.15)

    holdout = stored(shop, "buyer/training_set").filter(split="holdout").sort("placed_at", "id")
    probability = predict(shop.registry.load("buyer", version="1"), holdout)
    told = first["buyer"].metadata("buyer/evaluation")
    assert told["log_loss"] == pytest.approx(log_loss(holdout["customer"], probability), abs=1e-6)
    assert {"log_loss", "roc_auc_ovr", "macro_f1", "accuracy", "confusion", "calibration", "importance"} <= set(told)
    assert told["accuracy"] > 0.85


def test_each_task_is_checked_and_promoted_by_its_own_metrics(shop, first):
    for name, metric in (("spending", "mae"), ("buyer", "log_loss"), ("line", "rmse")):
        assert first[name].check(f"{name}/evaluation:beats_baseline").passed
        assert first[name].check(f"{name}/evaluation:no_suspicious_feature").passed
        decision = record(shop, f"{name}/champion")
        assert (decision["promote"], decision["rule"]) == (True, "first_champion")
        assert f"{metric}_over_baseline_low" in [item["name"] for item in decision["evidence"]]
    assert record(shop, "spending/model")["threshold"] is None


def test_intervals_and_calibration_are_checked_on_the_holdout(shop, first):
    check = first["spending"].check("spending/evaluation:interval_coverage")
    rows = stored(shop, "spending/reference")
    share = ((rows["lower"] <= rows["amount"]) & (rows["amount"] <= rows["upper"])).mean()
    assert check.passed
    assert check.metadata["observed"].value == pytest.approx(share)
    assert check.metadata["threshold"].value == min(0.77, binom.ppf(0.025, rows.height, 0.8) / rows.height) <= share
    check = first["buyer"].check("buyer/evaluation:calibrated")
    assert check.passed
    assert check.metadata["observed"].value <= check.metadata["threshold"].value


def test_slices_are_measured_by_the_tasks_own_metrics(shop, first):  # noqa: ARG001
    for name, metrics in (("spending", ["mae", "mean_label", "mean_score", "rmse"]), ("buyer", ["accuracy"])):
        slices = stored(shop, f"{name}/evaluation").filter(subject="returned=true")
        assert set(metrics) <= set(slices["metric"])


@pytest.mark.parametrize("name", ["spending", "buyer", "line"])
def test_the_reference_holds_what_the_model_says(shop, first, name):  # noqa: ARG001
    rows = stored(shop, f"{name}/reference")
    score = predict(shop.registry.load(name, version="1"), rows)
    if name == "buyer":
        found = rows.select("probability_ann", "probability_bob", "probability_cleo lee").to_numpy()
        np.testing.assert_allclose(found, score)
        assert set(rows["prediction"]) <= {"ann", "bob", "cleo lee"}
        score = score.max(axis=1)
    else:
        assert rows["prediction"].equals(rows["score"].alias("prediction"))
    np.testing.assert_allclose(rows["score"].to_numpy(), score)


def test_every_row_of_a_drop_is_scored_with_the_columns_of_its_task(shop, april):
    expected = {
        "spending": ["score", "prediction", "lower", "upper"],
        "buyer": ["score", "prediction", "probability_ann", "probability_bob", "probability_cleo lee"],
        "line": ["score", "prediction"],
    }
    for name, columns in expected.items():
        rows = shop.lake.scan(f"{name}/predictions").filter(_drop=APRIL).collect()
        assert sorted(rows["id"]) == sorted(made_up_orders(APRIL)["id"])
        told = [c for c in rows.columns if c in ("score", "prediction", "lower", "upper") or c.startswith("probab")]
        assert told == columns
        assert april.metadata(f"{name}/predictions")["mean_score"] == pytest.approx(rows["score"].mean())


def test_a_new_class_is_no_hindrance_to_the_comparison_with_the_champion(shop, second):  # noqa: ARG001
    challenger = shop.registry.load("buyer", version="2")
    assert challenger.classes == ("ann", "bob", "cleo lee", "dora")
    decision = record(shop, "buyer/champion", SECOND_MOMENT)
    rows = stored(shop, "buyer/reference", SECOND_MOMENT)
    old = predict(shop.registry.load("buyer", version="1"), rows)
    old = np.column_stack([old, np.zeros(len(old))])
    codes = np.searchsorted(challenger.classes, rows["customer"].to_list())
    of_label = np.clip(old[np.arange(len(old)), codes], np.finfo(float).eps, 1)
    better = -np.log(of_label).mean() - log_loss(codes, predict(challenger, rows))
    assert better > 1
    assert f"log_loss differs by {better:+.4f}" in decision["reason"]
    assert decision["promote"]


def test_the_second_regression_is_compared_with_the_first(shop, second):  # noqa: ARG001
    decision = record(shop, "spending/champion", SECOND_MOMENT)
    rows = stored(shop, "spending/reference", SECOND_MOMENT)
    new, old = (
        mean_absolute_error(rows["amount"], predict(shop.registry.load("spending", version=version), rows))
        for version in "21"
    )
    assert f"mae differs by {old - new:+.4f}" in decision["reason"]


def test_a_feature_that_is_the_label_is_caught(shop, first):  # noqa: ARG001
    check = train(shop, "peeking", FIRST).check("peeking/evaluation:no_suspicious_feature")
    assert not check.passed
    assert (check.metadata["feature"].value, check.metadata["measure"].value) == ("price", "concordance")


def test_assets_say_what_learns(shop):
    specs = {spec.key.to_user_string(): spec for asset in shop.definitions.assets for spec in asset.specs}
    kinds = {name: specs[f"{name}/model"].kinds for name in ("spending", "buyer", "line")}
    assert kinds == {"spending": {"lightgbm", "mlflow"}, "buyer": {"xgboost", "mlflow"}, "line": {"sklearn", "mlflow"}}


def performance(shop, name, kind):
    rows = shop.lake.scan(f"{name}/performance_report").filter(_drop=APRIL, scope="period", kind=kind).collect()
    return dict(rows.select("metric", "value").iter_rows())


def known_in_april(shop, name):
    rows = shop.lake.scan(f"{name}/predictions").filter(_drop=APRIL).collect()
    orders = made_up_orders(APRIL).filter(pl.col("settled_at") <= datetime(2024, 5, 1, tzinfo=UTC))
    return rows.join(orders.select("id", "customer", "amount"), on="id", how="inner")


def test_a_number_is_watched_by_its_errors(shop, watched):  # noqa: ARG001
    for name in ("spending", "line"):
        rows, realised = known_in_april(shop, name), performance(shop, name, "realised")
        assert realised["mae"] == pytest.approx(mean_absolute_error(rows["amount"], rows["prediction"]))
        assert realised["r2"] == pytest.approx(r2_score(rows["amount"], rows["prediction"]))
    assert "pinball_0.9" in performance(shop, "spending", "realised")
    rows = known_in_april(shop, "spending")
    inside = (rows["amount"] >= rows["lower"]) & (rows["amount"] <= rows["upper"])
    assert performance(shop, "spending", "realised")["interval_coverage"] == pytest.approx(inside.mean())
    # Errors the second model expects from the three customers it knows; the fourth's it cannot know.
    estimated = performance(shop, "spending", "estimated")
    assert set(estimated) == {"mae", "rmse"}
    assert estimated["mae"] == pytest.approx(0.8 * (4 + 10 + 20) / 3, rel=0.4)


def test_a_choice_is_watched_by_its_classes_the_unseen_one_among_them(shop, watched):  # noqa: ARG001
    rows, realised = known_in_april(shop, "buyer"), performance(shop, "buyer", "realised")
    assert "dora" in set(rows["customer"])
    assert realised["accuracy"] == pytest.approx((rows["prediction"] == rows["customer"]).mean())
    expected = f1_score(rows["customer"], rows["prediction"], average="macro")
    assert realised["macro_f1"] == pytest.approx(expected)
    assert set(performance(shop, "buyer", "estimated")) == {"accuracy", "macro_f1"}
    # It is sure of itself: that a customer is new cannot be seen from the scores.
    assert performance(shop, "buyer", "estimated")["accuracy"] > realised["accuracy"] + 0.1


def test_a_loss_is_evidence_for_every_task(shop, watched):  # noqa: ARG001
    for name, metric in (("spending", "mae"), ("buyer", "log_loss"), ("line", "rmse")):
        (told,) = shop.lake.scan(f"{name}/retrain_decision").filter(_drop=APRIL).collect()["record"]
        (realised,) = (one for one in json.loads(told)["evidence"] if one["kind"] == "realised")
        assert (realised["unit"], realised["side"], realised["breached"]) == (metric, "above", True)
