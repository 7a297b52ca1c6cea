"""What Dagster has kept of runs and materializations, for commands that only look.

A home's Dagster keeps its records in SQLite; those files are read as they are, as Dagster takes longer to import than
all else that is looked at. Where ``dagster.yaml`` names another storage, Dagster reads it.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import yaml

from ml_assets.home import Home

SUCCEEDED = "SUCCESS"
FINISHED = (SUCCEEDED, "FAILURE", "CANCELED")

_OWN_STORAGE = ("storage", "run_storage")


class RunRecordsUnreadable(LookupError):
    """A file of Dagster's is there, and holds no records."""


class RunRecords(Protocol):
    """Dagster's records."""

    def last_materialized(self, key: Sequence[str]) -> datetime | None:
        """Return when an asset was materialized last; None if it never was."""
        ...

    def run_statuses(self, tag: str, value: str) -> list[str]:
        """Return the status, such as ``SUCCESS``, of every run with a tag."""
        ...


def open_run_records(home: Home) -> RunRecords:
    """Open the records of a home's runs; there are none where nothing has run."""
    settings = home.dagster / "dagster.yaml"
    configured = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.exists() else None
    if any(name in (configured or {}) for name in _OWN_STORAGE):
        from ml_assets.automation.instance_records import InstanceRecords

        return InstanceRecords.current()
    return SqliteRecords(home.dagster / "history")


@dataclass(frozen=True)
class SqliteRecords:
    """The records in the files that Dagster's SQLite storage makes."""

    history: Path

    def last_materialized(self, key: Sequence[str]) -> datetime | None:
        text = '["' + '", "'.join(key) + '"]'
        rows = self._ask(
            "runs/index.db",
            "SELECT MAX(event_logs.timestamp) FROM event_logs LEFT JOIN asset_keys USING (asset_key) "
            "WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION' "
            "AND (wipe_timestamp IS NULL OR event_logs.timestamp > wipe_timestamp)",
            text,
        )
        last = rows[0][0] if rows else None
        return None if last is None else datetime.fromisoformat(last).replace(tzinfo=UTC)

    def run_statuses(self, tag: str, value: str) -> list[str]:
        rows = self._ask(
            "runs.db", "SELECT status FROM runs JOIN run_tags USING (run_id) WHERE key = ? AND value = ?", tag, value
        )
        return [status for (status,) in rows]

    def _ask(self, file: str, sql: str, *values: str) -> list[tuple]:
        path = self.history / file
        if not path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as opened:
                return opened.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise RunRecordsUnreadable(f"Dagster's records {path} cannot be read: {error}") from error
