"""Dagster's storage: the one module of the console that loads Dagster, and reads what it recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from ml_assets.automation.asset_events import CheckResult, Columns
    from ml_assets.home import Home


def open_instance(home: "Home") -> "DagsterInstance | None":
    """Open the storage of a home's runs and events; None where nothing was run in it."""
    if not (home.dagster / "dagster.yaml").exists():
        return None
    from dagster import DagsterInstance

    return DagsterInstance.from_config(str(home.dagster))


class AssetRecords:
    """What Dagster recorded of assets, read from its files without loading it where they lie in a home's SQLite.

    Args:
        home: None for none: then nothing was recorded.
    """

    def __init__(self, home: "Home | None") -> None:
        from ml_assets.automation.run_records import open_run_records

        self._records = None if home is None else open_run_records(home)

    def check_results(self, key: Sequence[str], names: Sequence[str]) -> "list[CheckResult]":
        """Return the newest result of each named check on each partition of an asset."""
        return [] if self._records is None else self._records.check_results(key, names)

    def checks_of(self, key: Sequence[str], names: Sequence[str], partition: str | None) -> "list[CheckResult]":
        """Return the newest result of each named check on one partition, with what was observed."""
        return [] if self._records is None else self._records.checks_of(key, names, partition)

    def lineage(self, key: Sequence[str]) -> "Columns":
        """Return of which columns an asset's columns are made, as its last materialization recorded it."""
        nothing: Columns = {}
        return nothing if self._records is None else self._records.lineage(key)
