"""What the guide "What a decision is worth" declares and names is there."""

import re
from pathlib import Path

import yaml

from ml_assets.training.spec import ModelSpec
from ml_assets.training.tasks import find_task

GUIDE = (Path(__file__).parents[2] / "docs" / "worth.md").read_text()


def declared() -> dict:
    block = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1]
    return yaml.safe_load(block)["attributes"]


def test_the_declaration_is_taken():
    rest = {
        "description": "Which payments are fraud.",
        "spine": {"table": "payments", "key": ["payment"], "time": "at"},
        "label": {"column": "fraud", "known_at": "known_at"},
        "features": ["payments"],
    }
    spec = ModelSpec.model_validate(declared() | rest)
    assert spec.row_columns == ["amount_saved", "amount_lost", "customer_id"]
    assert spec.watched_metric == spec.promotion.metric == "value"


def test_every_metric_that_is_named_can_be_measured():
    named = set(re.findall(r"`((?:precision|recall|lift)_at_\w+|value|\w*calibration_error|average_precision)`", GUIDE))
    assert len(named) == 9
    assert all(name in find_task("binary").metrics for name in named)


def test_every_field_that_is_named_is_one():
    parts = {"evaluation", "training", "split", "promotion"}
    named = re.findall(rf"`({'|'.join(parts)})\.(\w+)", GUIDE)
    fields = ModelSpec.model_fields
    assert len(named) > 10
    assert [field for part, field in named if field not in fields[part].annotation.model_fields] == []
