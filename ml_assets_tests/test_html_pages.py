"""Markup and styles lie in files of their own kind, not in Python."""

from pathlib import Path

import ml_assets

PACKAGE = Path(ml_assets.__file__).parent
MARKUP = ("<!doctype html", "<html", "</style>")


def test_no_module_holds_a_page():
    holding = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(mark in path.read_text(encoding="utf-8").lower() for mark in MARKUP)
    ]
    assert holding == []
