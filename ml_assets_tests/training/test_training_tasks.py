from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error

from ml_assets.training.evaluation.baseline import fit_baseline, predict_baseline
from ml_assets.training.evaluation.evaluate import evaluate, measure_slices, read_interval
from ml_assets.training.promotion.comparison import compare_on_same_rows
from ml_assets.training.spec import EvaluationSpec, ModelSpec, PromotionSpec, default_space
from ml_assets.training.tasks.classes import align_classes, class_codes, learn_classes

DECLARATION = {
    "name": "stay",
    "description": "How long a guest stays.",
    "spine": {"table": "guests", "key": ["guest"], "time": "at"},
    "label": {"column": "nights", "known_at": "left_at"},
    "features": ["guest"],
    "split": {"validation": "14d", "holdout": "30d", "gap": "2d"},
}


def declare(**changes):
    return ModelSpec.model_validate({**DECLARATION, **changes})


@pytest.mark.parametrize(
    ("changes", "metric", "promotion"),
    [
        ({}, "roc_auc", "roc_auc"),
        ({"metric": "log_loss"}, "log_loss", "roc_auc"),
        ({"task": "regression"}, "mae", "mae"),
        ({"task": "regression", "metric": "pinball_0.9"}, "pinball_0.9", "pinball_0.9"),
        ({"task": "regression", "promotion": {"metric": "r2"}}, "mae", "r2"),
        ({"task": "multiclass", "promotion": {"margin": 0.1}}, "log_loss", "log_loss"),
    ],
)
def test_metrics_left_out_follow_the_task(changes, metric, promotion):
    spec = declare(**changes)
    assert (spec.metric, spec.promotion.metric) == (metric, promotion)
    again = ModelSpec.model_validate(spec.model_dump())
    assert (again.metric, again.promotion.metric) == (metric, promotion)


