"""What a model requires of looked-up features, beside its views and other models: the line that each mistake gives."""

import pytest

from ml_assets.commands.serving.served import with_fallbacks
from ml_assets.declarations.coherence.requirements import requirement_problems
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import DeclaredModel, DeclaredSpine, DeclaredView

SPINE = DeclaredSpine(
    name="orders",
    table="orders",
    key=["order"],
    time="at",
    partition="day",
    drops={"grain": "daily", "start": "2024-01-01"},
)
VIEWS = [
    DeclaredView(
        name="habits", description="Looked up.", spine="orders", entity=["customer"], table="orders",
        known_at="settled_at", latest={"last": "amount"}, online={},
    ),
    DeclaredView(name="order", description="Given.", spine="orders", request={"price": "price"}),
    DeclaredView(name="place", description="Given.", spine="orders", request={"place": "place"}),
]  # fmt: skip


def model(name, *features, task="binary", **serving):
    return DeclaredModel.model_validate(
        {
            "name": name, "description": "It.", "spine": "orders", "features": features, "task": task,
            "label": {"column": "returned", "known_at": "settled_at"}, "serving": serving,
            "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
        }
    )  # fmt: skip


OTHERS = [model("plain", "order"), model("elsewhere", "order", "place"), model("amount", "order", task="regression")]


@pytest.mark.parametrize(
    ("features", "require", "task", "why"),
    [
        (["habits", "order"], {"views": ["habits"], "fallback": {"model": "plain"}}, "binary", ""),
        (["habits"], {"fallback": {"constant": 0.3}}, "binary", ""),
        (["habits"], {"fallback": {"constant": -2}}, "regression", ""),
        (["order"], {}, "binary", "require: the model looks no features up"),
        (
            ["habits", "order"],
            {"views": ["order"]},
            "binary",
            "views: ['order'] are none that the model",
        ),
        (["habits"], {"fallback": {"constant": 3}}, "binary", "fallback.constant: 3.0 is no probability"),
        (
            ["habits"],
            {"fallback": {"constant": 0.3}},
            "multiclass",
            "fallback.constant: one number is no probability",
        ),
        (
            ["habits"],
            {"fallback": {"model": "m"}},
            "binary",
            "fallback.model: 'm' is no other model; there are ['a",
        ),
        (["habits", "order"], {"fallback": {"model": "amount"}}, "binary", "the task of amount is regression and not"),
        (
            ["habits", "order"],
            {"fallback": {"model": "elsewhere"}},
            "binary",
            "elsewhere reads ['place'], which",
        ),
    ],
)
def test_each_contradiction_is_one_line(features, require, task, why):
    own = model("m", *features, task=task, require=require)
    tables = DeclaredTables([PlacedDeclaration(each, "shop") for each in [SPINE, *VIEWS, *OTHERS, own]], {})
    views = [tables.named(DeclaredView, name) for name in features]
    found = list(requirement_problems(tables, own, SPINE, views))
    if why:
        (line,) = found
        assert line.startswith("serving.require")
        assert why in line
    else:
        assert found == []


def test_what_a_model_falls_back_to_is_served_with_it():
    own = model("m", "habits", require={"fallback": {"model": "n"}})
    further = model("n", "habits", require={"fallback": {"model": "plain"}})
    project = DeclaredProject([("shop", each) for each in [own, further, *OTHERS]], [])
    assert with_fallbacks(project, ["m", "amount"]) == ["m", "amount", "n", "plain"]
    assert with_fallbacks(project, ["amount", "gone"]) == ["amount", "gone"]
