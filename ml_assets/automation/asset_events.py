"""What Dagster's events say of an asset, read from their JSON without Dagster: its checks, and lineage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Columns = Mapping[str, Sequence[tuple[str, str]]]
"""Column -> the asset key and the column of each that it is made of."""

LINEAGE = "dagster/column_lineage"


@dataclass(frozen=True)
class CheckResult:
    """The newest result of a check on a partition, or on the whole asset.

    Attributes:
        partition: None for a check of the whole asset.
        at: when it was measured, UTC.
        observed, threshold: as the check's metadata shows them; None where it names none.
        evidence: what explains the result, plain JSON values.
    """

    check: str
    partition: str | None
    passed: bool
    at: datetime
    observed: Any = None
    threshold: Any = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


def check_metadata(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a check evaluation's metadata, by name."""
    entries = event["dagster_event"]["event_specific_data"]["metadata"]
    return {name: next((entry[kind] for kind in ("value", "text", "data") if kind in entry), None)
            for name, entry in entries.items()}  # fmt: skip


def column_lineage(event: Mapping[str, Any]) -> Columns:
    """Return of which columns each column is made, as a materialization recorded it; empty where it recorded none."""
    return dict(_lineage(event.get("event_log_entry", event)))


def _lineage(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    materialization = entry["dagster_event"]["event_specific_data"]["materialization"]
    for metadata in materialization["metadata_entries"]:
        if metadata["label"] == LINEAGE:
            for column, made_of in metadata["entry_data"]["column_lineage"]["deps_by_column"].items():
                yield column, [("/".join(each["asset_key"]["path"]), each["column_name"]) for each in made_of]
