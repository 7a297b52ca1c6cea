"""Guides whose blocks are files of a project, or lines of a notebook, executed as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ml_assets.commands.init.project import create_project

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"^```\w+ title=\"(.+?)\"\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_tests_of_the_guide_pass_in_a_new_project(tmp_path):
    project = tmp_path / "courier"
    create_project(project)
    files = FILE.findall((DOCS / "testing-your-declarations.md").read_text())
    for name, text in files:
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    tests = [name for name, _ in files if name.startswith("tests/")]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ML_ASSETS", "DAGSTER", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=project, env=kept, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    written = sum(text.count("def test_") for name, text in files if name in tests)
    assert f"{written} passed" in done.stdout, done.stdout + done.stderr
    assert written >= 7
