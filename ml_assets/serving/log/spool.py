"""Answers on their way to disk: files that are only added to, which another process turns into the lake's tables."""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from ml_assets.disk_faults import describe_fault
from ml_assets.serving.log.request_log import Answered, LogSchema
from ml_assets.serving.log.segments import make_segment, schema_line, segment_path
from ml_assets.serving.spec import AnswerLogSpec

log = logging.getLogger(__name__)

DURABLE = "durable"

_ROW = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_END = ord("\n")


class Spool:
    """Takes the answers of one process, model by model; may be used from several threads.

    Where the disk takes nothing, answers wait in memory and are written as soon as it does again; what there is no
    room for is dropped, counted and logged.

    Attributes:
        written: answers that are in the files.
        dropped: answers that are lost.
    """

    def __init__(
        self,
        folder: Path,
        schema_of: Callable[[str, str], LogSchema],
        specs: Mapping[str, AnswerLogSpec] | None = None,
        *,
        segment_bytes: int = 16 << 20,
        segment_seconds: float = 60.0,
        held_bytes: int = 64 << 20,
    ) -> None:
        """Start the thread that writes what waits.

        Args:
            folder: where the files are made.
            schema_of: the types of a model's version; asked once for each, when it first answers.
            specs: what may be lost, by model.
            segment_bytes: size from which on a new file is begun.
            segment_seconds: age of a file from which on a new one is begun.
            held_bytes: what may wait in memory, of each model, while the disk takes nothing.
        """
        self._folder = folder
        self._schema_of = schema_of
        self._specs = specs or {}
        self._limits = (segment_bytes, segment_seconds, held_bytes)
        self._writer = uuid.uuid4().hex
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        pulses = [spec.window_seconds for spec in self._specs.values() if spec.mode != DURABLE]
        self._pulse = min([1.0, *pulses]) / 2
        self._thread = threading.Thread(target=self._write_on, name="request-log", daemon=True)
        self._thread.start()

    @property
    def written(self) -> int:
        """Answers that are in the files."""
        return sum(stream.written for stream in list(self._streams.values()))

    @property
    def dropped(self) -> int:
        """Answers that are lost."""
        return sum(stream.dropped for stream in list(self._streams.values()))

    @property
    def fault(self) -> str:
        """Why answers cannot be written now; empty while they can."""
        return "; ".join(stream.fault for stream in list(self._streams.values()) if stream.fault)

    def is_durable(self, model: str) -> bool:
        """Return whether an answer of a model is to be put before it is sent."""
        return self._specs.get(model, _DEFAULT).mode == DURABLE

    def put(self, model: str, rows: Sequence[Answered], *, commit: bool = True) -> None:
        """Take answers of a model: written when this returns if it is `durable` and the disk takes them, otherwise
        within the window.

        Args:
            commit: False leaves the writing of a `durable` model's answers to `commit`, which writes several at once.
        """
        # Not under the lock: who has one row does not wait until many are rendered.
        lines = [_rendered(model, row) for row in rows]
        with self._lock:
            if self._closing.is_set():
                raise ValueError("the spool is closed")
            stream = self._streams.get(model)
            if stream is None:
                stream = self._streams[model] = self._open(model)
            stream.put(rows, lines, commit)

    def commit(self) -> None:
        """Write what waits of `durable` models."""
        with self._lock:
            for stream in self._streams.values():
                stream.commit()

    def close(self) -> None:
        """Write what is left; what the disk does not take now is dropped and logged."""
        with self._lock:
            self._closing.set()
            for stream in self._streams.values():
                stream.close()
                _force(stream.to_force())
        self._thread.join()

    def _open(self, model: str) -> "_Stream":
        def schema_of(version: str) -> LogSchema:
            return self._schema_of(model, version)

        return _Stream(self._folder, model, self._writer, self._specs.get(model, _DEFAULT), schema_of, *self._limits)

    def _write_on(self) -> None:
        while not self._closing.wait(self._pulse):
            for stream in list(self._streams.values()):
                with self._lock:
                    if self._closing.is_set():
                        return
                    stream.tick()
                    written = stream.to_force()
                # It takes as long as the disk takes: nobody waits for it.
                _force(written)


_DEFAULT = AnswerLogSpec()


