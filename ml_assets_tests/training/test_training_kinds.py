import json
from functools import partial

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier
from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss, roc_auc_score, root_mean_squared_error

from ml_assets.training.evaluation.explain import contributions, explain, importance_unit
from ml_assets.training.fit import fit_model, load_model, predict, save_model
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.plots import plot_importance
from ml_assets.training.predictions.scored import scored
from ml_assets.training.search.search import search_history, search_parameters
from ml_assets.training.spec import IntervalSpec, SearchSpec, TrainingSpec, default_space
from ml_assets.training.tasks import find_task

pytestmark = pytest.mark.slow

FEATURES = ["kind", "a b", "noise"]
TRAINING = TrainingSpec(threads=1, max_rounds=60, early_stopping_rounds=10, max_bin=64)
TREES = ["xgboost", "lightgbm"]
KINDS = {
    "binary": [*TREES, "sklearn:sklearn.ensemble.HistGradientBoostingClassifier"],
    "multiclass": [*TREES, "sklearn:sklearn.linear_model.LogisticRegression"],
    "regression": [*TREES, "sklearn:sklearn.linear_model.Ridge"],
}
CASES = [(task, kind) for task, kinds in KINDS.items() for kind in kinds]
METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def rows(seed, size=900):
    """A number moved by two features, cut into three classes, and whether it is large; some features are missing."""
    rng = np.random.default_rng(seed)
    a, kind = rng.normal(size=size), rng.choice(["x", "y", "z"], size)
    value = 3 * a + np.where(kind == "z", 4, 0) + rng.normal(size=size)
    return pl.DataFrame(
        {
            "a b": pl.Series(a).scatter(np.arange(0, size, 50), None),
            "noise": rng.normal(size=size),
            "kind": pl.Series(kind).scatter(np.arange(7, size, 60), None),
            "regression": 100 + value,
            "multiclass": pl.Series(np.digitize(value, [-1, 3])).replace_strict({0: 2, 1: 10, 2: 7}),
            "binary": value > 1,
        }
    )


def fit(task, kind, label=None, frames=None, metric=None, parameters=None, **options):
    train, validation = frames or (rows(0), rows(1))
    return fit_model(
        train,
        validation,
        features=FEATURES,
        label=label or task,
        parameters=parameters or {},
        training=TRAINING,
        metric=metric or METRIC[task],
        seed=3,
        task=task,
        kind=kind,
        **options,
    )


@pytest.fixture(scope="module", params=CASES, ids=[f"{task}-{kind.rpartition('.')[2]}" for task, kind in CASES])
def model(request):
    return fit(*request.param)


def measured(task, frame, score):
    label = frame[task]
    if task == "binary":
        return roc_auc_score(label, score)
    if task == "multiclass":
        return log_loss([("2", "7", "10").index(str(y)) for y in label], score)
    return root_mean_squared_error(label, score)


def test_each_kind_learns_each_task(model):
    fresh = rows(2)
    score = predict(model, fresh)
    assert score.dtype == np.float64
    assert score.shape == ((900, 3) if model.task == "multiclass" else (900,))
    assert model.classes == (("2", "7", "10") if model.task == "multiclass" else None)
    assert predict(model, fresh.clear()).shape == (0, *score.shape[1:])
    found = measured(model.task, fresh, score)
    # The noise alone leaves 1; a constant has 4 (regression) and 1.1 (log loss of three classes).
    assert found > 0.9 if model.task == "binary" else found < {"regression": 1.7, "multiclass": 0.6}[model.task]


def test_the_history_ends_as_scikit_learn_measures_the_validation_rows(model):
    found = measured(model.task, rows(1), predict(model, rows(1)))
    assert model.history[model.best_iteration] == pytest.approx(found, abs=2e-5)


def test_one_seed_gives_one_model(model):
    again = fit(model.task, model.kind)
    np.testing.assert_array_equal(predict(again, rows(2)), predict(model, rows(2)))


def test_a_saved_model_scores_identically_and_holds_no_pickle(model, tmp_path):
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    np.testing.assert_allclose(predict(loaded, rows(2)), predict(model, rows(2)), rtol=0, atol=1e-9)
    same = ("kind", "task", "classes", "label_type", "threshold", "metric", "history", "encoding", "parameters")
    assert [getattr(loaded, name) for name in same] == [getattr(model, name) for name in same]
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".ubj", ".lgb", ".skops"}


