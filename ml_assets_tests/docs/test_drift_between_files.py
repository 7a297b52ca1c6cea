"""The guide to drift between files: its quick start prints what it shows, and its tables name what there is."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml_assets.cli import app
from ml_assets.commands.files.reports import WRITERS
from ml_assets.comparing.drift.limits import DriftLimits
from ml_assets.comparing.drift.measure import METHODS
from ml_assets.sources.formats import READERS

PAGE = (Path(__file__).parents[2] / "docs/drift-between-files.md").read_text()


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The quick start's files and output."""
    monkeypatch.chdir(tmp_path)
    exec(block("python"), {})
    return CliRunner().invoke(app, block("sh").split()[1:], env={"COLUMNS": "80"})


def names(value, path=""):
    """The paths of all fields of a document, as the page writes them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        yield from names(value[0], f"{path}[]")
    elif isinstance(value, dict) and not path.endswith(("limits", "methods", "_columns")):
        for name, part in value.items():
            yield name
            yield from names(part, name)


def test_the_quick_start_prints_what_is_shown(started):
    assert started.exit_code == 0
    assert [line.rstrip() for line in started.output.splitlines()] == block("text").splitlines()
    document = json.loads(Path("reports/drift.json").read_text())
    described = set(re.findall(r"`([a-z_]+)`", PAGE[PAGE.index("## `drift.json`") :]))
    assert sorted(set(names(document)) - described - {"contract", "drift"}) == []


def test_every_method_limit_format_and_report_is_described():
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \|.*\| (\S+) \|$", PAGE, re.MULTILINE))
    limits = DriftLimits()
    shown = {name.replace("-", "_"): None if limit == "none" else float(limit) for name, limit in rows.items()}
    assert shown == {method: limits.of(method) for method in METHODS if method != "chi2"}
    of_files = [name for name in READERS.built_in_names() if not READERS.get(name).reads_queries]
    assert [name for name in of_files if f"`.{name}`" not in PAGE and name != "delta"] == []
    assert all(f"`{name}`" in PAGE for name in WRITERS)
