"""Checks of fairness, where limits are declared."""

import polars as pl
import pytest

from ml_assets.components.model.evaluation import evaluation_assets
from ml_assets.components.model.fairness import fair_check, fair_drops_check, groups_metadata
from ml_assets.components.model.performance import performance_assets
from ml_assets.fairness.limits import FairnessJudgement
from ml_assets.fairness.measure import FAIRNESS
from ml_assets_tests.modelling.test_modelling_fairness import context

BROKEN = FairnessJudgement("sex", "", "selection_ratio", 0.8, 0.61, "f", {"x": 7})
KEPT = FairnessJudgement("sex", "", "odds_difference", 0.1, 0.02, "f", {})
UNKNOWN = FairnessJudgement("age", "", "odds_difference", 0.1, None, "", {"old": 3})


@pytest.mark.parametrize("assets", [evaluation_assets, performance_assets])
@pytest.mark.parametrize(("fairness", "there"), [({"selection_ratio": 0.8}, True), ({}, False)])
def test_a_check_is_there_where_a_limit_is_declared(assets, fairness, there):
    (asset,) = assets(context(fairness=fairness))
    names = {spec.name for spec in asset.check_specs}
    assert bool(names & {"fair_to_groups", "realised_fairness"}) == there


def test_a_broken_limit_fails_the_check_and_one_that_is_not_known_does_not():
    result = fair_check("fair_to_groups", [BROKEN, KEPT, UNKNOWN])
    assert not result.passed
    assert result.metadata["observed"].value == 0.61
    assert len(result.metadata["judgements"].data) == 3
    assert fair_check("fair_to_groups", [UNKNOWN]).metadata["observed"].value == "unknown"
    assert fair_check("fair_to_groups", [KEPT, UNKNOWN]).passed


def test_each_drop_is_judged_by_itself():
    result = fair_drops_check("realised_fairness", {"2024-03": [KEPT], "2024-04": [BROKEN]})
    assert not result.passed
    assert result.metadata["observed"].data == [f"2024-04: {BROKEN.text}"]
    assert fair_drops_check("realised_fairness", {"2024-03": [KEPT]}).passed


def test_a_model_without_groups_shows_none():
    assert groups_metadata(pl.DataFrame(schema=FAIRNESS)) == {}
