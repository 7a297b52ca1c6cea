"""Plain Python says of scores what arrays and frames say."""

from dataclasses import replace

import numpy as np
import pytest

from ml_assets.scoring_core import answers
from ml_assets.training.calibration.intervals import Intervals
from ml_assets.training.calibration.probabilities import fit_calibration
from ml_assets.training.fit import calibrated
from ml_assets.training.predictions.scored import score_columns
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION

RANDOM = np.random.default_rng(5)


def plain_columns(model):
    curves = model.calibration.curves if model.calibration else ()
    return answers.plain_columns(model.task, model, curves)


def told(model, score):
    return {column.name: column.to_list() for column in score_columns(model, calibrated(model, score))}


def probabilities(classes):
    raised = RANDOM.random((500, classes)) ** 4
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", [None, "isotonic", "sigmoid"])
def test_probabilities_of_one_outcome(models, method):
    score = np.r_[RANDOM.random(500), 0.0, 1.0, 1e-9]
    calibration = None if method is None else fit_calibration(method, RANDOM.random(503) < score, score)
    for at in (3, 77, 500, 501):
        # A threshold is one of the scores, which then reaches it.
        model = replace(models["late"], calibration=calibration, threshold=0.0)
        model = replace(model, threshold=float(calibrated(model, score)[at]))
        assert plain_columns(model)(score.tolist()) == told(model, score)
        assert plain_columns(model)([score[at]])["prediction"] == [True]


@pytest.mark.parametrize(
    "intervals", [None, Intervals(coverage=0.8, edges=(2.0, 5.0), below=(-1, -2, -3), above=(1, 2, 4))]
)
def test_values_with_and_without_intervals(models, intervals):
    model = replace(models["hours"], intervals=intervals)
    score = np.r_[RANDOM.normal(3, 4, 200), 2.0, 5.0]
    assert plain_columns(model)(score.tolist()) == told(model, score)


@pytest.mark.parametrize("method", [None, "isotonic", "sigmoid"])
@pytest.mark.parametrize(
    ("classes", "label_type"),
    [(("calm", "cross", "glad"), "String"), (("-1", "2", "10"), "Int64"), (("false", "true"), "Boolean")],
)
def test_classes(models, method, classes, label_type):
    score = probabilities(len(classes))
    outcome = RANDOM.integers(0, len(classes), len(score))
    calibration = None if method is None else fit_calibration(method, outcome, score)
    model = replace(models["mood"], classes=classes, label_type=label_type, calibration=calibration)
    plain, wanted = plain_columns(model)(score.tolist()), told(model, score)
    assert list(plain) == list(wanted)
    assert plain["prediction"] == wanted["prediction"]
    assert type(plain["prediction"][0]) is {"String": str, "Int64": int, "Boolean": bool}[label_type]
    for name in plain:
        if name != "prediction":
            np.testing.assert_allclose(plain[name], wanted[name], rtol=1e-15)


def test_a_row_of_which_no_class_is_left_likely_is_shared_alike(models):
    rare = fit_calibration("isotonic", np.array([0, 1, 2, 0]), np.eye(4, 3))
    curves = tuple(curve.model_copy(update={"x": (0.0, 1.0), "y": (0.0, 0.0)}) for curve in rare.curves)
    model = replace(models["mood"], calibration=rare.model_copy(update={"curves": curves}))
    score = np.array([[0.2, 0.3, 0.5]])
    assert plain_columns(model)(score.tolist()) == told(model, score)


def test_the_task_of_a_model_decides(models):
    assert [models[name].task for name in ("late", "hours", "mood")] == [BINARY, REGRESSION, MULTICLASS]
    columns = [list(plain_columns(models[name])([[0.1, 0.2, 0.7]] if name == "mood" else [0.4])) for name in models]
    assert columns == [
        ["score", "prediction"],
        ["score", "prediction", "lower", "upper"],
        [
            "score",
            "prediction",
            *(f"probability_{name}" for name in ("calm", "cross", "glad")),
        ],
    ]