def test_a_model_of_other_features_is_refused(model, tmp_path):
    save_model(model, tmp_path)
    encoding = json.loads((tmp_path / "encoding.json").read_text())
    encoding["features"].pop()
    (tmp_path / "encoding.json").write_text(json.dumps(encoding))
    with pytest.raises(ValueError, match=r"differ from those of encoding\.json"):
        load_model(tmp_path)


def test_the_feature_that_moves_nothing_is_the_least_important(model):
    found = explain(model, rows(2), rows=300)
    assert found["feature"][-1] == "noise"
    assert set(found["feature"]) == set(FEATURES)
    assert found["share"].sum() == pytest.approx(1)
    assert plot_importance(found, importance_unit(model)).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", TREES)
def test_contributions_add_up(kind):
    fresh = rows(2, size=40)
    value = fit("regression", kind)
    np.testing.assert_allclose(contributions(value, fresh).sum(axis=1), predict(value, fresh), atol=1e-3)
    classes = fit("multiclass", kind)
    odds = np.exp(contributions(classes, fresh).sum(axis=2))
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), predict(classes, fresh), atol=1e-4)


# Scored frames


def test_a_scored_frame_has_the_columns_of_its_task(model):
    fresh = rows(2)
    found = scored(fresh, model)
    new = found.select(pl.exclude(fresh.columns)).schema
    score = predict(model, fresh)
    if model.task == "binary":
        assert new == {"score": pl.Float64, "prediction": pl.Boolean}
        np.testing.assert_array_equal(found["prediction"].to_numpy(), score >= model.threshold)
    elif model.task == "regression":
        assert new == {"score": pl.Float64, "prediction": pl.Float64}
        np.testing.assert_array_equal(found["prediction"].to_numpy(), score)
    else:
        probabilities = [f"probability_{name}" for name in ("2", "7", "10")]
        assert list(new) == ["score", "prediction", *probabilities]
        assert new["prediction"] == fresh.schema["multiclass"]
        np.testing.assert_array_equal(found["prediction"].to_numpy(), np.array([2, 7, 10])[score.argmax(axis=1)])
        np.testing.assert_array_equal(found["score"].to_numpy(), score.max(axis=1))
        assert (found["prediction"] == fresh["multiclass"]).mean() > 0.7
    np.testing.assert_array_equal(find_task(model.task).read_scores(found, model.classes), score)


@pytest.mark.parametrize(
    ("labels", "dtype"), [(["lo", "mid", "hi"], pl.String), (["lo", "mid", "hi"], pl.Enum(["mid", "hi", "lo"]))]
)
def test_classes_of_text_are_called_by_their_names(labels, dtype, tmp_path):
    def named(seed):
        text = pl.col("multiclass").replace_strict({2: labels[0], 10: labels[1], 7: labels[2]}, return_dtype=dtype)
        return rows(seed).with_columns(y=text)

    model = fit("multiclass", "xgboost", label="y", frames=(named(0), named(1)))
    assert model.classes == ("hi", "lo", "mid")
    save_model(model, tmp_path)
    found = scored(named(2), load_model(tmp_path))
    assert found["prediction"].dtype == pl.String
    assert (found["prediction"] == found["y"].cast(pl.String)).mean() > 0.7


def test_yes_and_no_can_be_two_classes():
    model = fit("multiclass", "lightgbm", label="binary")
    found = scored(rows(2), model)
    assert found["prediction"].dtype == pl.Boolean
    assert (found["prediction"] == found["binary"]).mean() > 0.8


def test_a_class_unknown_to_training_is_an_error():
    train = rows(0).filter(pl.col("multiclass") != 7)
    with pytest.raises(ValueError, match=r"label multiclass holds \['7'\], which training has not seen"):
        fit("multiclass", "xgboost", frames=(train, rows(1)))


# What a fit aims at