def test_search_spaces_follow_the_kind():
    assert "max_depth" in declare().search.space
    assert "num_leaves" in declare(kind="lightgbm", search={"trials": 3}).search.space
    kind = "sklearn:sklearn.ensemble.HistGradientBoostingClassifier"
    assert "max_leaf_nodes" in declare(kind=kind).search.space
    own = {"C": {"low": 1, "high": 2}}
    assert list(declare(kind="sklearn:sklearn.svm.SVC", search={"space": own}).search.space) == ["C"]
    forest = {"parameters": {"max_depth": 3}}
    kind = "sklearn:sklearn.ensemble.RandomForestRegressor"
    assert "n_estimators" in declare(task="regression", kind=kind, training=forest).search.space
    assert default_space("xgboost") == default_space()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "regression", "metric": "roc_auc"},
            "metric: roc_auc does not fit the task regression; choose from mae, rmse, r2, wape, rmsse, "
            "pinball_0.01 to pinball_0.99",
        ),
        (
            {"task": "multiclass", "floors": {"brier": 0.2}},
            "floors: brier does not fit the task multiclass; "
            "choose from log_loss, roc_auc_ovr, macro_f1, accuracy, calibration_error",
        ),
        ({"promotion": {"metric": "mae"}}, "promotion.metric: mae does not fit the task binary"),
        ({"metric": "calibration_error"}, "metric: calibration_error does not fit the task binary"),
        ({"metric": "value"}, "metric: value needs payoffs: declare `payoff`"),
        ({"task": "regression", "metric": "rmsse"}, "baseline.seasonal: is missing, and rmsse is measured"),
        ({"intervals": {"coverage": 0.9}}, "intervals: is for the task regression, not binary"),
        ({"task": "regression", "calibration": "sigmoid"}, "calibration: is for the task binary or multi"),
        ({"task": "multiclass", "evaluation": {"quantiles": [0.9]}}, "evaluation.quantiles: is for"),
        ({"task": "regression", "evaluation": {"quantiles": [0.905]}}, "[0.905] are no quantiles"),
        ({"task": "regression", "intervals": {"coverage": 1.2}}, "1.2 is outside 0.5 to 0.99"),
        ({"kind": "catboost"}, "there is no kind 'catboost'"),
        ({"kind": "sklearn:Ridge"}, "there is no kind 'sklearn:Ridge'"),
        ({"kind": "sklearn:sklearn.svm.SVC"}, "kind sklearn:sklearn.svm.SVC has no default search space"),
        ({"kind": "sklearn:sklearn.ensemble.RandomForestRegressor"}, "does not fit the task binary"),
        (
            {"kind": "lightgbm", "training": {"parameters": {"num_threads": 2}}},
            "training.parameters.num_threads: is set by training.threads: leave it out",
        ),
        ({"training": {"parameters": {"n_estimators": 2}}}, "training.parameters.n_estimators: is set"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(changes, message):
    with pytest.raises(ValidationError) as raised:
        declare(**changes)
    assert raised.value.error_count() == 1
    assert message in str(raised.value)


def test_pinball_losses_are_those_named_anywhere():
    spec = declare(
        task="regression",
        metric="pinball_0.9",
        evaluation={"quantiles": [0.5, 0.25]},
        floors={"pinball_0.1": 3.0, "mae": 4.0},
    )
    assert spec.extra_metrics == ["pinball_0.5", "pinball_0.25", "pinball_0.9", "pinball_0.1"]


# Baselines


def test_the_usual_value_is_what_a_constant_would_best_be_under_the_metric():
    train = pl.DataFrame({"y": [0.0, 1.0, 2.0, 3.0, 14.0]})

    def usual(metric):
        return predict_baseline(fit_baseline(train, label="y", task="regression", metric=metric), train[:2]).tolist()

    assert usual("mae") == [2, 2]
    assert usual("rmse") == usual("r2") == [4, 4]
    assert usual("pinball_0.75") == [3, 3]


def test_the_usual_value_by_a_column_is_smoothed():
    train = pl.DataFrame({"k": ["a"] * 30 + ["b"] * 10, "y": [1.0] * 30 + [5.0] * 10})
    baseline = fit_baseline(train, label="y", by="k", task="regression", metric="rmse")
    # Overall mean 2; "a": (30 * 1 + 20 * 2) / 50, "b": (10 * 5 + 20 * 2) / 30.
    scored = predict_baseline(baseline, pl.DataFrame({"k": ["b", "a", None]}))
    assert scored.tolist() == pytest.approx([3.0, 1.4, 2.0])


def test_class_frequencies_by_a_column_are_smoothed_and_sum_to_one():
    train = pl.DataFrame({"k": [1] * 60 + [2] * 40, "y": ["n"] * 30 + ["s"] * 30 + ["w"] * 40})
    plain = predict_baseline(fit_baseline(train, label="y", task="multiclass"), train[:1])
    np.testing.assert_allclose(plain, [[0.3, 0.3, 0.4]])
    baseline = fit_baseline(train, label="y", by="k", task="multiclass", classes=["w", "n", "s"])
    # Value 2: 40 rows, all "w": (40 + 20 * 0.4) / 60 and (0 + 20 * 0.3) / 60.
    found = predict_baseline(baseline, pl.DataFrame({"k": [2, 7]}))
    np.testing.assert_allclose(found, [[0.8, 0.1, 0.1], [0.4, 0.3, 0.3]])
    assert type(baseline).model_validate_json(baseline.model_dump_json()) == baseline


# Outcomes


def test_classes_have_the_order_of_their_numbers_or_of_the_alphabet():
    assert learn_classes(pl.Series([10, 9, None, 100])) == ("9", "10", "100")
    assert learn_classes(pl.Series(["b", "a", "b"])) == ("a", "b")
    assert learn_classes(pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"]))) == ("a", "b")
    assert class_codes(pl.Series([10, 9, 10]), ("9", "10")).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"label y holds \['c'\], which training has not seen"):
        class_codes(pl.Series("y", ["a", "c"]), ("a", "b"))


def test_probabilities_are_brought_into_one_order_of_classes():
    found = align_classes(np.array([[0.3, 0.7]]), ["b", "a"], ["a", "new", "b"])
    np.testing.assert_array_equal(found, [[0.7, 0.0, 0.3]])
    with pytest.raises(ValueError, match=r"\['b'\] have no place"):
        align_classes(np.array([[0.3, 0.7]]), ["b", "a"], ["a"])


# Evaluation and promotion


def timed(**columns):
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"at": [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(rows)], **columns})


