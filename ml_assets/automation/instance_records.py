"""Dagster's records, read by Dagster."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg


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
