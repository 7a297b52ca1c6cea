"""``drift`` and ``test`` on files: what they print, write and exit with, in a folder where there is no project."""

import json
import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from ml_assets.cli import app

ROWS = pl.DataFrame({"x": [float(number % 10) for number in range(200)], "kind": ["a", "b"] * 100})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, bare_environment):  # noqa: ARG001
    monkeypatch.chdir(tmp_path)
    ROWS.write_csv("before.csv")
    ROWS.write_parquet("same.parquet")
    ROWS.with_columns(x=pl.col("x") + 5).write_ndjson("moved.ndjson")
    return tmp_path


def called(*words):
    done = CliRunner().invoke(app, words, env={"COLUMNS": "120"})
    return done.exit_code, done.stdout, done.stderr


def sides(current, reference="before.csv"):
    return "--reference", reference, "--current", current


@pytest.mark.parametrize(
    ("command", "current", "status"),
    [("test", "same.parquet", 0), ("test", "moved.ndjson", 1), ("drift", "moved.ndjson", 0)],
)
def test_only_test_fails_where_something_has_changed(command, current, status):
    code, shown, wrong = called(command, *sides(current))
    assert (code, wrong) == (status, "")
    assert ("✓ passed no drift in 2 columns" in shown) == (current == "same.parquet")
    assert ("x        drifted" in shown) == (current != "same.parquet")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (sides("none.csv"), 2, "--current none.csv: there is no such file or folder"),
        (sides("empty.csv"), 1, "--current empty.csv: there is no row"),
        ((*sides("same.parquet"), "--columns", "y"), 2, "--columns y: neither side has such a column"),
        ((*sides("same.parquet"), "--exclude", "x", "--exclude", "kind"), 2, "no column is left to compare"),
        ((*sides("same.parquet"), "--format", "html"), 2, "--format html: give the folder to write it to by --output"),
        (
            (*sides("same.parquet"), "--format", "pdf", "--output", "out"),
            2,
            "there is no such report; choose from html",
        ),
        ((*sides("same.parquet"), "--output", "before.csv"), 2, "--output before.csv: is a file"),
        ((*sides("same.parquet"), "--psi", "0"), 2, "--psi 0: a limit must be above 0"),
        ((*sides("same.parquet"), "--false-alarms", "1"), 2, "--false-alarms 1: give a share above 0 and below 1"),
        ((*sides("same.parquet"), "--tolerance", "2"), 2, "--tolerance 2: give a share"),
        (sides("other.csv"), 2, "no column in common: the reference has kind, x; the current rows have y"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(words, status, message):
    with open("empty.csv", "w"):
        pass
    pl.DataFrame({"y": [1, 2]}).write_csv("other.csv")
    code, shown, wrong = called("test", *words)
    assert (code, shown) == (status, "")
    assert message in wrong
    assert wrong.count("\n") == 1


def test_evidently_is_asked_for_before_anything_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "evidently", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)  # noqa: ARG005
    code, _, wrong = called("drift", *sides("none.csv"), "--output", "out", "--format", "evidently")
    assert code == 2
    assert "the package is not installed: `pip install 'ml_assets[evidently]'`" in wrong


def test_reports_are_written_and_named(folder):
    code, shown, _ = called(
        "drift", *sides("moved.ndjson"), "--output", "a/b", "--format", "json", "--format", "markdown"
    )
    assert code == 0
    assert sorted(path.name for path in (folder / "a/b").iterdir()) == ["drift.json", "drift.md"]
    assert shown.splitlines()[-2:] == ["  a/b/drift.json", "  a/b/drift.md"]
    called("drift", *sides("moved.ndjson"), "--output", "c")
    assert sorted(path.name for path in (folder / "c").iterdir()) == ["drift.html", "drift.json"]


def test_json_is_the_document_alone(folder):
    code, shown, _ = called("drift", *sides("moved.ndjson"), "--json", "--output", "out")
    assert code == 0
    document = json.loads(shown)
    assert document["drift"]["drifted"] == ["x"]
    assert json.loads((folder / "out/drift.json").read_text()) == document


def test_neither_a_project_nor_a_heavy_library_is_needed(folder):
    code = """
import sys
from ml_assets.cli import app
app("drift --reference before.csv --current same.parquet --output out".split(), standalone_mode=False)
heavy = "dagster mlflow nannyml pandas matplotlib sklearn scipy.stats pandera lightgbm optuna".split()
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (folder / ".ml_assets").exists()
