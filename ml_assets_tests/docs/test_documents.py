"""What the documents beside the code name is there, and they name every extension point."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/glossary.md",
    "docs/your-own-model.md",
    "docs/predict-churn.md",
    "docs/forecast-demand.md",
    "docs/labels-that-come-late.md",
    "docs/model-cards.md",
    "docs/drift-between-files.md",
    "docs/from-python.md",
    "docs/worth.md",
    "docs/fairness.md",
    "docs/alerts.md",
    "docs/testing-your-declarations.md",
]
ARCHITECTURE = (PROJECT / "ARCHITECTURE.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_linked_is_there(document):
    folder = (PROJECT / document).parent
    linked = re.findall(r"\]\(([^)#\s]+)", (PROJECT / document).read_text())
    assert [path for path in linked if "://" not in path and not (folder / path).exists()] == []


def test_every_extension_point_is_described():
    sources = [path.read_text() for path in (PROJECT / "ml_assets").rglob("*.py")]
    opened = {
        group for text in sources for group in re.findall(r"Extensions(?:\[[^\n]*\])?\(\s*\"(ml_assets\.\w+)\"", text)
    }
    rows = re.findall(r"^\| ([a-z -]+) \| .* \| `(ml_assets\.\w+)` \|", ARCHITECTURE, flags=re.MULTILINE)
    assert {group for _, group in rows} == opened
    paragraphs = re.findall(r"^\*\*An? ([a-z -]+)\*\*", ARCHITECTURE, flags=re.MULTILINE)
    assert [noun for noun, _ in rows] == [noun for noun in paragraphs if noun in dict(rows)]


def test_every_package_has_its_place_in_the_layers():
    table = ARCHITECTURE.split("## Three layers")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", table))
    packages = {path.parent.name for path in (PROJECT / "ml_assets").glob("*/__init__.py")} - {"defs"}
    assert packages <= named


def test_a_commit_is_checked_like_a_push_by_programs_of_the_projects_own_environment():
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    entries = {hook["entry"].removesuffix(" --force-exclude") for hook in hooks[0]["hooks"]}
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}
    dry = subprocess.run(
        ["make", "--dry-run", "--always-make", "lint"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    commands = [part.removesuffix(" .") for line in dry.stdout.splitlines() for part in line.split(" && ")]
    checks = {command for command in commands if re.match(r"\.venv/bin/(ruff|lint-imports|basedpyright)", command)}
    assert entries == checks | {"make fast-tests"}
