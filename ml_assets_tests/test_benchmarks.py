"""The benchmarks, which no test runs, still name what the platform has."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_a_benchmark_imports_of_the_platform_is_there(script):
    imports = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    named = [(one.module, alias.name) for one in imports if one.module.startswith("ml_assets") for alias in one.names]
    missing = [f"{module}.{name}" for module, name in named if not _is_there(module, name)]
    assert missing == []


def _is_there(module, name):
    """Whether a module has the name, or is a package with such a module."""
    loaded = importlib.import_module(module)
    return hasattr(loaded, name) or (
        hasattr(loaded, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
    )
