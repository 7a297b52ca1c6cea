"""Dagster's records, read by Dagster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ml_assets.automation.asset_events import CheckResult, Columns
from ml_assets.components.metadata.lineage import recorded_lineage

_MOST_RESULTS = 10_000
"""Of a check, looked through for the newest of each partition."""


@dataclass(frozen=True)
class InstanceRecords:
    """The records of an instance, whatever storage it is configured with."""

    instance: dg.DagsterInstance

    @classmethod
    def current(cls) -> "InstanceRecords":
        """Return the records of the instance that DAGSTER_HOME configures."""
        return cls(dg.DagsterInstance.get())

    def last_materialized(self, key: Sequence[str]) -> datetime | None:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(key))
        return None if event is None else datetime.fromtimestamp(event.timestamp, UTC)

    def run_statuses(self, tag: str, value: str) -> list[str]:
        return [run.status.value for run in self.instance.get_runs(dg.RunsFilter(tags={tag: value}))]

    def check_results(self, key: Sequence[str], names: Sequence[str]) -> list[CheckResult]:
        return list(self._newest(key, names))

    def checks_of(self, key: Sequence[str], names: Sequence[str], partition: str | None) -> list[CheckResult]:
        return [result for result in self._newest(key, names) if result.partition == partition]

    def lineage(self, key: Sequence[str]) -> Columns:
        return recorded_lineage(self.instance, "/".join(key))

    def _newest(self, key: Sequence[str], names: Sequence[str]) -> Iterator[CheckResult]:
        """Yield the newest result of each check on each partition."""
        for name in names:
            check, seen = dg.AssetCheckKey(dg.AssetKey(key), name), set()
            for record in self.instance.event_log_storage.get_asset_check_execution_history(check, _MOST_RESULTS):
                evaluated = None if record.event is None else record.evaluation
                if evaluated is not None and record.partition not in seen:
                    seen.add(record.partition)
                    at = datetime.fromtimestamp(record.event.timestamp, UTC)  # pyright: ignore[reportOptionalMemberAccess]
                    told: dict[str, Any] = {label: value.value for label, value in evaluated.metadata.items()}
                    yield CheckResult(
                        name, record.partition, evaluated.passed, at, told.get("observed"), told.get("threshold"),
                        told.get("evidence") or {},
                    )  # fmt: skip
