"""Groups of a model: on the holdout, in production drop by drop, and what holds a challenger back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView
from ml_assets.fairness.measure import FAIRNESS
from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.performance.groups import (
    judge_drops,
    keep_holdout,
    measure_drops,
    read_drops,
    read_holdout,
)
from ml_assets.modelling.performance.measure import MeasuredDrops
from ml_assets.modelling.promotion import _fairness_evidence
from ml_assets.training.evaluation.groups import measure_groups

SPINE = DeclaredSpine.model_validate(
    {
        "name": "payments", "table": "payments/validated", "key": ["id"], "time": "at", "partition": "_drop",
        "drops": {"grain": "monthly", "start": "2024-01"},
    }
)  # fmt: skip
VIEW = DeclaredView.model_validate(
    {"name": "payment", "description": "It.", "spine": "payments", "entity": ["id"], "request": {"size": "amount"}}
)
MARCH, APRIL = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
TRAINED = SimpleNamespace(version="1")


def context(**changes):
    declared = DeclaredModel.model_validate(
        {
            "name": "fraud",
            "description": "Which payments are fraud.",
            "spine": "payments",
            "label": {"column": "fraud", "known_at": "known_at"},
            "features": ["payment"],
            "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
            "groups": ["region"],
            "fairness": {"selection_ratio": 0.8, "odds_difference": 0.5, "min_rows": 20, "gate": True},
            **changes,
        }
    )
    return ModelContext.of(declared, SPINE, [VIEW], "shop")


@pytest.fixture
def lake(tmp_path):
    """One month of payments: 40 rows of the north, of which 20 are called positive, 40 of the south, of which 4 are.
    The labels of the south come a month later."""
    lake, at = Lake(str(tmp_path)), MARCH + timedelta(days=1)
    north = [row < 40 for row in range(80)]
    frame = pl.DataFrame(
        {
            "id": range(80),
            "region": ["north" if here else "south" for here in north],
            "amount": [1.0] * 80,
            "at": [at] * 80,
            "known_at": [at + timedelta(days=1 if here else 45) for here in north],
            "fraud": [row % 2 == 0 for row in range(80)],
            "_drop": ["2024-03"] * 80,
        }
    )
    lake.replace("payments/validated", frame, {"_drop": ["2024-03"]})
    called = [row < 20 or 40 <= row < 44 for row in range(80)]
    scored = frame.select("id", "at", "_drop").with_columns(
        score=pl.Series([0.9 if yes else 0.1 for yes in called]), prediction=pl.Series(called),
        model_version=pl.lit("1"),
    )  # fmt: skip
    lake.replace("fraud/predictions", scored, {"_drop": ["2024-03"]})
    return lake


def watch(lake, model, *moments):
    made = frozenset(("2024-03", moment) for moment in moments)
    registry = SimpleNamespace(inputs=lambda *_: None)
    return measure_drops(lake, registry, model, MeasuredDrops({}, {}, pl.DataFrame(), pl.DataFrame(), made))


def of(measured, group, measure):
    return measured.filter(group=group, measure=measure).row(0, named=True)


def test_decisions_are_compared_at_once_and_errors_as_labels_come(lake):
    model = context()
    (measured,) = watch(lake, model, APRIL).values()
    assert of(measured, "south", "selection_rate")["value"] == 0.1
    assert of(measured, "south", "selection_rate_ratio")["value"] == pytest.approx(0.1 / 0.5)
    assert (of(measured, "south", "tpr")["value"], of(measured, "south", "tpr")["known"]) == (None, 0)
    assert of(measured, "north", "tpr")["value"] == 0.5
    later = APRIL + timedelta(days=60)
    (measured,) = watch(lake, model, APRIL, later).values()
    assert of(measured, "south", "tpr")["value"] == 0.1
    stored = read_drops(lake, "fraud")
    assert stored.select("_drop", "model_version", "measured_at").unique().rows() == [("2024-03", "1", later)]
    assert stored.select(*FAIRNESS).equals(measured)


def test_a_drop_is_held_against_the_declared_limits(lake):
    model = context()
    (judged,) = judge_drops(model, watch(lake, model, APRIL)).values()
    assert [(each.limit, each.passed, each.value) for each in judged] == [
        ("selection_ratio", False, pytest.approx(0.2)),
        ("odds_difference", True, None),  # of the south no label is known
    ]
    assert "farthest out south" in judged[0].text


def test_nothing_is_measured_where_no_groups_are_declared(lake):
    assert watch(lake, context(groups=[], fairness={}), APRIL) == {}
    assert read_drops(lake, "fraud").is_empty()


def test_a_drop_without_predictions_has_no_groups(lake):
    lake.replace("fraud/predictions", lake.scan("fraud/predictions").collect().clear(), {"_drop": ["2024-03"]})
    (measured,) = watch(lake, context(), APRIL).values()
    assert measured.is_empty()


def test_rows_from_before_a_group_was_declared_are_not_compared():
    rows = pl.DataFrame({"fraud": [True, False], "prediction": [True, False], "score": [0.9, 0.1]})
    assert measure_groups(context().spec, rows, None).is_empty()


@pytest.mark.parametrize(("gate", "evidence"), [(True, [("selection_ratio by region", 0.2, False)]), (False, [])])
def test_a_broken_limit_on_the_holdout_holds_back_a_challenger_where_it_gates(lake, gate, evidence):
    model = context(fairness={"selection_ratio": 0.8, "odds_difference": 0.5, "min_rows": 20, "gate": gate})
    (measured,) = watch(lake, model, APRIL).values()
    keep_holdout(lake, model, "2024-03-01", measured, "1")
    keep_holdout(lake, model, "2024-04-01", measured.clear(), "2")
    assert read_holdout(lake, "fraud", "1").equals(measured)
    found = _fairness_evidence(lake, model, TRAINED)
    assert [(each.name, each.observed, each.passed) for each in found] == [
        (name, pytest.approx(value), passed) for name, value, passed in evidence
    ]


def test_groups_travel_with_the_rows():
    assert "region" in context().columns
    assert "region" in context().bystanders


def private_regions(model):
    return replace(model, monitoring=model.monitoring.model_copy(update={"private": ["region"]}))


def test_groups_of_a_private_column_are_numbered_in_checks_and_promotions(lake):
    model, rates = private_regions(context()), [("north", 0.5), ("south", 0.1)]
    measured = pl.DataFrame(
        [("region", group, "", "selection_rate", rate, 50, 40, True) for group, rate in rates]
        + [("region", "west", "", "selection_rate", 0.1, 5, 4, False)],
        schema=["attribute", "group", "class", "measure", "value", "rows", "known", "judged"], orient="row",
    )  # fmt: skip
    (judged,) = judge_drops(model, {"2024-03": measured})["2024-03"]
    assert judged.text == (
        "selection_ratio by region: 0.2, at least 0.8 allowed, farthest out (private 2); "
        "too small to judge: (private 3) (5 rows)"
    )
    keep_holdout(lake, model, "2024-04-01", measured, "1")
    (evidence,) = _fairness_evidence(lake, model, TRAINED)
    assert evidence.source == "holdout, farthest out (private 2): at least"
