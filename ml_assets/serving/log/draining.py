"""What servers have spooled, turned into the tables `<model>/request_log` of the lake: each answer once."""

import fcntl
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Protocol

import orjson
import polars as pl

from ml_assets.serving.log.request_log import DAY, FAR, Answered, LogSchema, log_frame
from ml_assets.serving.log.segments import Segment, find_segments, is_sealed, read_schema, whole_lines

log = logging.getLogger(__name__)

MOST_DAYS = 3_700
"""Partitions that a log may have, ten years of days: requests about moments of further ones share FAR."""

CHUNK = 8 << 20
"""Bytes read of a writer at a time."""

_REFUSED = ".refused"


class LogTables(Protocol):
    """Where logs are kept; a lake."""

    def position(self, key: str, source: str) -> int | None:
        """Return up to where a table has taken a source; None for nothing."""
        ...

    def partitions(self, key: str, column: str) -> list[str]:
        """List a table's partitions."""
        ...

    def append(
        self,
        key: str,
        frame: pl.DataFrame,
        partition_by: Sequence[str] = (),
        moves: Mapping[str, tuple[int | None, int]] | None = None,
    ) -> object:
        """Add rows to a table and move the positions of their sources, in one commit."""
        ...


@dataclass
class Drained:
    """What one pass over a spool has done.

    Attributes:
        rows: answers that are in the lake now.
        refused: answers that fit no table; they lie beside the segments, in files that end in `.refused`.
        far: answers in the partition FAR.
        more: whether files hold more that was not read yet.
        failed: models whose answers wait, as their table could not be written.
    """

    rows: int = 0
    refused: int = 0
    far: int = 0
    more: bool = False
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Drained") -> None:
        """Count another pass in."""
        self.rows, self.refused, self.far = self.rows + other.rows, self.refused + other.refused, self.far + other.far
        self.more |= other.more
        self.failed += other.failed


class Draining:
    """Reads the segments of a spool on and on; only one at a time may do so, see `alone_with`."""

    def __init__(self, folder: Path, tables: LogTables, *, most_days: int = MOST_DAYS, chunk: int = CHUNK) -> None:
        self._folder = folder
        self._tables = tables
        self._chunk = chunk
        self._most_days = most_days
        self._models: dict[str, _Model] = {}

    def drain(self) -> Drained:
        """Append what is there, as far as its tables take it; segments that are done are deleted.

        What comes in meanwhile waits for the next call: a commit costs much more than the rows in it.
        """
        total = self._pass()
        while total.more and not total.failed:
            total.more = False
            total.add(self._pass())
        total.more = False
        return total

    def _pass(self) -> Drained:
        done = Drained()
        for name, segments in groupby(find_segments(self._folder), key=lambda segment: segment.model):
            try:
                if name not in self._models:
                    self._models[name] = _Model(self._folder, name, self._tables, self._most_days)
                done.add(self._models[name].take(list(segments), self._chunk))
            except Exception:
                # Whatever the lake says of one model's table, its answers stay where they are and are tried again.
                log.exception("%s/request_log: cannot be appended to, its answers wait in %s", name, self._folder)
                self._models.pop(name, None)
                done.failed.append(name)
        return done


@contextmanager
def alone_with(folder: Path) -> Iterator[bool]:
    """Give whether no other process drains a spool, and keep others from it meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "draining.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


class _Model:
    """One model's segments and its table."""

    def __init__(self, folder: Path, name: str, tables: LogTables, most_days: int) -> None:
        self._folder, self._name, self._tables, self._most_days = folder, name, tables, most_days
        self._key = f"{name}/request_log"
        self._days = set(tables.partitions(self._key, DAY))
        self._writers: dict[str, _Writer] = {}

    def take(self, segments: Sequence[Segment], chunk: int) -> Drained:
        """Append the next answers of each writer, in one commit."""
        batch = _Batch()
        readings: list[tuple[str, _Writer, _Reading]] = []
        for writer, own in groupby(segments, key=lambda segment: segment.writer):
            known = self._writers.get(writer)
            if known is None:
                known = self._writers[writer] = _Writer(self._tables.position(self._key, writer))
            readings.append((writer, known, known.read(list(own), chunk, batch)))
        moved = {writer: (known.kept, at.end) for writer, known, at in readings if at.end > (known.kept or 0)}
        self._writers = {writer: known for writer, known, _ in readings}
        done = self._append(batch, moved)
        done.more = any(at.more for _, _, at in readings)
        for _, known, at in readings:
            known.move(at, committed=done.rows > 0)
            for segment in at.finished:
                segment.path.unlink()
        return done

    def _append(self, batch: "_Batch", moves: dict[str, tuple[int | None, int]]) -> Drained:
        frame = batch.frame(self._key)
        if batch.refused:
            self._set_apart(batch.refused)
        if frame is None:
            return Drained(refused=len(batch.refused))
        frame = self._within_bounds(frame)
        self._tables.append(self._key, frame, [DAY], moves)
        self._days |= {*frame[DAY].unique()}
        far = frame.filter(pl.col(DAY) == FAR).height
        if far:
            log.warning("%s: %d answers about moments far away are in the partition %r", self._key, far, FAR)
        return Drained(rows=frame.height, refused=len(batch.refused), far=far)

    def _within_bounds(self, frame: pl.DataFrame) -> pl.DataFrame:
        new = sorted({*frame[DAY].unique()} - self._days - {FAR})
        over = new[max(self._most_days - len(self._days), 0) :]
        day = pl.when(pl.col(DAY).is_in(over)).then(pl.lit(FAR)).otherwise(DAY).alias(DAY)
        return frame.with_columns(day) if over else frame

    def _set_apart(self, refused: Sequence[bytes]) -> None:
        """Keep lines that fit no table: where the writers are read from names the file, so that another try after a
        kill writes the same one."""
        started = sorted(f"{writer}-{known.start:020}" for writer, known in self._writers.items())
        file = self._folder / self._name / f"{started[0]}{_REFUSED}"
        file.write_bytes(b"".join(refused))
        log.error("%s: %d answers do not fit and are set apart in %s", self._key, len(refused), file)


