"""A search optimises metrics that early stopping cannot watch: measured on the validation rows after each fit."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, r2_score

from ml_assets.training.fit import fit_model, predict
from ml_assets.training.kinds.base import FitRequest
from ml_assets.training.kinds.parameters import ParameterRange
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.search.objective import Objective
from ml_assets.training.search.search import search_history, search_parameters
from ml_assets.training.spec import ModelSpec, SearchSpec, TrainingSpec
from ml_assets.training.tasks import TASKS
from ml_assets.training.tasks.columns import NAIVE_ERROR

pytestmark = pytest.mark.slow

PAYOFF = Payoff(true_positive="saved", false_positive=-20, false_negative=-60)
DEPTH = {"max_depth": ParameterRange(low=1, high=6, integer=True), "reg_lambda": ParameterRange(low=0.1, high=50)}


def rows(seed: int, size: int = 700) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"a": rng.normal(size=size), "b": rng.normal(size=size)})
    drive = frame["a"].to_numpy() * frame["b"].to_numpy() + np.sin(2 * frame["a"].to_numpy())
    return frame.with_columns(
        y=pl.Series(rng.random(size) < 1 / (1 + np.exp(1.5 - 2 * drive))),
        units=pl.Series(20 + 5 * drive + rng.normal(size=size)),
        size=pl.Series(np.where(drive < -0.5, "small", np.where(drive > 0.5, "large", "medium"))),
        saved=pl.Series(rng.uniform(20, 100, size)),
        trust=pl.Series(rng.uniform(0.5, 2, size)),
        **{NAIVE_ERROR: pl.Series(np.where(rng.random(size) < 0.1, np.nan, rng.uniform(0.5, 8, size))).fill_nan(None)},
    )


TRAIN, VALIDATION = rows(0), rows(1)


def best_by_hand(tmp_path, measured, metric: str, *, label="y", better=max, space=None, **options):
    """Search, fit each trial anew, measure it by hand, and compare what the search chose with the best of these."""
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    training = TrainingSpec(threads=1, max_bin=32, max_rounds=25, **options.pop("training", {}))
    shared = {"features": ["a", "b"], "label": label, "training": training, "metric": metric, "seed": 3, **options}
    space = space or DEPTH
    declared = SearchSpec(trials=4, rows=1_000, max_rounds=25, space=space, pruning=False)
    found = search_parameters(TRAIN, VALIDATION, model="m", search=declared, storage=storage, **shared)
    history = search_history(storage, found.study)
    values = []
    for trial in history.iter_rows(named=True):
        fitted = fit_model(TRAIN, VALIDATION, parameters={name: trial[name] for name in space}, **shared)
        values.append(measured(predict(fitted, VALIDATION), fitted))
        assert fitted.metric == found.stopped_by
        assert trial["value"] == pytest.approx(values[-1], rel=1e-6)
    assert found.metric == metric
    assert found.best_value == pytest.approx(better(values), rel=1e-6)
    assert found.parameters == {name: history[name][values.index(better(values))] for name in space}
    return found


def earned(score, fitted) -> float:
    """Return what the decisions bring per thousand rows, at the threshold that brings most on these rows."""
    label, saved = VALIDATION["y"].to_numpy(), VALIDATION["saved"].to_numpy()

    def at(threshold: float) -> float:
        called = score >= threshold
        return 1_000 * np.where(label, np.where(called, saved, -60), np.where(called, -20, 0)).mean()

    assert at(fitted.threshold) == pytest.approx(max(map(at, [2, *score])))
    return at(fitted.threshold)


def precision_of_top(score, _) -> float:
    top = np.argsort(-score, kind="stable")[:70]
    return VALIDATION["y"].to_numpy()[top].mean()


@pytest.mark.parametrize(
    ("metric", "measured", "better", "stopped_by"),
    [
        ("value", earned, max, "log_loss"),
        ("brier", lambda score, _: brier_score_loss(VALIDATION["y"], score), min, "log_loss"),
    ],
)
def test_a_binary_model_is_searched_by_what_is_measured_after_each_fit(tmp_path, metric, measured, better, stopped_by):
    found = best_by_hand(tmp_path, measured, metric, better=better, payoff=PAYOFF)
    assert found.stopped_by == stopped_by


def test_the_top_of_a_list_is_searched_for_by_any_kind(tmp_path):
    line = {"C": ParameterRange(low=0.0001, high=10, log=True)}
    kind = "sklearn:sklearn.linear_model.LogisticRegression"
    found = best_by_hand(tmp_path, precision_of_top, "precision_at_10pct", space=line, kind=kind)
    assert found.stopped_by == "average_precision"


def test_scores_are_corrected_for_negatives_left_out_and_rows_weighted_as_declared(tmp_path):
    weights = VALIDATION["trust"].to_numpy()

    def weighted_brier(score, fitted):
        assert fitted.negatives_kept < 0.5
        return np.average((score - VALIDATION["y"].to_numpy()) ** 2, weights=weights)

    training = {"negatives": 0.4, "weight": "trust"}
    best_by_hand(tmp_path, weighted_brier, "brier", better=min, training=training)


def scaled_error(score, _) -> float:
    known = VALIDATION[NAIVE_ERROR].is_not_null().to_numpy()
    scale = VALIDATION[NAIVE_ERROR].fill_null(1).to_numpy()
    return np.sqrt((((score - VALIDATION["units"].to_numpy()) / scale) ** 2)[known].mean())


def share_of_errors(score, _) -> float:
    units = VALIDATION["units"].to_numpy()
    return np.abs(score - units).sum() / np.abs(units).sum()


@pytest.mark.parametrize(
    ("metric", "measured", "better", "stopped_by"),
    [
        ("rmsse", scaled_error, min, "rmse"),
        ("wape", share_of_errors, min, "mae"),
        ("r2", lambda score, _: r2_score(VALIDATION["units"], score), max, "rmse"),
    ],
)
def test_forecasts_are_searched_by_metrics_of_their_series(tmp_path, metric, measured, better, stopped_by):
    found = best_by_hand(tmp_path, measured, metric, label="units", better=better, task="regression")
    assert found.stopped_by == stopped_by


def test_classes_are_searched_by_how_often_they_are_called_rightly(tmp_path):
    classes = ["large", "medium", "small"]

    def accuracy(score, _) -> float:
        return accuracy_score(VALIDATION["size"], np.array(classes)[score.argmax(axis=1)])

    found = best_by_hand(tmp_path, accuracy, "accuracy", label="size", task="multiclass")
    assert found.stopped_by == "log_loss"


def test_rmsse_without_a_scale_on_the_validation_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="metric: rmsse is undefined on the validation rows"):
        search_parameters(
            TRAIN, VALIDATION.drop(NAIVE_ERROR), model="m", features=["a"], label="units", metric="rmsse",
            search=SearchSpec(trials=1, rows=500, max_rounds=5, space=DEPTH), training=TrainingSpec(threads=1), seed=0,
            storage=f"sqlite:///{tmp_path / 'optuna.db'}", task="regression",
        )  # fmt: skip


def test_other_payoffs_are_another_search(tmp_path):
    def study(payoff: Payoff) -> str:
        return search_parameters(
            TRAIN, VALIDATION, model="m", features=["a"], label="y", metric="value", payoff=payoff,
            search=SearchSpec(trials=1, rows=500, max_rounds=2, space=DEPTH), training=TrainingSpec(threads=1), seed=0,
            storage=f"sqlite:///{tmp_path / 'optuna.db'}",
        ).study  # fmt: skip

    other = Payoff(true_positive="saved", false_positive=-21, false_negative=-60)
    assert study(PAYOFF) == study(PAYOFF) != study(other)


@pytest.mark.parametrize(
    ("task", "metric", "turned"),
    [
        ("binary", "value", -0.4),
        ("binary", "recall_at_5pct", 0.4),
        ("regression", "rmsse", 0.4),
        ("regression", "r2", -0.4),
    ],
)
def test_trials_are_compared_while_they_run_by_what_early_stopping_watches_turned_the_same_way(task, metric, turned):
    watched = TASKS.get(task).watched_while_searching(metric)
    request = FitRequest("xgboost", task, watched, 0, None, TrainingSpec(), 0)
    assert Objective(metric, request).turned(0.4) == turned


def test_a_declaration_takes_these_metrics():
    spec = ModelSpec.model_validate(
        {
            "name": "fraud",
            "description": "Which payments are fraud.",
            "spine": {"table": "payments", "key": ["id"], "time": "at"},
            "label": {"column": "fraud", "known_at": "known_at"},
            "features": ["payment"],
            "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
            "payoff": {"true_positive": 50, "false_positive": -5, "false_negative": 0},
            "metric": "value",
        }
    )
    assert (spec.optimised_metric, spec.stopping_metric, spec.watched_metric) == ("value", "log_loss", "value")
    assert spec.extra_metrics == ["value"]
