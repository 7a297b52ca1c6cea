"""The tables of a model, with the versions that they had."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ml_assets.lake import Lake
from ml_assets.lake.tables import TableUnreadable

_MOST_VERSIONS = 3


@dataclass(frozen=True)
class Tables:
    """Tables by asset key.

    Attributes:
        scan: reads the newest version of a table.
    """

    lake: Lake
    scan: Callable[[str], pl.LazyFrame]

    def earlier(self, key: str) -> list[tuple[int, pl.LazyFrame]]:
        """Return up to three earlier versions of a table that can still be read, evenly from the first on."""
        if not self.lake.exists(key):
            return []
        newest = self.lake.version(key)
        step = max(newest / _MOST_VERSIONS, 1.0)
        wanted = dict.fromkeys(int(at * step) for at in range(_MOST_VERSIONS) if int(at * step) < newest)
        return [(version, frame) for version in wanted if (frame := self._readable(key, version)) is not None]

    def _readable(self, key: str, version: int) -> pl.LazyFrame | None:
        """Read a version unless its files were removed, as compaction does after a week."""
        try:
            frame = self.lake.scan(key, version)
            frame.head(1).collect()
        except (TableUnreadable, FileNotFoundError):
            return None
        return frame
