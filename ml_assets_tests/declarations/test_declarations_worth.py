"""What a model says of decisions, weights, directions and entities, held against the columns that there are."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from ml_assets.declarations.coherence.models import model_problems
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView
from ml_assets.scaffolding.model import LabelColumns, infer_model
from ml_assets.training.tasks import find_task

TABLE = "payments"
COLUMNS = ["id", "customer", "amount", "saved", "trust", "at", "known_at", "fraud", "_drop"]
SPINE = DeclaredSpine.model_validate(
    {
        "name": "payments", "table": TABLE, "key": ["id"], "time": "at", "partition": "_drop",
        "drops": {"grain": "monthly", "start": "2024-01"},
    }
)  # fmt: skip
VIEW = DeclaredView.model_validate(
    {"name": "payment", "description": "It.", "spine": "payments", "entity": ["id"], "request": {"price": "amount"}}
)
NEAREST = "sklearn:sklearn.neighbors.KNeighborsClassifier"
PAYOFF = {"true_positive": "saved", "false_positive": -5, "false_negative": -80}


def problems(**changes) -> list[str]:
    model = DeclaredModel.model_validate(
        {
            "name": "fraud",
            "description": "Which payments are fraud.",
            "spine": "payments",
            "label": {"column": "fraud", "known_at": "known_at"},
            "features": ["payment"],
            "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
            **changes,
        }
    )
    tables = DeclaredTables([PlacedDeclaration(each, "shop") for each in (SPINE, VIEW, model)], {TABLE: COLUMNS})
    return list(model_problems(tables, model))


@pytest.mark.parametrize(
    "changes",
    [
        {"payoff": PAYOFF},
        {"payoff": PAYOFF | {"false_negative": "price"}},  # a feature
        {"training": {"weight": "trust", "half_life": "30d", "monotone": {"price": "increasing"}}},
        {"split": {"validation": "14d", "holdout": "14d", "gap": "1d", "group": ["customer"]}},
        {"monitoring": {"floors": {"value": 1.0, "recall_at_5pct": 0.2}}, "payoff": PAYOFF},
    ],
)
def test_columns_of_the_row_and_features_are_taken(changes):
    assert problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"payoff": PAYOFF | {"true_positive": "gain"}}, "payoff: payments of spine payments has no column 'gain'"),
        ({"training": {"weight": "w"}}, "training.weight: payments of spine payments has no column 'w'"),
        (
            {"split": {"validation": "14d", "holdout": "14d", "gap": "1d", "group": ["client"]}},
            "split.group: payments of spine payments has no column 'client'",
        ),
        ({"training": {"monotone": {"age": "increasing"}}}, "training.monotone: age is no feature; there are price"),
        ({"monitoring": {"floors": {"value": 1.0}}}, "monitoring.floors: value needs payoffs: declare `payoff`"),
        (
            {"kind": NEAREST, "training": {"half_life": "30d"}, "search": {"space": {"n_neighbors": {"choices": [5]}}}},
            "takes no weights of rows",
        ),
    ],
)
def test_what_is_not_there_or_cannot_be_is_a_problem_of_its_field(changes, problem):
    (only,) = problems(**changes)
    assert problem in only


@pytest.mark.parametrize(
    ("labels", "metric"),
    [
        ([True] + [False] * 99, "average_precision"),
        ([1] + [0] * 99, "average_precision"),
        ([True] * 10 + [False] * 90, None),
        ([False] * 100, None),
    ],
)
def test_a_new_model_goes_by_the_positives_where_they_are_rare(labels, metric):
    assert find_task("binary").suggest_metric(pl.Series(labels)) == metric
    start = datetime(2024, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(days=day) for day in range(len(labels))]
    history = pl.DataFrame({"at": moments, "fraud": labels, "known_at": moments})
    new = infer_model("fraud", SPINE, LabelColumns(None, "fraud", "known_at"), ["payment"], "binary", history)
    assert new.values.get("metric") == metric
    assert ("metric" in new.notes) == (metric is not None)
