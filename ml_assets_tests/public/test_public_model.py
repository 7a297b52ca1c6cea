"""Explanations of models of several classes, and of a kind that has none."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.cards.limits import known_limits
from ml_assets.public.model import ProjectModel
from ml_assets.registry.records import RegisteredVersion
from ml_assets.training.fit import fit_model
from ml_assets.training.spec import TrainingSpec

RANDOM = np.random.default_rng(0)
ROWS = pl.DataFrame({"a": RANDOM.normal(size=300), "b": RANDOM.normal(size=300)}).with_columns(
    label=pl.when(pl.col("a") > 0.5)
    .then(pl.lit("high"))
    .when(pl.col("b") > 0)
    .then(pl.lit("mid"))
    .otherwise(pl.lit("low"))
)


def fitted(kind, task, label, metric):
    return fit_model(
        ROWS.head(200), ROWS.tail(100), features=["a", "b"], label=label, parameters={}, metric=metric, seed=0,
        training=TrainingSpec(max_rounds=5, threads=1), task=task, kind=kind,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("calibration", "negatives", "said"), [(None, None, True), (None, 0.5, True), ("sigmoid", 0.5, False)]
)
def test_making_up_for_negatives_left_out_is_no_calibration(calibration, negatives, said):
    rows = ROWS.with_columns(positive=pl.col("label") == "high")
    trained = fit_model(
        rows.head(200), rows.tail(100), features=["a", "b"], label="positive", parameters={}, metric="log_loss", seed=0,
        training=TrainingSpec(max_rounds=5, threads=1, negatives=negatives), calibration=calibration,
    )  # fmt: skip
    assert (trained.calibration is None) == (calibration is None and negatives is None)
    spec = SimpleNamespace(optimised_metric="log_loss", promotion=SimpleNamespace(metric="log_loss"))
    model, lake = SimpleNamespace(spec=spec, key=str), SimpleNamespace(exists=lambda _: False)
    limits = list(known_limits(model, "1", trained, lake, [], []))
    assert any("Scores are not calibrated" in limit for limit in limits) == said


def opened(trained) -> ProjectModel:
    """Open a model that was just fitted: rows with features need neither project nor registry."""
    version = RegisteredVersion(name="returns", version="1", run_id="", location="", aliases=(), tags={})
    model = ProjectModel(None, None, version, None)
    model.__dict__["trained"] = trained
    return model


def test_contributions_of_several_classes_are_a_row_for_each_and_add_up_to_its_margin():
    trained = fitted("xgboost", "multiclass", "label", "log_loss")
    model, rows = opened(trained), ROWS.tail(20)
    explained = model.explain(rows, featured=True)
    assert explained.columns == ["row", "class", "base", "a", "b"]
    assert explained["row"].to_list() == [row for row in range(20) for _ in range(3)]
    assert explained["class"].to_list() == ["high", "low", "mid"] * 20
    margin = explained.select(pl.sum_horizontal("base", "a", "b")).to_series().to_numpy().reshape(20, 3)
    likely = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    predicted = model.predict(rows, featured=True).select(f"probability_{name}" for name in ("high", "low", "mid"))
    np.testing.assert_allclose(likely, predicted.to_numpy(), rtol=1e-4)


def test_a_kind_without_contributions_says_where_importance_is():
    model = opened(fitted("sklearn:sklearn.linear_model.LinearRegression", "regression", "b", "mae"))
    with pytest.raises(
        ValueError, match=r"models of kind sklearn.* have no contributions of single rows; card\(\)\.imp"
    ):
        model.explain(ROWS, featured=True)
    np.testing.assert_allclose(model.predict(ROWS, featured=True)["score"], ROWS["b"], atol=1e-4)
