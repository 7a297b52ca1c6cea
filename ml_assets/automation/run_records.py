"""What Dagster has kept of runs and materializations, for commands that only look.

A home's Dagster keeps its records in SQLite; those files are read as they are, as Dagster takes longer to import than
all else that is looked at. Where ``dagster.yaml`` names another storage, Dagster reads it.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import yaml

from ml_assets.automation.asset_events import CheckResult, Columns, check_metadata, column_lineage
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

    def check_results(self, key: Sequence[str], names: Sequence[str]) -> list[CheckResult]:
        """Return the newest result of each named check on each partition of an asset; what was observed may be left
        out."""
        ...

    def checks_of(self, key: Sequence[str], names: Sequence[str], partition: str | None) -> list[CheckResult]:
        """Return the newest result of each named check on one partition, with what was observed."""
        ...

    def lineage(self, key: Sequence[str]) -> Columns:
        """Return of which columns an asset's columns are made, as its last materialization recorded it."""
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
        rows = self._ask(
            "runs/index.db",
            "SELECT MAX(event_logs.timestamp) FROM event_logs LEFT JOIN asset_keys USING (asset_key) "
            "WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION' "
            "AND (wipe_timestamp IS NULL OR event_logs.timestamp > wipe_timestamp)",
            _text(key),
        )
        last = rows[0][0] if rows else None
        return None if last is None else datetime.fromisoformat(last).replace(tzinfo=UTC)

    def run_statuses(self, tag: str, value: str) -> list[str]:
        rows = self._ask(
            "runs.db", "SELECT status FROM runs JOIN run_tags USING (run_id) WHERE key = ? AND value = ?", tag, value
        )
        return [status for (status,) in rows]

    def check_results(self, key: Sequence[str], names: Sequence[str]) -> list[CheckResult]:
        sql = f"SELECT {_CHECKS} GROUP BY check_name, partition"
        rows = self._ask("runs/index.db", sql, _text(key))
        return [_check(row[:4], None) for row in rows if row[0] in names]

    def checks_of(self, key: Sequence[str], names: Sequence[str], partition: str | None) -> list[CheckResult]:
        sql = f"SELECT evaluation_event, {_CHECKS} AND partition IS ? GROUP BY check_name"
        rows = self._ask("runs/index.db", sql, _text(key), partition)
        return [_check(row[1:5], json.loads(row[0])) for row in rows if row[1] in names]

    def lineage(self, key: Sequence[str]) -> Columns:
        sql = "SELECT last_materialization FROM asset_keys WHERE asset_key = ? AND last_materialization IS NOT NULL"
        rows = self._ask("runs/index.db", sql, _text(key))
        return column_lineage(json.loads(rows[0][0])) if rows else {}

    def _ask(self, file: str, sql: str, *values: str | None) -> list[tuple]:
        path = self.history / file
        if not path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as opened:
                return opened.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise RunRecordsUnreadable(f"Dagster's records {path} cannot be read: {error}") from error


_CHECKS = (
    # Of columns that are not grouped by, SQLite returns those of the row with the maximum.
    "check_name, partition, execution_status, MAX(evaluation_event_timestamp) "
    "FROM asset_check_executions WHERE asset_key = ? AND execution_status IN ('SUCCEEDED', 'FAILED') "
    "AND evaluation_event IS NOT NULL"
)


def _text(key: Sequence[str]) -> str:
    """Return an asset key as Dagster's tables have it."""
    return json.dumps(list(key))


def _check(row: Sequence[str], event: dict | None) -> CheckResult:
    name, partition, status, at = row
    moment, told = datetime.fromisoformat(at).replace(tzinfo=UTC), {} if event is None else check_metadata(event)
    return CheckResult(
        name, partition, status == "SUCCEEDED", moment, told.get("observed"), told.get("threshold"),
        told.get("evidence") or {},
    )  # fmt: skip
