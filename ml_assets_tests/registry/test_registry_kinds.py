from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ml_assets.registry.records import RunOrigin
from ml_assets.registry.registry import Registry
from ml_assets.registry.store.quiet_mlflow import import_mlflow
from ml_assets.training.evaluation.explain import explain
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.predictions.scored import scored
from ml_assets.training.spec import IntervalSpec, TrainingSpec

pytestmark = pytest.mark.slow

CASES = {
    "binary": ("lightgbm", "roc_auc", {"calibration": "isotonic"}),
    "binary_logistic": ("sklearn:sklearn.linear_model.LogisticRegression", "roc_auc", {}),
    "multiclass": ("xgboost", "log_loss", {"calibration": "sigmoid"}),
    "multiclass_trees": ("sklearn:sklearn.ensemble.HistGradientBoostingClassifier", "log_loss", {}),
    "multiclass_leaves": ("lightgbm", "roc_auc_ovr", {}),
    "regression": ("lightgbm", "mae", {"intervals": IntervalSpec(coverage=0.8)}),
    "regression_forest": ("sklearn:sklearn.ensemble.RandomForestRegressor", "rmse", {"intervals": IntervalSpec()}),
    "regression_boosted": ("xgboost", "pinball_0.9", {}),
}


def rows(seed, size=500):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"a": rng.normal(size=size), "kind": rng.choice(["x", "y", None], size).tolist()})
    value = frame["a"] * 2 + rng.normal(size=size)
    named = pl.Series(np.digitize(value, [-1, 1])).replace_strict({0: "low", 1: "mid", 2: "high"})
    return frame.with_columns(regression=value, multiclass=named, binary=value > 0)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    home = tmp_path_factory.mktemp("registry")
    return Registry(f"sqlite:///{home}/mlflow.db", f"{home}/models", "training")


@pytest.mark.parametrize("name", CASES)
def test_a_version_of_any_kind_comes_back_and_scores_the_same_without_a_pickle(registry, name):
    (kind, metric, options), task = CASES[name], name.partition("_")[0]
    model = fit_model(
        rows(0),
        rows(1),
        rows(3),
        features=["a", "kind"],
        label=task,
        parameters={"n_estimators": 10} if "RandomForest" in kind else {},
        training=TrainingSpec(threads=1, max_rounds=20),
        metric=metric,
        seed=0,
        task=task,
        kind=kind,
        **options,
    )
    with registry.training_run(f"train {name}", RunOrigin()) as run:
        logged = run.log_model(name, model, rows(1))
    created = registry.register(name, logged)
    loaded = registry.load(name, version=created.version)
    np.testing.assert_allclose(predict(loaded, rows(2)), predict(model, rows(2)), rtol=0, atol=1e-9)
    same = ("kind", "task", "classes", "label_type", "threshold", "calibration", "intervals", "encoding")
    assert [getattr(loaded, field) for field in same] == [getattr(model, field) for field in same]
    assert scored(rows(2), loaded).schema == scored(rows(2), model).schema

    folder = Path(created.location.removeprefix("file://"))
    assert not [path for path in folder.iterdir() if path.suffix in (".pkl", ".pickle", ".joblib")]
    library = kind.partition(":")[0]
    assert library in import_mlflow().models.Model.load(str(folder)).flavors


@pytest.mark.parametrize("name", ["multiclass", "multiclass_trees", "multiclass_leaves", "regression_forest"])
def test_mlflow_itself_can_use_what_was_logged(registry, name):
    (kind, metric, _), task = CASES[name], name.partition("_")[0]
    shared = {"features": ["a", "kind"], "label": task, "metric": metric, "seed": 0, "task": task, "kind": kind}
    parameters = {"n_estimators": 10} if "RandomForest" in kind else {}
    training = TrainingSpec(threads=1, max_rounds=20)
    model = fit_model(rows(0), rows(1), parameters=parameters, training=training, **shared)
    with registry.training_run("train", RunOrigin()) as run:
        logged = run.log_model(name, model, rows(1))
    mlflow = import_mlflow()
    folder = logged.location.removeprefix("file://")
    loaded = mlflow.pyfunc.load_model(folder)
    example = mlflow.models.Model.load(folder).load_input_example(folder)
    np.testing.assert_allclose(loaded.predict(example), predict(model, rows(1)[:5]), rtol=1e-6)


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "sklearn:sklearn.linear_model.LogisticRegression"])
def test_features_may_bear_names_that_a_library_does_not_take(registry, kind):
    """XGBoost takes no brackets, LightGBM nothing that is special in JSON."""
    strange = {"a": "km[0]", "kind": 'x<y {"a": 1, b}'}
    train, validation, fresh = (rows(seed).rename(strange) for seed in range(3))
    known = fit_model(
        train, validation, features=list(strange.values()), label="binary", parameters={}, metric="roc_auc", seed=0,
        training=TrainingSpec(threads=1, max_rounds=20), kind=kind,
    )  # fmt: skip
    plain = fit_model(
        rows(0), rows(1), features=list(strange), label="binary", parameters={}, metric="roc_auc", seed=0,
        training=TrainingSpec(threads=1, max_rounds=20), kind=kind,
    )  # fmt: skip
    np.testing.assert_array_equal(predict(known, fresh), predict(plain, rows(2)))
    with registry.training_run("strange", RunOrigin()) as run:
        logged = run.log_model("strange", known, fresh)
    created = registry.register(f"strange_{kind[:4]}", logged)
    loaded = registry.load(created.name, version=created.version)
    np.testing.assert_allclose(predict(loaded, fresh), predict(known, fresh), rtol=0, atol=1e-9)
    assert loaded.features == list(strange.values())
    assert explain(loaded, fresh)["feature"].sort().to_list() == sorted(strange.values())
    with registry.files(created) as files:
        asked = import_mlflow().pyfunc.load_model(str(files))
    told = np.asarray(asked.predict(pd.DataFrame(loaded.encoding.encode(fresh), columns=loaded.columns)))
    told = told[:, 1] if told.ndim == 2 else told
    np.testing.assert_allclose(told, predict(known, fresh), rtol=0, atol=1e-6)


def test_an_estimator_that_lies_in_a_project_is_logged_and_comes_back(registry, tmp_path, monkeypatch):
    (tmp_path / "own_estimators.py").write_text(
        "from sklearn.linear_model import Ridge\n\n\nclass Steeper(Ridge):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = fit_model(
        rows(0), rows(1), features=["a", "kind"], label="regression", parameters={},
        training=TrainingSpec(threads=1), metric="mae", seed=0, task="regression",
        kind="sklearn:own_estimators.Steeper",
    )  # fmt: skip
    with registry.training_run("train own", RunOrigin()) as run:
        logged = run.log_model("own", model, rows(1))
    version = registry.register("own", logged).version
    np.testing.assert_array_equal(predict(registry.load("own", version=version), rows(2)), predict(model, rows(2)))
    with pytest.raises(ValueError, match="no installed distribution holds the package own_estimators"):
        model.model_kind.requirements()
