"""The dbt project: where it lies, whether it changed, and its manifest."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ADAPTER_ENVIRONMENT = ("ML_ASSETS_LAKE", "ML_ASSETS_DBT_SCRATCH")
"""What the project's own YAML reads with ``env_var``."""


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
        """Changes whenever a file of the project or the lake's address does."""
        digest = hashlib.sha256(self.lake.encode())
        for path in sorted(p for p in self.folder.rglob("*") if p.suffix in {".sql", ".yml", ".csv"}):
            digest.update(str(path.relative_to(self.folder)).encode())
            digest.update(path.read_bytes())
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
        with _environment(ML_ASSETS_LAKE=self.lake, ML_ASSETS_DBT_SCRATCH=str(scratch)):
            outcome = dbtRunner(manifest=manifest).invoke(command)
        if outcome.exception is not None:
            raise DbtFailed(f"dbt {arguments[0]} in {self.folder}: {outcome.exception}") from outcome.exception
        return outcome.result

    def manifest(self) -> Any:
        """dbt's parsed manifest, once per process and state of the files."""
        return _parsed(self, self.fingerprint())


@lru_cache(maxsize=4)
def _parsed(project: DbtProject, fingerprint: str) -> Any:  # noqa: ARG001 - part of the cache key
    return project.invoke(["parse"], scratch=project.state)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Variables for the time of a dbt command: what reads the environment later must not find them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
