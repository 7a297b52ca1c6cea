"""What can be declared is explained by the program itself, field by field."""

import pytest
import yaml
from typer.testing import CliRunner

from ml_assets import cli
from ml_assets.declarations.problems import fields_of
from ml_assets.declarations.specs import SPECS


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["fields", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_field_of_a_type_is_explained(name):
    text = shown(name)
    assert shown(f"ml_assets.{name}") == text
    declared = yaml.safe_load(text)
    assert declared["type"] == f"ml_assets.{name}"
    fields = fields_of(SPECS[name])
    required = {field for field, about in fields.items() if about.is_required()}
    assert set(declared["attributes"]) == required
    lines = [line.strip().lstrip("#") for line in text.splitlines()]
    assert [field for field in fields if not any(line.startswith(f"{field}:") for line in lines)] == []
    said = " ".join(" ".join(line.lstrip("# ") for line in text.splitlines()).split())
    assert [field for field, about in fields.items() if " ".join((about.description or "").split()) not in said] == []


def test_without_a_type_all_are_listed_with_what_they_are():
    lines = shown().splitlines()
    assert [line.split()[0] for line in lines] == sorted(SPECS)
    assert "What comes of each row of a spine within a window after it." in "\n".join(lines)


def test_a_type_that_there_is_not_is_answered_by_those_there_are():
    done = CliRunner().invoke(cli.app, ["fields", "Outcomes"])
    assert done.exit_code == 2
    assert "there is no type Outcomes; there are DbtTables, FeatureView, MLModel, Outcome, Source, Spine" in done.stderr
