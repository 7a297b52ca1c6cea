"""Rows explained by models of several kinds and tasks, fitted on a few rows."""

import numpy as np
import polars as pl
import pytest

from ml_assets.console.pages.prediction.explained import explain, what_if
from ml_assets.console.pages.prediction.what_if import read_changes
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.spec import TrainingSpec

RANDOM = np.random.default_rng(0)
ROWS = pl.DataFrame({"a": RANDOM.normal(size=240), "b": RANDOM.normal(size=240)}).with_columns(
    sort=pl.when(pl.col("a") > 0.5)
    .then(pl.lit("high"))
    .when(pl.col("b") > 0)
    .then(pl.lit("mid"))
    .otherwise(pl.lit("low"))
)
ROW = ROWS[:1]


def fitted(kind, task, label, metric):
    return fit_model(
        ROWS.head(160), ROWS.tail(80), features=["a", "b"], label=label, parameters={}, metric=metric, seed=0,
        training=TrainingSpec(max_rounds=4, threads=1), task=task, kind=kind,
    )  # fmt: skip


def test_of_several_classes_the_predicted_one_is_explained_or_the_one_that_is_named():
    model = fitted("xgboost", "multiclass", "sort", "log_loss")
    shares = dict(zip(model.classes, predict(model, ROW)[0], strict=True))
    likely = max(shares, key=shares.get)
    explained = {name: explain(model, ROW, name) for name in model.classes}
    assert explain(model, ROW) == explained[likely]
    assert explained[likely].of_class == explained[likely].answer["prediction"] == likely
    exponents = {name: np.exp(each.margin) for name, each in explained.items()}
    softmax = {name: value / sum(exponents.values()) for name, value in exponents.items()}
    assert softmax == pytest.approx(shares, rel=1e-4)


def test_a_changed_row_is_explained_for_the_class_of_the_row_as_it_was():
    model = fitted("xgboost", "multiclass", "sort", "log_loss")
    row = pl.DataFrame({"a": [2.0], "b": [-1.0]})
    before = explain(model, row)
    changed = what_if(model, row, read_changes(model.encoding, {"a": "-2"}), before)
    assert (before.of_class, changed.after.of_class, changed.after.answer["prediction"]) == ("high", "high", "low")


def test_a_kind_without_contributions_is_scored_all_the_same():
    model = fitted("sklearn:sklearn.linear_model.LinearRegression", "regression", "b", "mae")
    explained = explain(model, ROW)
    assert explained.answer["score"] == pytest.approx(ROW["b"][0], abs=1e-4)
    assert (explained.base, explained.margin, explained.contributions) == (None, None, {})
    changed = what_if(model, ROW, read_changes(model.encoding, {"b": "1.5"}), explained)
    assert changed.after.answer["score"] == pytest.approx(1.5, abs=1e-4)
    assert changed.moved == []


def test_the_value_of_a_regression_is_its_margin():
    explained = explain(fitted("xgboost", "regression", "b", "mae"), ROW)
    assert explained.margin == pytest.approx(explained.answer["score"], abs=1e-5)