def run(frame, score, naive, task, **options):
    spec = EvaluationSpec(resamples=100, block="1d")
    shared = {"label": "y", "time": "at", "threshold": None, "slices": ["site"], "evaluation": spec, "seed": 1}
    return evaluate(frame, score, naive, task=task, **shared, **options)


def test_a_regression_is_measured_against_its_baseline_and_slice_by_slice():
    rng = np.random.default_rng(0)
    y = rng.normal(10, 3, 480)
    score = y + rng.normal(0, 1, 480)
    frame = timed(y=y, site=rng.choice(["n", "s"], 480))
    found = run(frame, score, np.full(480, 10.0), "regression", metrics=["pinball_0.9"])
    assert list(found.values) == ["mae", "rmse", "r2", "pinball_0.9"]
    assert found.values["mae"] == pytest.approx(mean_absolute_error(y, score))
    assert found.values["r2"] == pytest.approx(r2_score(y, score))
    better = read_interval(found.metrics, "improvement", "mae")
    assert better.estimate == pytest.approx(np.abs(y - 10).mean() - np.abs(y - score).mean())
    assert 0 < better.low < better.high
    assert (found.prevalence, found.threshold) == (None, None)
    row = found.slices.filter(value="n").row(0, named=True)
    inside = (frame["site"] == "n").to_numpy()
    assert row["rmse"] == pytest.approx(root_mean_squared_error(y[inside], score[inside]))
    assert (row["rows"], row["mean_label"]) == (inside.sum(), pytest.approx(y[inside].mean()))


def test_several_classes_are_measured_against_their_baseline_and_slice_by_slice():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet([1, 1, 1], 480)
    codes = np.array([rng.choice(3, p=row) for row in probability])
    frame = timed(y=np.array(["a", "b", "c"])[codes], site=rng.choice(["n", "s"], 480))
    found = run(frame, probability, np.full((480, 3), 1 / 3), "multiclass", classes=["a", "b", "c"])
    assert found.values["log_loss"] == pytest.approx(log_loss(codes, probability))
    assert read_interval(found.metrics, "baseline", "log_loss").estimate == pytest.approx(np.log(3))
    assert read_interval(found.metrics, "improvement", "log_loss").low > 0
    row = found.slices.filter(value="s").row(0, named=True)
    inside = (frame["site"] == "s").to_numpy()
    assert row["accuracy"] == pytest.approx(accuracy_score(codes[inside], probability[inside].argmax(axis=1)))
    assert row["log_loss"] == pytest.approx(log_loss(codes[inside], probability[inside], labels=[0, 1, 2]))


def test_no_slices_are_no_rows():
    frame = pl.DataFrame({"y": [1.0, 2.0]})
    for task in ("regression", "binary"):
        labelled = frame if task == "regression" else frame.with_columns(y=pl.Series([0, 1]))
        assert measure_slices(labelled, np.array([0.1, 0.2]), label="y", slices=[], task=task).height == 0


def test_two_regressions_are_compared_on_the_same_rows():
    rng = np.random.default_rng(0)
    label = rng.normal(size=300)
    good, bad = label + rng.normal(0, 0.5, 300), label + rng.normal(0, 1, 300)
    promotion = PromotionSpec(metric="rmse", resamples=200)
    found = compare_on_same_rows(label, good, bad, promotion=promotion, seed=0, task="regression")
    assert found.estimate == pytest.approx(root_mean_squared_error(label, bad) - root_mean_squared_error(label, good))
    assert found.low > 0
