"""A lake of a few frames in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from ml_assets.lake import Lake, TableMissing


@dataclass(frozen=True, eq=False)
class FramesLake(Lake):
    """Tables that are frames. Nothing is written, and each has one version, 0."""

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def exists(self, key: str) -> bool:
        return key in self.tables

    def version(self, key: str) -> int:
        self._frame(key)
        return 0

    def scan(self, key: str, version: int | None = None) -> pl.LazyFrame:
        if version:
            raise TableMissing(f"table {key!r} of a test has no version {version}: there is 0")
        return self._frame(key).lazy()

    def partitions(self, key: str, column: str) -> list[str]:
        return sorted(self.tables[key][column].unique()) if key in self.tables else []

    def rows_by(self, key: str, column: str) -> dict[str, int]:
        return dict(self.tables[key].group_by(column).len().sort(column).iter_rows()) if key in self.tables else {}

    def _frame(self, key: str) -> pl.DataFrame:
        if key not in self.tables:
            there = f"; given are {', '.join(sorted(self.tables))}" if self.tables else ""
            raise TableMissing(f"table {key!r} is not given: give its rows with given({key!r}, rows) first{there}")
        return self.tables[key]
