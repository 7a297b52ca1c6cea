"""A use case that ships with the platform, copied into a project of its own."""

import shutil
from pathlib import Path

from ml_assets.code_version import PACKAGE

SHIPPED = PACKAGE / "defs"
SQL = PACKAGE / "dbt_project"
TEXTS = {".py", ".yaml"}
"""Endings of the files that name modules of the use case; what else it holds, such as data, is copied as it is."""


def examples() -> list[str]:
    """Return the names of the use cases that ship."""
    return sorted(path.name for path in SHIPPED.iterdir() if any(path.rglob("defs.yaml")))


def copy_example(example: str, folder: Path) -> list[Path]:
    """Copy a shipped use case, and the dbt project where it declares SQL tables; return the files written."""
    declared = folder / folder.resolve().name / "defs" / example
    written = _copy(SHIPPED / example, declared)
    texts = [file for file in written if file.suffix in TEXTS]
    for file in texts:
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("ml_assets.defs.", f"{folder.resolve().name}.defs."), encoding="utf-8")
    if any("ml_assets.DbtTables" in file.read_text(encoding="utf-8") for file in texts):
        written += _copy(SQL, folder / SQL.name)
    return written


def _copy(source: Path, target: Path) -> list[Path]:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "target", "logs", ".*"))
    return sorted(path for path in target.rglob("*") if path.is_file())
