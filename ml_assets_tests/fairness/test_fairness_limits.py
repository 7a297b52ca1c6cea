"""Limits on groups, as fairlearn reads them, and what may be declared."""

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.fairness.limits import judge_fairness
from ml_assets.fairness.measure import FAIRNESS
from ml_assets.fairness.rules import LIMITS
from ml_assets.fairness.spec import FairnessSpec
from ml_assets.training.spec import ModelSpec

RATES = {
    "selection_rate": {"f": 0.30, "m": 0.50, "x": 0.45, "tiny": 0.01},
    "tpr": {"f": 0.60, "m": 0.80, "x": None, "tiny": 0.0},
    "fpr": {"f": 0.05, "m": 0.10, "x": 0.35, "tiny": 1.0},
    "precision": {"f": 0.70, "m": 0.72, "x": 0.71, "tiny": 1.0},
    "calibration_gap": {"f": -0.08, "m": 0.02, "x": 0.03, "tiny": 0.9},
    "calibration_error": {"f": 0.09, "m": 0.02, "x": 0.05, "tiny": 0.9},
}


def table(rates=RATES, judged=("f", "m", "x")):
    rows = [
        ("sex", group, "", measure, value, None, None, None, 500 if group in judged else 7, 400, group in judged)
        for measure, of_groups in rates.items()
        for group, value in of_groups.items()
    ]
    return pl.DataFrame(rows, schema=FAIRNESS, orient="row")


@pytest.mark.parametrize(
    ("limit", "value", "group"),
    [
        ("selection_ratio", 0.30 / 0.50, "f"),  # fairlearn's demographic_parity_ratio
        ("selection_difference", 0.50 - 0.30, "f"),  # demographic_parity_difference
        ("odds_difference", 0.35 - 0.05, "x"),  # equalized_odds_difference: the greater of 0.2 and 0.3
        ("precision_difference", 0.72 - 0.70, "f"),
        ("calibration_gap", 0.08, "f"),
        ("calibration_error", 0.09, "f"),
    ],
)
def test_what_is_held_against_a_limit(limit, value, group):
    (judgement,) = judge_fairness(table(), FairnessSpec.model_validate({limit: 0.5}))
    assert (judgement.value, judgement.group) == (pytest.approx(value), group)
    assert judgement.not_judged == {"tiny": 7}
    assert judgement.passed == (value >= 0.5 if LIMITS[limit].least else value <= 0.5)
    assert "too small to judge: tiny (7 rows)" in judgement.text


def test_errors_of_numbers_are_judged():
    rates = {"bias": {"f": -3.0, "m": 1.0, "tiny": 9.0}, "mae": {"f": 6.0, "m": 4.0, "tiny": 99.0}}
    bias, ratio = judge_fairness(table(rates, ("f", "m")), FairnessSpec(bias=2.5, mae_ratio=1.6))
    assert (bias.limit, bias.value, bias.passed) == ("bias", 3.0, False)
    assert (ratio.value, ratio.group, ratio.passed) == (1.5, "f", True)


def test_a_broken_limit_comes_first_and_one_that_is_not_known_last():
    rates = {"selection_rate": RATES["selection_rate"], "tpr": dict.fromkeys("fmx"), "fpr": dict.fromkeys("fmx")}
    spec = FairnessSpec(odds_difference=0.1, selection_difference=0.5, selection_ratio=0.8)
    judgements = judge_fairness(table(rates), spec)
    assert [each.limit for each in judgements] == ["selection_ratio", "selection_difference", "odds_difference"]
    assert judgements[-1].value is None
    assert judgements[-1].passed
    assert judgements[-1].text == "odds_difference by sex: not known; too small to judge: tiny (7 rows)"


def test_one_group_that_is_large_enough_is_not_compared():
    (judgement,) = judge_fairness(table(judged=("f",)), FairnessSpec(selection_ratio=0.8))
    assert judgement.value is None
    assert set(judgement.not_judged) == {"m", "x", "tiny"}


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"selection_ratio": 80}, "selection_ratio: 80 is outside 0 to 1"),
        ({"mae_ratio": 0.9}, "mae_ratio: 0.9 is outside 1 to inf"),
        ({"min_rows": 0}, "min_rows: 0 is less than 1"),
        ({"gate": True}, "gate: needs a limit"),
        ({"ratio": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_meant_is_refused(declared, message):
    with pytest.raises(ValidationError, match=message):
        FairnessSpec.model_validate(declared)


def model(**changes):
    return ModelSpec.model_validate(
        {
            "name": "buys",
            "description": "Who buys.",
            "spine": {"table": "visits", "key": ["id"], "time": "at"},
            "label": {"column": "bought", "known_at": "known"},
            "features": ["visit"],
            "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fairness": {"selection_ratio": 0.8}}, "groups: is missing"),
        ({"groups": ["sex"], "fairness": {"bias": 1.0}}, "fairness: bias does not fit the task binary"),
        (
            {"groups": ["sex"], "task": "regression", "fairness": {"odds_difference": 0.1}},
            "does not fit the task regression; choose from bias, mae_ratio",
        ),
        ({"groups": ["sex", "sex"]}, "groups: names something twice"),
    ],
)
def test_limits_go_with_groups_and_the_task(changes, message):
    with pytest.raises(ValidationError, match=message):
        model(**changes)


def test_groups_are_columns_of_the_rows():
    declared = model(groups=["sex"], task="multiclass", fairness={"selection_ratio": 0.8})
    assert declared.row_columns == ["sex"]