@dataclass(frozen=True)
class _Reading:
    """How far a writer's segments were read.

    Attributes:
        end: the position.
        finished: those that hold nothing more, and never will.
        more: whether there was more to read.
    """

    segment: Segment
    offset: int
    end: int
    finished: list[Segment]
    more: bool


class _Writer:
    """How far one writer's answers are in the table.

    Attributes:
        kept: the position that the table keeps; None for none.
        start: the position of the next line that is not in the table.
    """

    def __init__(self, kept: int | None) -> None:
        self.kept = kept
        self.start = kept or 0
        self._at: tuple[int, int] = (-1, 0)
        self._schemas: dict[str, LogSchema] = {}

    def read(self, segments: Sequence[Segment], most: int, batch: "_Batch") -> _Reading:
        """Read the next lines into a batch, about `most` bytes of them."""
        finished: list[Segment] = []
        last, offset, whole = segments[0], 0, True
        for place, segment in enumerate(segments):
            # Looked at first: what is added before it is sealed is read after.
            sealed = place + 1 < len(segments) or is_sealed(segment.path)
            last, offset = segment, self._at[1] if segment.number == self._at[0] else 0
            if offset == 0:
                self._schemas = {}
            with segment.path.open("rb") as file:
                file.seek(offset)
                content = file.read(most)
            begun = offset
            for line in whole_lines(content):
                offset += len(line)
                if segment.position(offset) > self.start or line.startswith(_SCHEMA):
                    self._take(line, batch)
            whole = len(content) < most
            if sealed and whole:
                rest = len(content) - (offset - begun)
                if rest:
                    log.warning("%s: its writer was ended in an answer: %d bytes are no answer", segment.path, rest)
                finished.append(segment)
            most -= len(content)
            if not whole or most <= 0:
                break
        return _Reading(last, offset, last.position(offset), finished, more=not whole or last != segments[-1])

    def move(self, reading: _Reading, *, committed: bool) -> None:
        """Go on from where a reading ended, now that its answers are kept."""
        self._at = (reading.segment.number, reading.offset)
        self.start = max(self.start, reading.end)
        if committed:
            self.kept = max(self.kept or 0, reading.end)

    def _take(self, line: bytes, batch: "_Batch") -> None:
        try:
            told = orjson.loads(line)
            if "schema" in told:
                self._schemas[told["schema"]] = read_schema(told)
            else:
                answered = Answered(**told)
                batch.add(answered, self._schemas[answered.version], line)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            log.error("request_log: a line of a spool cannot be read: %s", error)
            batch.refused.append(line)


_SCHEMA = b'{"schema":'


class _Batch:
    """Answers of one model on their way into its table, each with the line that it was."""

    def __init__(self) -> None:
        self.refused: list[bytes] = []
        self._rows: list[tuple[Answered, bytes]] = []
        self._schemas: dict[str, LogSchema] = {}

    def add(self, answered: Answered, schema: LogSchema, line: bytes) -> None:
        self._rows.append((answered, line))
        self._schemas[answered.version] = schema

    def frame(self, key: str) -> pl.DataFrame | None:
        """Return the rows that fit; the others become `refused`. None for none."""
        return self._frame(key, self._rows) if self._rows else None

    def _frame(self, key: str, rows: list[tuple[Answered, bytes]]) -> pl.DataFrame | None:
        """Return the answers as rows, without those whose values do not fit: another attempt would not help them."""
        try:
            return log_frame([answered for answered, _ in rows], self._schemas)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            if len(rows) == 1:
                ((answered, line),) = rows
                log.error("%s: request %s, row %d, does not fit: %s", key, answered.request_id, answered.row, error)
                self.refused.append(line)
                return None
        halves = [self._frame(key, half) for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :])]
        frames = [half for half in halves if half is not None]
        return pl.concat(frames, how="diagonal") if frames else None
