"""Dagster's records of a home, as pages read them."""

from collections.abc import Mapping, Sequence

from ml_assets.automation.asset_events import CheckResult, Columns
from ml_assets.automation.run_records import RunRecords, open_run_records
from ml_assets.console.stores import Stores


class AssetRecords:
    """What Dagster recorded of assets; nothing where a project has no home.

    Args:
        records: of the home; None for none.
    """

    def __init__(self, records: RunRecords | None) -> None:
        self._records = records

    def check_results(self, key: Sequence[str], names: Sequence[str]) -> list[CheckResult]:
        """Return the newest result of each named check on each partition of an asset."""
        return [] if self._records is None else self._records.check_results(key, names)

    def checks_of(self, key: Sequence[str], names: Sequence[str], partition: str | None) -> list[CheckResult]:
        """Return the newest result of each named check on one partition, with what was observed."""
        return [] if self._records is None else self._records.checks_of(key, names, partition)

    def lineage(self, key: Sequence[str]) -> Columns:
        """Return of which columns an asset's columns are made, as its last materialization recorded it."""
        nothing: Mapping[str, Sequence[tuple[str, str]]] = {}
        return nothing if self._records is None else self._records.lineage(key)


def records_of(stores: Stores) -> AssetRecords:
    """Return Dagster's records of the home that pages read."""
    return AssetRecords(None if stores.home is None else open_run_records(stores.home))
