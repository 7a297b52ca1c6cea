"""When the partitions of a table were written, from the table's log."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltalake import DeltaTable

_TEXT = r"'(?:[^']|'')*'"
_CLAUSE = re.compile(
    rf'(?:"(?P<quoted>[^"]+)"|(?P<bare>\w+))\s*(?:=\s*(?P<one>{_TEXT})|IN\s*\((?P<many>{_TEXT}(?:\s*,\s*{_TEXT})*)\))'
)


@dataclass(frozen=True)
class Commit:
    """One version of a table, and when it was written."""

    version: int
    at: datetime


@dataclass(frozen=True)
class PartitionHistory:
    """The commits that wrote each partition, as far as the log goes back.

    Attributes:
        commits: value of the partition column -> the commits that replaced it by name, the oldest first.
        since: the first commit that the log still has; None for a table without any. Delta Lake removes what is older
            than a month.
    """

    commits: Mapping[str, tuple[Commit, ...]]
    since: Commit | None

    @property
    def whole(self) -> bool:
        """Whether the log goes back to the table's first version."""
        return self.since is None or self.since.version == 0


def read_partition_history(table: "DeltaTable", column: str) -> PartitionHistory:
    """Read which commits wrote which partitions.

    A commit that rewrites a table whole, such as for a new type of a column or to compact it, delivers nothing and
    counts for no partition; the first one counts for those that it wrote.
    """
    commits: dict[str, list[Commit]] = {}
    entries = sorted(table.history(), key=lambda entry: entry["version"])
    for entry in entries:
        commit = _commit(entry)
        for value in _written(table, entry, column):
            commits.setdefault(value, []).append(commit)
    since = _commit(entries[0]) if entries else None
    return PartitionHistory({value: tuple(own) for value, own in commits.items()}, since)


def _commit(entry: Mapping[str, Any]) -> Commit:
    return Commit(entry["version"], datetime.fromtimestamp(entry["timestamp"] / 1000, UTC))


def _written(table: "DeltaTable", entry: Mapping[str, Any], column: str) -> list[str]:
    predicate = (entry.get("operationParameters") or {}).get("predicate")
    if predicate:
        return list(dict.fromkeys(_values(predicate, column)))
    if entry["version"] == 0:
        from deltalake import DeltaTable

        return sorted({partition[column] for partition in DeltaTable(table.table_uri, version=0).partitions()})
    return []


def _values(predicate: str, column: str) -> Iterator[str]:
    """Yield the values that a predicate names of a column, such as those of ``"_drop" IN ('2024-01', '2024-02')``."""
    for clause in _CLAUSE.finditer(predicate):
        if (clause["quoted"] or clause["bare"]) == column:
            for text in re.findall(_TEXT, clause["one"] or clause["many"]):
                yield text[1:-1].replace("''", "'")
