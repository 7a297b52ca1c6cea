"""What the pages on fairness and alerts declare is taken, from YAML as in Python."""

import re
from pathlib import Path

import pytest
import yaml

from ml_assets.alerts.evidence import ALERT_EVIDENCE
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.sources.source import Source
from ml_assets.fairness.rules import LIMITS

DOCS = Path(__file__).parents[2] / "docs"
ALERTS, FAIRNESS = ((DOCS / f"{name}.md").read_text() for name in ("alerts", "fairness"))
MODEL = {
    "name": "fraud",
    "description": "Which payments are fraud.",
    "spine": "payments",
    "label": {"column": "fraud", "known_at": "known_at"},
    "features": ["payment"],
    "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
}
SOURCE = {
    "name": "orders",
    "description": "Orders.",
    "where": {"path": "orders/{partition}.csv"},
    "drops": {"grain": "monthly", "start": "2024-01"},
    "contract": "shop.contracts:Orders",
    "key_columns": ["id"],
}
KINDS = {"ml_assets.MLModel": (MLModel, MODEL), "ml_assets.Source": (Source, SOURCE)}


def declared(page):
    (block,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    return [(each["type"], each["attributes"]) for each in yaml.safe_load_all(block)]


@pytest.mark.parametrize(("kind", "attributes"), [*declared(ALERTS), *declared(FAIRNESS)])
def test_what_a_page_declares_is_taken(kind, attributes):
    component, rest = KINDS[kind]
    made = component.resolve_from_yaml(yaml.safe_dump(rest | attributes))
    assert len(made.alerts) == len(attributes.get("alerts", ()))
    for name, value in attributes.get("fairness", {}).items():
        assert getattr(made.fairness, name) == value


def test_every_kind_of_evidence_and_every_limit_is_described():
    assert [name for name in ALERT_EVIDENCE.built_in_names() if f"`{name}`" not in ALERTS] == []
    assert [name for name in LIMITS if f"`{name}`" not in FAIRNESS] == []
