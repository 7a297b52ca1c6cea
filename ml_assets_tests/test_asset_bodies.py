"""The shell is thin: what Dagster calls says what to compute and what to show, and computes nothing itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ml_assets

PACKAGE = Path(ml_assets.__file__).parent
CALLED_BY_DAGSTER = {
    "asset",
    "multi_asset",
    "asset_check",
    "multi_asset_check",
    "graph_asset",
    "op",
    "observable_source_asset",
}
LINES = 25
"""Of a body, without its docstring."""


def test_bodies_of_assets_checks_and_ops_are_short():
    measured = dict(_bodies())
    assert len(measured) > 10
    assert {name: lines for name, lines in measured.items() if lines > LINES} == {}


def _bodies() -> Iterator[tuple[str, int]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(map(_is_dagsters, node.decorator_list)):
                statements = node.body[ast.get_docstring(node) is not None :]
                yield f"{path.relative_to(PACKAGE)}:{node.name}", statements[-1].end_lineno - statements[0].lineno + 1


def _is_dagsters(decorator: ast.expr) -> bool:
    made_by = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(made_by, ast.Attribute) and made_by.attr in CALLED_BY_DAGSTER
