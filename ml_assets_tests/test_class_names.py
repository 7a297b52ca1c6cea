"""A class's name says which class is meant, wherever in the platform it is read."""

import ast
from collections import defaultdict
from pathlib import Path

import ml_assets

PACKAGE = Path(ml_assets.__file__).parent


def test_no_two_classes_share_a_name():
    defined = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "defs"):
            continue  # a use case names its contracts as it likes
        # Classes within classes, such as the Config of a Pandera model, are named by what reads them.
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef):
                defined[statement.name].append(f"{path.relative_to(PACKAGE)}:{statement.lineno}")
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}
