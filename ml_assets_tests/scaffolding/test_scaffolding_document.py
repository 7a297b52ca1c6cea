"""YAML that is written is read back as what it was written from."""

from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, Field

import ml_assets
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.scaffolding.document import render_document
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.spec import SourceSpec


class Inner(BaseModel):
    least: float = Field(default=0.5, description="The least.")
    choices: list[str] | None = Field(default=None, description="What to choose from.")


class Outer(BaseModel):
    name: str = Field(description="A name.")
    mode: Literal["fast", "slow"] = Field(default="fast", description="How.")
    inner: Inner = Field(default_factory=Inner, description="More.")
    more: dict[str, Inner] = Field(default_factory=dict, description="By name.")


def uncommented(text):
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))


def test_what_is_given_stands_and_the_rest_is_commented_out_with_its_default():
    text = render_document("shop.Outer", Outer, {"name": "a", "inner": {"least": 1.0}}, {"inner.least": "Seen: 1."})
    assert text.splitlines() == [
        "type: shop.Outer",
        "attributes:",
        "  # A name. Required.",
        "  name: a",
        "  # How. One of: fast, slow.",
        "  #mode: fast",
        "  # More.",
        "  inner:",
        "    # The least.",
        "    # Seen: 1.",
        "    least: 1.0",
        "    # What to choose from.",
        "    #choices: null",
        "  # By name.",
        "  #more:",
        "  #  name:",
        "  #    # The least.",
        "  #    least: 0.5",
        "  #    # What to choose from.",
        "  #    choices: null",
    ]
    assert yaml.safe_load(text) == yaml.safe_load(uncommented(text))


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "null",
        "1",
        "1e3",
        "2024-01-01",
        "a: b",
        "# no",
        "it's",
        'say "so"',
        " led",
        "trailing ",
        "",
        "é",
        "- x",
        "*",
        "!x",
        "%a",
        "{b}",
        "a, b",
    ],
)
def test_any_text_is_read_back_as_that_text(value):
    values = {"name": value, "more": {value or "x": {"choices": [value, "plain"]}}}
    text = render_document("shop.Outer", Outer, values)
    assert yaml.safe_load(text)["attributes"] == values


@pytest.mark.parametrize("number", [0.5, 1e-7, 1e22, 3, -2.0, True, None])
def test_any_number_is_read_back_as_that_number(number):
    text = render_document("shop.Outer", Outer, {"name": "a", "inner": {"least": number}})
    found = yaml.safe_load(text)["attributes"]["inner"]["least"]
    assert (found, type(found)) == (number, type(number))


SHIPPED = {
    SourceSpec: {
        "name": "orders",
        "description": "One row per order: all of them.",
        "where": {"path": "../orders.csv"},
        "null_values": ["NA", "-"],
        "drops": {"grain": "monthly", "column": "at", "start": "2024-01"},
        "contract": "shop.contract:Orders",
        "key_columns": ["id"],
        "max_bad_share": 0.001,
    },
    FeatureViewSpec: {
        "name": "history",
        "description": "Before.",
        "entity": ["customer"],
        "table": "orders/validated",
        "known_at": "at",
        "windows": ["7d"],
        "aggregates": {
            "spent": {"of": 'CAST("the price" AS DOUBLE)', "functions": ["mean", "max"]},
            "orders": {"functions": ["count"]},
        },
    },
}


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.__name__)
def test_a_declaration_that_is_read_back_is_the_same(spec):
    values = SHIPPED[spec]
    text = render_document("ml_assets.X", spec, values)
    assert spec(**yaml.safe_load(text)["attributes"]) == spec(**values)


@pytest.mark.parametrize("component", ["Source", "Spine", "FeatureView", "MLModel"])
def test_every_field_of_a_component_is_explained(component):
    unexplained = []

    def look(model, path):
        for name, field in model.model_fields.items():
            if not field.description:
                unexplained.append(f"{path}{name}")
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                look(field.annotation, f"{path}{name}.")

    look(getattr(ml_assets, component), "")
    assert unexplained == []


@pytest.mark.parametrize(
    ("values", "why"),
    [({}, "name: nothing to write into this required field"), ({"name": "a", "nam": 1}, "Outer has no field nam")],
)
def test_what_cannot_be_written_is_an_error(values, why):
    with pytest.raises(ScaffoldError, match=why):
        render_document("shop.Outer", Outer, values)
