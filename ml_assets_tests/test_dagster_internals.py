"""Private names of Dagster lie in one module, and are in the Dagster that is installed."""

import ast
from importlib import import_module
from pathlib import Path

import dagster
import pytest

import ml_assets
from ml_assets.dagster_internals import OVERRIDDEN, PRIVATE_NAMES, SEEN_IN

PACKAGE = Path(ml_assets.__file__).parent
BORDER = PACKAGE / "dagster_internals.py"
PRIVATE = ("dagster._", "dagster.components.")


def _moved(what: str, reason: str) -> str:
    return (
        f"Dagster {dagster.__version__} has no {what}, which was there in {SEEN_IN}. It was needed for this: {reason} "
        "Find what stands for it now, and mend ml_assets/dagster_internals.py"
    )


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_a_private_name_is_where_it_was(name):
    module, reason = PRIVATE_NAMES[name]
    try:
        there = hasattr(import_module(module), name)
    except ModuleNotFoundError:
        there = False
    assert there, _moved(f"{module}.{name}", reason)


@pytest.mark.parametrize("owner", OVERRIDDEN)
def test_what_is_overridden_is_still_a_member(owner):
    module, _, name = owner.partition(":")
    members, reason = OVERRIDDEN[owner]
    text = Path(import_module(module).__file__).read_text(encoding="utf-8")
    lacking = [member for member in members.split() if f" {member}(" not in text and f"self.{member}" not in text]
    assert not lacking, _moved(f"{name}.{', '.join(lacking)}", reason)


def test_every_private_name_has_a_reason():
    assert set(_imported(BORDER, (*PRIVATE, "dagster_shared."))) == set(PRIVATE_NAMES)


def test_no_other_module_imports_a_private_name():
    others = [path for path in sorted(PACKAGE.rglob("*.py")) if path != BORDER]
    assert {str(path.relative_to(PACKAGE)): names for path in others if (names := _imported(path))} == {}


def _imported(path: Path, private: tuple[str, ...] = PRIVATE) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(private):
            found += [one.name for one in node.names if one.name != "sqlite_event_log"]
        elif isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name.startswith(private)]
    return found
