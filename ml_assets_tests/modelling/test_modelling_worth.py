"""A model whose decisions have payoffs, from training set to limits of retraining, by the functions of the assets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.evaluation import evaluate_challenger, measure_calibration
from ml_assets.modelling.performance.measure import measure_performance
from ml_assets.modelling.predictions import score_drops
from ml_assets.modelling.promotion import decide_on_challenger
from ml_assets.modelling.records import replace_as_of, write_record
from ml_assets.modelling.training import train_challenger, tune
from ml_assets.modelling.training_set import build_training_set, count_positives, read_part, store_training_set
from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.retraining.limits import learn_limits
from ml_assets.training.fit import predict
from ml_assets.training.metrics.payoffs import best_value_threshold

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

AS_OF, APRIL = datetime(2024, 4, 1, tzinfo=UTC), "2024-04"
MONTHLY = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}
TABLE = {"name": "payments", "table": "payments/validated", "key": ["id"], "time": "at", "partition": "_drop"}
SPINE = DeclaredSpine.model_validate(TABLE | {"drops": MONTHLY})
VIEW = DeclaredView.model_validate(
    {"name": "payment", "description": "It.", "spine": "payments", "entity": ["id"], "request": {"price": "amount"}}
)
MODEL = DeclaredModel.model_validate(
    {
        "name": "fraud",
        "description": "Which payments are fraud.",
        "spine": "payments",
        "label": {"column": "fraud", "known_at": "known_at"},
        "features": ["payment"],
        "groups": ["customer"],
        "split": {"validation": "14d", "holdout": "14d", "gap": "1d", "group": ["customer"], "min_rows": 50},
        "search": {"trials": 1, "rows": 1_000, "max_rounds": 10},
        "training": {"max_rounds": 20, "threads": 1, "weight": "trust", "half_life": "60d", "negatives": 0.5},
        "payoff": {"true_positive": "saved", "false_positive": -10, "false_negative": "lost"},
        "evaluation": {"resamples": 100, "top": [50, 0.1], "watched": "value"},
        "promotion": {"metric": "value", "resamples": 100},
        "floors": {"value": -10_000},
        "monitoring": {"floors": {"value": -10_000, "recall_at_20pct": 0.01}, "reconstruction": False},
    }
)


def payments() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    size = 121 * 48
    at = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * step) for step in range(size)]
    amount = rng.uniform(0, 100, size)
    return pl.DataFrame(
        {
            "id": range(size),
            "customer": rng.integers(0, 3_000, size),
            "amount": amount,
            "saved": amount,
            "lost": -amount,
            "trust": rng.uniform(0.5, 1, size),
            "at": at,
            "known_at": [moment + timedelta(hours=12) for moment in at],
            "fraud": rng.random(size) < np.where(amount > 60, 0.6, 0.02),
        }
    ).with_columns(pl.col("at", "known_at").dt.cast_time_unit("us"), _drop=pl.col("at").dt.strftime("%Y-%m"))


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """Lake, registry, model, what was evaluated, and the decision on it."""
    home = tmp_path_factory.mktemp("home")
    lake, studies = Lake(str(home / "lake")), f"sqlite:///{home}/studies.db"
    registry = Registry(f"sqlite:///{home}/mlflow.db", str(home / "models"), "tests")
    model, moment = ModelContext.of(MODEL, SPINE, [VIEW], "shop"), AS_OF.isoformat()
    lake.replace("payments/validated", payments(), {"_drop": [f"2024-0{month}" for month in range(1, 5)]})
    built = build_training_set(lake, model, AS_OF)
    store_training_set(lake, model, built)
    tuned = tune(lake, model, moment, studies, lambda *_: None)
    write_record(lake, model.key("tuned_parameters"), moment, tuned)
    trained, _ = train_challenger(lake, registry, model, moment, RunOrigin(), studies)
    write_record(lake, model.key("model"), moment, trained, trained.version)
    evaluated = evaluate_challenger(lake, registry, model, moment)
    replace_as_of(lake, model.key("evaluation"), moment, evaluated.rows, trained.version)
    replace_as_of(lake, model.key("reference"), moment, evaluated.reference, trained.version)
    decision = decide_on_challenger(lake, registry, model, trained, AS_OF)
    return lake, registry, model, built, evaluated, decision


def test_what_decisions_bring_travels_with_the_rows(life):
    lake, _, model, built, evaluated, _ = life
    needed = {"saved", "lost", "trust", "customer"}
    assert needed <= set(evaluated.reference.columns)
    assert needed <= set(lake.scan(model.key("training_set")).collect_schema())
    assert built.split.dropped["other_side"] > 0
    assert count_positives(model, built)["holdout"] == evaluated.holdout["fraud"].sum()


def test_groups_are_measured_on_the_holdout(life):
    evaluated = life[4]
    measured = evaluated.fairness.filter(measure="selection_rate")
    assert measured["rows"].sum() == evaluated.holdout.height
    assert measured["group"].n_unique() == evaluated.holdout["customer"].n_unique()
    assert not measured["judged"].any()  # a customer has a few payments


def test_the_threshold_is_the_one_that_brings_most_on_validation(life):
    lake, registry, model, _, evaluated, _ = life
    validation = read_part(lake, model, AS_OF.isoformat(), "validation")
    fitted = registry.load("fraud", version="1")
    chosen = best_value_threshold(
        validation["fraud"].to_numpy(), predict(fitted, validation), MODEL.payoff.of_rows(validation)
    )
    assert fitted.threshold == evaluated.fitted.threshold == chosen


def test_the_holdout_is_measured_by_value_and_by_its_top(life):
    reference, values = life[4].reference, life[4].measured.values
    earned = pl.when(pl.col("fraud")).then(
        pl.when(pl.col("prediction")).then("saved").otherwise("lost")
    ).otherwise(pl.when(pl.col("prediction")).then(-10.0).otherwise(0.0))  # fmt: skip
    assert values["value"] == pytest.approx(reference.select(earned.mean()).item() * 1_000)
    top = reference.sort("score", descending=True)
    assert {"recall_at_50", "lift_at_10pct"} <= set(values)
    if top["score"][49] > top["score"][50]:
        assert values["precision_at_50"] == pytest.approx(top.head(50)["fraud"].mean())


def test_scores_are_probabilities_of_all_rows_and_a_check_says_so(life):
    _, registry, model, _, evaluated, _ = life
    assert evaluated.fitted.negatives_kept == pytest.approx(0.5, abs=0.01)
    assert evaluated.score.mean() == pytest.approx(evaluated.holdout["fraud"].mean(), abs=0.05)
    assert model.spec.promises_probabilities
    measured = measure_calibration(model, evaluated)
    assert measured.of_positives is None
    rare = replace(evaluated, measured=replace(evaluated.measured, prevalence=0.01))
    assert measure_calibration(model, rare).of_positives is not None
    version = registry.version("fraud", "1")
    assert float(version.tags["negatives_kept"]) == pytest.approx(0.5, abs=0.01)


def test_promotion_rests_on_value(life):
    decision = life[5]
    assert decision.promote
    assert [item.name for item in decision.evidence] == ["value", "value_over_baseline_low"]


def test_production_is_realised_by_value_and_limits_are_learned_for_it(life):
    lake, registry, model, _, evaluated, _ = life
    scored = score_drops(lake, registry, model, [APRIL], by_condition=False, scored_at=AS_OF)
    lake.replace(model.key("predictions"), scored.rows, {"_drop": [APRIL]})
    measured = measure_performance(lake, registry, model, [APRIL]).drops[APRIL]
    realised = measured.performance.filter(kind="realised", scope="period")
    by_name = dict(realised.select("metric", "value").iter_rows())
    known = measured.rows.drop_nulls("fraud")
    payoffs = MODEL.payoff.of_rows(known)
    assert by_name["value"] == pytest.approx(payoffs.value(known["fraud"].to_numpy(), known["prediction"].to_numpy()))
    assert by_name["recall_at_20pct"] > 0  # limited by monitoring.floors alone
    limits = learn_limits(
        evaluated.reference, features=model.features, time="at", label="fraud", metric=model.spec.watched_metric,
        monitoring=MODEL.monitoring, retraining=MODEL.retraining, payoff=model.spec.payoff_for("value"),
    )  # fmt: skip
    assert limits.reference == pytest.approx(evaluated.measured.values["value"])
    assert limits.performance < limits.reference
