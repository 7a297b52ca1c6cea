"""A server's log of answers as tests open it: a spool in a folder, and tables in memory."""

from pathlib import Path

import polars as pl

from ml_assets.lake.commits import PositionMoved
from ml_assets.serving.log.draining import Draining
from ml_assets.serving.log.request_log import DAY
from ml_assets.serving.log.spool import Spool


class Tables:
    """Takes appended frames as a lake does; refuses as long as it is told to."""

    def __init__(self):
        self.frames: dict[str, list[pl.DataFrame]] = {}
        self.positions: dict[tuple[str, str], int] = {}
        self.refusing = False

    def position(self, key, source):
        return self.positions.get((key, source))

    def partitions(self, key, column):
        return sorted({day for frame in self.frames.get(key, []) for day in frame[column]})

    def append(self, key, frame, partition_by=(), moves=None):
        assert [*partition_by] == [DAY]
        if self.refusing:
            raise OSError("the lake is out of reach")
        for source, (start, end) in (moves or {}).items():
            if self.positions.get((key, source)) != start:
                raise PositionMoved(source)
            self.positions[key, source] = end
        self.frames.setdefault(key, []).append(frame)

    def requests(self, key="late/request_log"):
        return [name for frame in self.frames.get(key, []) for name in frame["request_id"]]


class SpooledLog:
    """Opens a server's log, and reads it back."""

    def __init__(self, folder: Path):
        self.tables = Tables()
        self._folder = folder
        self._draining = Draining(folder, self.tables)

    def open(self, schema_of, specs):
        return Spool(self._folder, schema_of, specs)

    def frames(self) -> list[tuple[str, pl.DataFrame]]:
        self._draining.drain()
        return [(key, frame) for key, frames in self.tables.frames.items() for frame in frames]

    def rows(self) -> list[dict]:
        return [row for _, frame in self.frames() for row in frame.to_dicts()]