@pytest.mark.parametrize("kind", [*TREES, "sklearn:sklearn.ensemble.HistGradientBoostingRegressor"])
def test_the_metric_decides_what_a_regression_predicts(kind):
    def skewed(seed):
        rng = np.random.default_rng(seed)
        return rows(seed, 2_000).with_columns(y=pl.Series(rng.exponential(10, 2_000)))

    frames, fresh = (skewed(0), skewed(1)), skewed(2)
    parameters = {"learning_rate": 0.05} if kind in TREES else {"learning_rate": 0.1, "max_iter": 20}
    for metric, usual in (("mae", 10 * np.log(2)), ("rmse", 10), ("pinball_0.9", 10 * np.log(10))):
        model = fit("regression", kind, label="y", frames=frames, metric=metric, parameters=parameters)
        score = predict(model, fresh)
        assert np.median(score) == pytest.approx(usual, rel=0.15), metric
        value = {
            "mae": mean_absolute_error,
            "rmse": root_mean_squared_error,
            "pinball_0.9": partial(mean_pinball_loss, alpha=0.9),
        }[metric](frames[1]["y"], predict(model, frames[1]))
        assert model.history[model.best_iteration] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("kind", TREES)
def test_several_classes_can_be_ranked(kind):
    model = fit("multiclass", kind, metric="roc_auc_ovr")
    codes = [("2", "7", "10").index(str(y)) for y in rows(1)["multiclass"]]
    expected = roc_auc_score(codes, predict(model, rows(1)), multi_class="ovr", average="weighted")
    assert model.history[model.best_iteration] == pytest.approx(expected, abs=1e-5)
    assert model.history[model.best_iteration] == max(model.history)


# Search


@pytest.mark.parametrize(("task", "kind"), CASES)
def test_each_kind_can_be_searched_and_goes_on_where_it_stood(task, kind, tmp_path):
    storage = f"sqlite:///{tmp_path}/studies.db"

    def search(trials):
        return search_parameters(
            rows(0),
            rows(1),
            model="m",
            features=FEATURES,
            label=task,
            search=SearchSpec(trials=trials, rows=500, max_rounds=20, space=default_space(kind)),
            training=TRAINING,
            metric=METRIC[task],
            seed=1,
            storage=storage,
            task=task,
            kind=kind,
        )

    first, found = search(1), search(2)
    assert first.study == found.study
    assert found.trials == 2
    history = search_history(storage, found.study).filter(state="complete")
    best = history["value"].max() if task == "binary" else history["value"].min()
    assert found.best_value == best
    assert set(found.parameters) == set(default_space(kind))
    fit(task, kind, parameters=found.parameters)


# scikit-learn's own


def test_parameters_and_estimators_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match=r"has no parameters \['depth'\]"):
        fit("regression", "sklearn:sklearn.linear_model.Ridge", parameters={"depth": 3})
    with pytest.raises(ValueError, match=r"there is no Rich in sklearn\.linear_model"):
        fit("regression", "sklearn:sklearn.linear_model.Rich")
    with pytest.raises(ValueError, match="no scikit-learn estimator"):
        fit("regression", "sklearn:pathlib.Path")
    with pytest.raises(ValueError, match="gives no probabilities"):
        fit("binary", "sklearn:sklearn.svm.LinearSVC")


class Quiet(LGBMClassifier):
    pass


@pytest.mark.parametrize("path", ["lightgbm.LGBMClassifier", f"{__name__}.Quiet"])
def test_an_estimator_of_a_lightgbm_that_cannot_fit_is_refused_when_declared(path, monkeypatch):
    kind = find_kind(f"sklearn:{path}")
    monkeypatch.setattr("ml_assets.training.kinds.sklearn.version", lambda _: "4.5.0")
    with pytest.raises(ValueError, match=r"LightGBM 4\.5\.0 does not go with scikit-learn .* declare kind: lightgbm"):
        kind.check_parameters([])
    monkeypatch.setattr("ml_assets.training.kinds.sklearn.version", lambda _: "4.6.0")
    kind.check_parameters(["num_leaves"])
    find_kind("sklearn:xgboost.XGBClassifier").check_parameters(["max_depth"])


def test_an_estimator_gets_seed_and_threads():
    model = fit("regression", "sklearn:sklearn.ensemble.RandomForestRegressor", parameters={"n_estimators": 5})
    assert (model.estimator.random_state, model.estimator.n_jobs, model.estimator.n_estimators) == (3, 1, 5)


def test_a_file_with_objects_of_other_types_is_refused(tmp_path):
    import skops.io
    from sklearn.linear_model import Ridge

    model = fit("regression", "sklearn:sklearn.linear_model.Ridge")
    save_model(model, tmp_path)
    smuggled = Ridge().fit([[1.0]], [1.0])
    smuggled.extra = IntervalSpec()
    skops.io.dump(smuggled, tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"ml_assets\.training\.spec\.learning\.IntervalSpec.*has no use for"):
        load_model(tmp_path)
