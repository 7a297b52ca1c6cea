"""The moment that a function looks from is a parameter: what it answers today it answers tomorrow."""

import ast
from pathlib import Path

import pytest

import ml_assets

PACKAGE = Path(ml_assets.__file__).parent
ALLOWED = {
    "cli.py": "a command is given now",
    "automation": "a sensor looks now",
    "commands": "a command is given now",
    "serving/http/app.py": "a request comes now",
    "registry/trackers/mlflow.py": "MLflow is told when a run began",
}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns"}


def clocks_read(source: str) -> list[int]:
    """Lines that ask a datetime, a date or the module `time` for the present moment."""
    if not any(f".{clock}" in source for clock in CLOCKS):
        return []
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    asked = [call.func for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS]
    return [of.lineno for of in asked if ast.unparse(of.value).split(".")[-1] in {"datetime", "date", "time"}]


@pytest.mark.parametrize(
    "text", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "time.time()", "time.time_ns()"]
)
def test_a_clock_is_seen(text):
    assert clocks_read(f"x = 1\ny = {text}") == [2]


@pytest.mark.parametrize("text", ["row.time()", "time.monotonic()", "time.sleep(1)", "self.now()"])
def test_what_is_no_clock_is_not(text):
    assert clocks_read(text) == []


def test_no_function_reads_the_wall_clock():
    files = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
    read = {name: clocks_read(path.read_text()) for name, path in files.items() if not name.startswith(tuple(ALLOWED))}
    assert {name: lines for name, lines in read.items() if lines} == {}
