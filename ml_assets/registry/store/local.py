"""Registered models from MLflow's own SQLite file, read without MLflow.

MLflow takes longer to import than all else that a command or a server does to find its champion. Only MLflow writes
into the file; of its tables these are read: ``registered_models``, ``registered_model_aliases``,
``registered_model_tags``, ``model_versions``, ``model_version_tags``, and ``tags``, those of runs. Another database,
and a server, are read through MLflow, which knows their addresses, credentials and schemas.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_assets.registry.records import RegisteredVersion

_WORKSPACE = "default"
_DELETED = "Deleted_Internal"  # MLflow keeps the row of a version that was deleted


class RegistryUnreadable(LookupError):
    """The file is there, and is no registry."""


@dataclass(frozen=True)
class LocalModel:
    """A registered model: its aliases, each with the version it points to, and its tags."""

    aliases: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class LocalStore:
    """The registry in an SQLite file that MLflow has made; nothing is kept between two looks."""

    path: Path

    def model(self, name: str) -> LocalModel | None:
        """Return a registered model; None if there is none of that name."""
        with self._open() as query:
            if not query("SELECT 1 FROM registered_models WHERE name = ? AND workspace = ?", name, _WORKSPACE):
                return None
            of_model = "WHERE name = ? AND workspace = ?"
            aliases = query(f"SELECT alias, version FROM registered_model_aliases {of_model}", name, _WORKSPACE)
            tags = query(f"SELECT key, value FROM registered_model_tags {of_model}", name, _WORKSPACE)
        return LocalModel({alias: str(version) for alias, version in aliases}, dict(tags))

    def version(self, name: str, version: str) -> RegisteredVersion | None:
        """Return a version of a model; None if there is none of that number."""
        return next((item for item in self.versions(name) if item.version == version), None)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Return every version of a model, the oldest first; empty if it is not registered."""
        with self._open() as query:
            of_model = "WHERE name = ? AND workspace = ?"
            rows = query(
                f"SELECT version, run_id, source FROM model_versions {of_model} AND current_stage <> ? "
                "ORDER BY version",
                name, _WORKSPACE, _DELETED,
            )  # fmt: skip
            aliases = query(f"SELECT version, alias FROM registered_model_aliases {of_model}", name, _WORKSPACE)
            tags = query(f"SELECT version, key, value FROM model_version_tags {of_model}", name, _WORKSPACE)
        return [
            RegisteredVersion(
                name=name,
                version=str(number),
                run_id=run_id or "",
                location=source,
                aliases=tuple(sorted(alias for of, alias in aliases if of == number)),
                tags={key: value for of, key, value in tags if of == number},
            )
            for number, run_id, source in rows
        ]

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Return the tags of a run; empty if there is none of that id."""
        with self._open() as query:
            return dict(query("SELECT key, value FROM tags WHERE run_uuid = ?", run_id))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as opened:
                # One transaction: what is read belongs together.
                opened.execute("BEGIN")
                yield lambda sql, *values: opened.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise RegistryUnreadable(
                f"the registry {self.path} cannot be read ({error}): put back a copy of it, or see ML_ASSETS_MLFLOW"
            ) from error
