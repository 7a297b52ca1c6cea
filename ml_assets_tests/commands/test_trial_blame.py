"""What only shows when a model is tried is said with the file and line of its declaration."""

import pytest

from ml_assets.commands.experiment.blame import blame_declaration
from ml_assets.declarations.problems import DeclarationError
from ml_assets.features.errors import FeatureError
from ml_assets.project import load_project
from ml_assets.sources.errors import DeliveryFault, SourceError

MONTHS = {"grain": "monthly", "start": "2024-01", "end": "2024-07"}
DROPS = MONTHS | {"column": "placed_at"}
DECLARED = [
    {
        "type": "ml_assets.Source",
        "attributes": {
            "name": "orders", "description": "Orders.", "where": {"path": "orders.csv"}, "drops": DROPS,
            "contract": "CONTRACTS:Orders", "key_columns": ["id"],
        },
    },
    {
        "type": "ml_assets.Spine",
        "attributes": {
            "name": "orders", "table": "orders/validated", "key": ["id"], "time": "placed_at", "partition": "_drop",
            "drops": MONTHS,
        },
    },
    {
        "type": "ml_assets.FeatureView",
        "attributes": {
            "name": "order", "description": "Order.", "spine": "orders", "entity": ["id"],
            "request": {"amount": "amount"},
        },
    },
    {
        "type": "ml_assets.MLModel",
        "attributes": {
            "description": "Returns.", "name": "returns", "spine": "orders", "features": ["order"],
            "label": {"column": "returned", "known_at": "settled_at"},
            "split": {"gap": "2d", "holdout": "14d", "validation": "14d"},
        },
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(make_project):
    return make_project(*DECLARED).folder


@pytest.fixture(scope="module")
def definitions(folder):
    return load_project(next(folder.glob("made_up_shop_*")))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("split.gap: 2d is shorter than labels take"), "gap: 2d"),
        (ValueError("validation has labels [0, 1, 2] in column returned: a binary label is 0 or 1"), "attributes:"),
        (FeatureError("feature since is Datetime: a model takes numbers, truths and texts"), "attributes:"),
    ],
)
def test_a_mistake_in_what_is_declared_is_placed(folder, definitions, error, line):
    with pytest.raises(DeclarationError) as placed, blame_declaration(definitions, "returns"):
        raise error
    text = next(folder.rglob("defs.yaml")).read_text().splitlines()
    file, number, message = str(placed.value).split(":", 2)
    assert file.endswith("defs/shop/defs.yaml")
    assert text[int(number) - 1].strip().startswith(line)
    assert message.strip() == str(error)


def test_what_is_wrong_with_the_data_passes_as_it_is(definitions):
    fault = DeliveryFault("missing file", "nothing is there", "deliver it")
    with pytest.raises(SourceError, match="nothing is there"), blame_declaration(definitions, "returns"):
        raise SourceError("orders", "2024-01", fault)
