import subprocess
import sys

import pytest
from pydantic import ValidationError

from ml_assets.training.spec import ModelSpec, ParameterRange, SearchSpec, TrainingSpec

DECLARATION = {
    "name": "churn",
    "description": "Who leaves next month.",
    "spine": {"table": "accounts/months", "key": ["account"], "time": "at"},
    "label": {"column": "left", "known_at": "left_known_at"},
    "features": ["usage"],
    "split": {"validation": "14d", "holdout": "30d", "gap": "2d"},
}


def declare(**changes):
    return ModelSpec.model_validate({**DECLARATION, **changes})


def test_the_shortest_declaration_has_sensible_defaults():
    spec = declare()
    assert (spec.metric, spec.promotion.metric, spec.search.trials) == ("roc_auc", "roc_auc", 12)
    assert spec.promotion.margin == 0.0
    assert "learning_rate" in spec.search.space


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrik": "x"}, "metrik"),
        ({"name": "Churn rate"}, "lower case"),
        ({"split": {"validation": "14", "holdout": "30d", "gap": "2d"}}, "no duration"),
        ({"features": []}, "at least one"),
        ({"features": ["usage", "usage"]}, "twice"),
        ({"floors": {"auc": 0.6}}, "floors"),
        ({"evaluation": {"confidence": 1.2}}, "outside"),
        ({"seed": -1}, "-1 is less than 0"),
        ({"training": {"parameters": {"max_depth": 3}}}, "are in search.space too"),
    ],
)
def test_a_wrong_declaration_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        declare(**changes)


@pytest.mark.parametrize(
    "values",
    [
        {"low": 2.0, "high": 1.0},
        {"low": 1.0},
        {"low": 0.0, "high": 1.0, "log": True},
        {"low": 0.5, "high": 3.0, "integer": True},
        {"choices": []},
        {"low": 1.0, "high": 2.0, "choices": [1]},
    ],
)
def test_a_range_that_means_nothing_is_refused(values):
    with pytest.raises(ValidationError):
        ParameterRange(**values)


def test_choices_keep_whole_numbers_whole():
    assert [type(value) for value in ParameterRange(choices=[31, 0.5, "dart", True]).choices] == [int, float, str, bool]


def test_what_the_platform_sets_can_be_neither_searched_nor_fixed():
    with pytest.raises(ValidationError, match=r"space\.max_bin: cannot be searched, it is set by training\.max_bin"):
        SearchSpec(space={"max_bin": {"low": 32, "high": 256}})
    with pytest.raises(ValidationError, match=r"parameters\.seed: is set by seed"):
        TrainingSpec(parameters={"seed": 1})


def test_loading_declarations_imports_no_frames():
    code = "import sys, ml_assets.training.spec; print({'polars', 'numpy', 'xgboost'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
