"""A model written as ONNX says what XGBoost says."""

import json
import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost as xgb
from onnx.reference import ReferenceEvaluator

from ml_assets.scoring.predictor import Predictor
from ml_assets.training.kinds.base import OnnxUnsupported, find_kind
from ml_assets.training.kinds.xgboost import XGBoostKind
from ml_assets.training.kinds.xgboost_onnx import booster_to_onnx, open_booster

pytestmark = pytest.mark.slow

CATEGORIES = 40


def rows(count, seed=0):
    """Two numbers, a category and a truth, a fifth of the values missing."""
    random = np.random.default_rng(seed)
    values = np.column_stack(
        [
            random.normal(0, 100, count),
            random.exponential(1, count),
            random.integers(0, CATEGORIES, count),
            random.integers(0, 2, count),
        ]
    )
    values[random.random(values.shape) < 0.2] = np.nan
    return values.astype(np.float32)


def boosted(objective, target, rounds=40, **parameters):
    random = np.random.default_rng(1)
    data = rows(3000)
    outcome = np.nan_to_num(data[:, 0] / 100) + np.nan_to_num(data[:, 2]) % 7 / 3 + random.normal(0, 0.3, len(data))
    matrix = xgb.DMatrix(data, target(outcome), feature_types=["q", "q", "c", "i"], enable_categorical=True)
    given = {"objective": objective, "max_depth": 6, "max_cat_to_onehot": 4, "seed": 0} | parameters
    return xgb.train(given, matrix, num_boost_round=rounds)


def truth(outcome):
    return outcome > 1


def thirds(outcome):
    return np.digitize(outcome, [0.5, 1.5])


CASES = {
    "binary": ("binary:logistic", truth, {}),
    "binary, one-hot categories": ("binary:logistic", truth, {"max_cat_to_onehot": 100}),
    "stumps": ("binary:logistic", truth, {"max_depth": 1}),
    "leaf-wise": ("binary:logistic", truth, {"max_depth": 0, "max_leaves": 31, "grow_policy": "lossguide"}),
    "given base": ("binary:logistic", truth, {"base_score": 0.2}),
    "classes": ("multi:softprob", thirds, {"num_class": 3}),
    "squared error": ("reg:squarederror", np.asarray, {}),
    "absolute error": ("reg:absoluteerror", np.asarray, {}),
    "quantile": ("reg:quantileerror", np.asarray, {"quantile_alpha": 0.9}),
    "several trees a round": ("reg:squarederror", np.asarray, {"num_parallel_tree": 3, "subsample": 0.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_row_gets_what_the_library_gives(case):
    objective, target, parameters = CASES[case]
    booster = boosted(objective, target, **parameters)
    asked = rows(2000, seed=9)
    asked[:50, 2] = CATEGORIES + 3  # no set has it
    asked[0] = np.nan
    written = booster_to_onnx(booster)
    onnx.checker.check_model(written, full_check=True)
    ask, wanted = open_booster(booster), booster.inplace_predict(asked)
    # To the last bit of a float32, or to the one next to it.
    np.testing.assert_allclose(ask(asked), wanted, rtol=1.2e-7, atol=0)
    np.testing.assert_allclose([ask(asked[at : at + 1])[0] for at in range(200)], wanted[:200], rtol=1.2e-7, atol=0)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    handed_over = session.run(["scores"], {"features": asked})[0]
    np.testing.assert_allclose(handed_over.reshape(wanted.shape), wanted, rtol=1e-6, atol=1e-6)


def test_the_reference_implementation_of_onnx_says_the_same():
    booster = boosted("binary:logistic", truth, rounds=5, max_cat_to_onehot=2)
    asked = rows(300, seed=4)
    told = ReferenceEvaluator(onnx.load_from_string(booster_to_onnx(booster))).run(None, {"features": asked})[0]
    np.testing.assert_allclose(told[:, 0], booster.inplace_predict(asked), rtol=1e-6, atol=1e-6)


def test_a_value_that_is_a_condition_goes_right():
    booster = boosted("reg:squarederror", np.asarray, rounds=5)
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    conditions = [
        condition
        for tree in trees
        for left, feature, condition in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        )
        if left >= 0 and feature == 0
    ]
    assert len(conditions) > 20
    asked = rows(len(conditions), seed=3)
    asked[:, 0] = conditions
    ask = open_booster(booster)
    np.testing.assert_array_equal(ask(asked), booster.inplace_predict(asked))


@pytest.mark.parametrize(
    ("objective", "target", "parameters"),
    [
        ("binary:logistic", truth, {"booster": "dart", "rate_drop": 0.5}),
        ("reg:tweedie", np.abs, {}),
        ("binary:hinge", truth, {}),
    ],
)
def test_what_is_not_known_is_left_to_the_library(objective, target, parameters):
    with pytest.raises(OnnxUnsupported, match="cannot be written as ONNX"):
        booster_to_onnx(boosted(objective, target, rounds=3, **parameters))


def test_a_model_of_another_kind_is_left_to_its_library(models):
    with pytest.raises(OnnxUnsupported, match="a model of kind lightgbm cannot be written as ONNX: only xgboost can"):
        find_kind("lightgbm").to_onnx(models["late"].estimator)


def test_what_differs_from_the_library_is_not_taken(models, monkeypatch, caplog):
    def slightly_wrong(self, booster):  # noqa: ARG001
        ask = open_booster(booster)
        return lambda matrix: [score + 1e-4 for score in ask(matrix)]

    monkeypatch.setattr(XGBoostKind, "few_rows_scorer", slightly_wrong)
    with caplog.at_level(logging.WARNING):
        made = Predictor(models["late"])
    assert "differs from xgboost" in caplog.text
    matrix = np.full((1, 3), np.nan, dtype=np.float32)
    monkeypatch.undo()
    assert made.predict(matrix)["score"] == pytest.approx(Predictor(models["late"]).predict(matrix)["score"], abs=1e-6)
