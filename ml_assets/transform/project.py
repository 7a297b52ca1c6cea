"""The dbt project: where it lies, whether it changed, and its manifest."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml_assets.environment import declared_variable, handed_down

_GIVEN = {"ML_ASSETS_LAKE", "ML_ASSETS_DBT_SCRATCH"}
"""Variables that every invocation sets itself."""

_MADE = {"target", "logs", "__pycache__"}
"""Folders that dbt and Python write beside the project's own files."""

_ENV_VAR = re.compile(rb"""env_var\(\s*['"](\w+)['"]""")


class DbtFailed(RuntimeError):
    """dbt could not parse or build; the message holds dbt's own words."""


@dataclass(frozen=True)
class DbtProject:
    """A dbt project over the tables of one lake.

    Args:
        folder: the project's folder, with its ``profiles.yml``.
        state: where dbt may keep its parsed manifest between processes.
        lake: root of the lake that the project's sources lie in.
    """

    folder: Path
    state: Path
    lake: str

    def fingerprint(self) -> str:
        """Return a digest that changes whenever something does that decides the manifest.

        That is every file of the project (SQL and Python models, macros, seeds, YAML, packages, doc blocks), every
        environment variable that one of them reads, the lake's address and the version of dbt.
        """
        digest, named = hashlib.sha256(f"{self.lake}\n{version('dbt-core')}".encode()), set()
        for path in project_files(self.folder):
            content = path.read_bytes()
            named.update(name.decode() for name in _ENV_VAR.findall(content))
            digest.update(f"{path.relative_to(self.folder)} {len(content)}\n".encode())
            digest.update(content)
        for name in sorted(named - _GIVEN):
            digest.update(f"{name}={declared_variable(name)!r}\n".encode())
        return digest.hexdigest()[:16]

    def invoke(self, arguments: list[str], scratch: Path, manifest: Any = None) -> Any:
        """Run one dbt command in this process; returns dbt's own result object.

        Compiled SQL and logs go to ``scratch``, so two invocations at once do not meet.

        In process a build of a small project takes a tenth of the time that the command line needs,
        which is spent on imports and parsing.

        Raises:
            DbtFailed: dbt raised (a failing model or test does not: look into the result).
        """
        from dbt.cli.main import dbtRunner

        command = [
            *arguments,
            *("--project-dir", str(self.folder), "--profiles-dir", str(self.folder)),
            *("--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs")),
            *("--no-send-anonymous-usage-stats", "--quiet", "--log-level", "none"),
        ]
        with handed_down(ML_ASSETS_LAKE=self.lake, ML_ASSETS_DBT_SCRATCH=str(scratch)), _own_database():
            outcome = dbtRunner(manifest=manifest).invoke(command)
        if outcome.exception is not None:
            raise DbtFailed(f"dbt {arguments[0]} in {self.folder}: {outcome.exception}") from outcome.exception
        return outcome.result

    def manifest(self) -> Any:
        """Return dbt's parsed manifest, once per process and state of the files."""
        return _parsed(self, self.fingerprint())


@contextmanager
def _own_database() -> Iterator[None]:
    """Let go of DuckDB afterwards: dbt-duckdb 1.11 keeps it for the process, and while there is one, parsing reads
    the source's tables, also of another lake that has none yet."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    try:
        yield
    finally:
        DuckDBConnectionManager.close_all_connections()


def project_files(folder: Path) -> list[Path]:
    """Return the files of a dbt project in order, without what is made from them, hidden files and notes."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and _decides(path.relative_to(folder)))


def _decides(path: Path) -> bool:
    hidden_or_made = any(part.startswith(".") or part in _MADE for part in path.parts)
    note = len(path.parts) == 1 and path.suffix in {".md", ".txt", ""}
    return not hidden_or_made and not note


@lru_cache(maxsize=4)
def _parsed(project: DbtProject, fingerprint: str) -> Any:  # noqa: ARG001 - part of the cache key
    return project.invoke(["parse"], scratch=project.state)