class _Stream:
    """The answers of one model by one process, in the order in which they were made."""

    def __init__(
        self,
        folder: Path,
        model: str,
        writer: str,
        spec: AnswerLogSpec,
        schema_of: Callable[[str], LogSchema],
        segment_bytes: int,
        segment_seconds: float,
        held_bytes: int,
    ) -> None:
        self.written = 0
        self.dropped = 0
        self.fault = ""
        self._folder, self._model, self._writer = folder, model, writer
        self._durable = spec.mode == DURABLE
        self._window, self._sync_seconds = spec.window_seconds / 2, spec.sync_seconds
        self._schema_of = schema_of
        self._schemas: dict[str, bytes] = {}
        self._segment_bytes, self._segment_seconds, self._held_bytes = segment_bytes, segment_seconds, held_bytes
        self._descriptor = -1
        self._number = self._size = 0
        self._began = self._waits_since = self._forced = time.monotonic()
        self._unsynced = self._torn = False
        self._leaving: list[int] = []
        self._pending = bytearray()
        self._rows = 0

    def put(self, rows: Sequence[Answered], lines: Sequence[bytes | None], commit: bool) -> None:
        taken = 0
        for row, line in zip(rows, lines, strict=True):
            if line is None or not self._fits(row, line):
                self.dropped += 1
            else:
                taken += 1
        if not taken:
            return
        if self._rows == 0:
            self._waits_since = time.monotonic()
        self._rows += taken
        if (self._durable and commit) or (not self._durable and time.monotonic() - self._waits_since > self._window):
            self._flush()

    def commit(self) -> None:
        if self._durable and self._pending:
            self._flush()

    def tick(self) -> None:
        """Write what waits, and begin a new segment where the old one is old: readers may then delete it."""
        if self._pending:
            self._flush()
        aged = time.monotonic() - self._began > self._segment_seconds
        if self._descriptor >= 0 and aged and not self._pending:
            self._seal()

    def to_force(self) -> list[int]:
        """Return descriptors of what is written and not yet forced onto the disk, where it is time; to be closed."""
        now, forced = time.monotonic(), self._leaving
        self._leaving = []
        if self._unsynced and self._sync_seconds and now - self._forced >= self._sync_seconds / 2:
            self._unsynced, self._forced = False, now
            if self._descriptor >= 0:
                forced.append(os.dup(self._descriptor))
        return forced

    def close(self) -> None:
        if self._pending:
            self._flush()
        if self._rows:
            log.error("%s/request_log: %d answers are lost: %s", self._model, self._rows, self.fault)
            self.dropped += self._rows
            self._rows = 0
        if self._descriptor >= 0:
            self._seal()

    def _fits(self, row: Answered, line: bytes) -> bool:
        """Put a line behind those that wait; returns False where there is no room, which is logged."""
        if len(self._pending) > self._held_bytes:
            if not self.dropped & (self.dropped + 1):  # 1, 2, 4, 8 ... of them: enough to be seen
                log.error("%s/request_log: no room to wait: %d answers lost", self._model, self.dropped + 1)
            return False
        try:
            if row.version not in self._schemas:
                schema = schema_line(row.version, self._schema_of(row.version))
                self._schemas[row.version] = schema
                self._pending += schema
        except TypeError as error:
            _tell_dropped(self._model, row, error)
            return False
        self._pending += line
        return True

    def _flush(self) -> None:
        try:
            self._write()
        except OSError as error:
            fault = f"{self._model}/request_log: the spool {self._folder} cannot be written: {describe_fault(error)}"
            if fault != self.fault:
                self.fault = fault
                log.error("%s; answers wait in memory, %d MB at most", fault, self._held_bytes >> 20)
            return
        self.written += self._rows
        if self.fault:
            self.fault = ""
            log.warning("%s/request_log: %d answers that waited are written", self._model, self._rows)
        self._rows = 0

    def _write(self) -> None:
        if self._descriptor >= 0 and not self._torn and self._size >= self._segment_bytes:
            self._seal()
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            log.error("%s/request_log: a segment was deleted: what of it was not in the lake is lost", self._model)
            self._seal()
            if self._torn:
                del self._pending[: self._pending.find(b"\n") + 1]
                self._torn = False
        if self._descriptor < 0:
            self._begin()
        while self._pending:
            done = os.write(self._descriptor, self._pending)
            self._size += done
            self._torn = self._pending[done - 1] != _END
            del self._pending[:done]
            self._unsynced = True

    def _begin(self) -> None:
        head = b"".join(self._schemas.values())
        path = segment_path(self._folder, self._model, self._writer, self._number)
        self._descriptor = make_segment(path, head)
        self._number += 1
        self._size = len(head)
        self._began = time.monotonic()

    def _seal(self) -> None:
        if self._sync_seconds and self._unsynced:
            self._leaving.append(self._descriptor)
            self._unsynced = False
        else:
            os.close(self._descriptor)
        self._descriptor = -1


def _rendered(model: str, row: Answered) -> bytes | None:
    """Return the line of an answer; None where there is none, which is logged."""
    try:
        return orjson.dumps(row, option=_ROW)
    except TypeError as error:
        _tell_dropped(model, row, error)
        return None


def _tell_dropped(model: str, row: Answered, error: TypeError) -> None:
    log.error("%s/request_log: request %s, row %d, is dropped: %s", model, row.request_id, row.row, error)


def _force(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        try:
            os.fsync(descriptor)
        except OSError as error:
            log.error("request_log: the disk does not confirm what was written: %s", error)
        finally:
            os.close(descriptor)
