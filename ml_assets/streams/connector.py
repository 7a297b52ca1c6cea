"""Messages become facts: each batch is pushed by table, and where it ends is kept in the same transactions.

A kill at any moment neither loses a message nor counts it twice: what is in the store says exactly what counts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from ml_assets.features.errors import FeatureError
from ml_assets.online.facts.origins import origin_of
from ml_assets.online.facts.rows import PushError
from ml_assets.online.stores.protocol import OnlineStore, StoreSnapshot
from ml_assets.online.stores.records import Change, Note, RefusedRow
from ml_assets.online.tables import PushedTable, require_notes
from ml_assets.streams.progress import Progress, decode_progress
from ml_assets.streams.protocol import Message, Position, advance, is_passed
from ml_assets.streams.routing import BadMessage, Facts, Routes

_LONGEST_KEPT = 10_000
"""Characters of a bad message that its quarantine keeps."""


def position_key(name: str) -> str:
    """Return the key of the note in the store that says how far the stream of a name counts."""
    return f"position:{name}"


def stream_quarantine(name: str) -> str:
    """Return the table that takes messages of a stream that name no table, such as those that are no JSON."""
    return f"streams/{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_')}"


@dataclass(frozen=True)
class _Read:
    """A message, with what it says or what is wrong with it."""

    message: Message
    facts: Facts | None
    wrong: str = ""


class Connector:
    """Pushes the messages of a stream to the tables of a store.

    Args:
        name: of the stream.
        tables: those that take facts, by name.

    Attributes:
        progress: how far the stream counts.
        pushed: table -> rows that were pushed or taken back since the connector was made.
        refused: table -> rows and messages that went to its quarantine since then.
    """

    def __init__(self, name: str, store: OnlineStore, tables: Mapping[str, PushedTable], routes: Routes) -> None:
        self.name = name
        self.progress = Progress()
        self.pushed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._store, self._tables, self._routes = store, tables, routes
        self._kept: str | None = None

    def load(self) -> None:
        """Read from the store how far the stream counts."""
        with self._store.reading() as reading:
            self._kept = reading.note(position_key(self.name))
        self.progress = decode_progress(self._kept)

    def push(self, messages: Sequence[Message], arrived_at: int) -> None:
        """Make messages count that come next in the stream; those that count already are left out.

        A message that is wrong goes to quarantine: that of its table, or `stream_quarantine` where it names none.

        Args:
            arrived_at: when they came, microseconds.

        Raises:
            NoteChanged: another connector has read on.
            StoreUnavailable: the store is not there; `load` says what counts once it is.
            NoBuild: a view has no build yet, or one of another declaration.
        """
        fresh = [message for message in messages if not is_passed(message, self.progress.position)]
        if not fresh:
            return
        done = advance(self.progress.position, fresh)
        parts = list(self._parts(fresh))
        for part in parts[:-1]:
            self._push(part, None, arrived_at)
        if parts:
            self._push(parts[-1], done, arrived_at)
        else:
            self._keep(Change(), self.progress.after_all(done), arrived_at)

    def _parts(self, messages: Sequence[Message]) -> Iterator["_PushedTogether"]:
        """Divide messages into what is pushed at once: of one table, in order; each that takes rows back is alone, and
        one that says up to when facts are complete is the last."""
        by_table: dict[str, list[_Read]] = {}
        for message in messages:
            table, read = self._read(message)
            if not self.progress.counts_already(message, table):
                by_table.setdefault(table, []).append(read)
        for table, reads in by_table.items():
            for run in _runs(reads):
                yield _PushedTogether(table, run)

    def _read(self, message: Message) -> tuple[str, _Read]:
        try:
            facts = self._routes.read(message)
        except BadMessage as error:
            return error.table or stream_quarantine(self.name), _Read(message, None, str(error))
        return facts.table, _Read(message, facts)

    def _push(self, part: "_PushedTogether", done: Position | None, arrived_at: int) -> None:
        """Push a part; a message that the table does not take as it is goes to quarantine, and the others count.

        Args:
            done: up to which every message counts with this part; None where other parts of the batch come after it.
        """
        if part.reads[0].facts is None:
            self._quarantine(part, done, arrived_at)
            return
        try:
            self._push_rows(part, done, arrived_at)
        except (PushError, FeatureError) as error:
            if len(part.reads) == 1:
                wrong = _Read(part.reads[0].message, None, str(error))
                self._quarantine(_PushedTogether(part.table, [wrong]), done, arrived_at)
                return
            half = len(part.reads) // 2
            self._push(_PushedTogether(part.table, part.reads[:half]), None, arrived_at)
            self._push(_PushedTogether(part.table, part.reads[half:]), done, arrived_at)

    def _push_rows(self, part: "_PushedTogether", done: Position | None, arrived_at: int) -> None:
        said = [read.facts for read in part.reads if read.facts is not None]
        progress = self._after(part, done)
        note = Note(position_key(self.name), progress.encode())
        answer = self._tables[part.table].push(
            self._store,
            [row for facts in said for row in facts.rows],
            retract=[row for facts in said for row in facts.retract],
            arrived_at=arrived_at,
            notes=[note],
            required={note.key: self._kept},
            complete_until=said[-1].complete_until,
            origins=[*self._origins(part, "retract"), *self._origins(part, "rows")],
        )
        self._is_kept(progress, note)
        self.pushed[part.table] += answer.rows + answer.retracted
        self.refused[part.table] += len(answer.refused)

    def _origins(self, part: "_PushedTogether", kind: Literal["retract", "rows"]) -> Iterator[str]:
        """Yield where each row comes from: what lies at a place of the stream."""
        for read in part.reads:
            if read.facts is not None:
                message = read.message
                origin = origin_of(self.name, message.part, message.offset, message.body.decode(errors="replace"))
                yield from (f"{origin}.{kind}{place}" for place in range(len(getattr(read.facts, kind))))

    def _quarantine(self, part: "_PushedTogether", done: Position | None, arrived_at: int) -> None:
        refused = [RefusedRow(_kept_text(read.message), read.wrong, "") for read in part.reads]
        self._keep(Change(table=part.table, refused=refused), self._after(part, done), arrived_at)
        self.refused[part.table] += len(refused)

    def _keep(self, change: Change, progress: Progress, arrived_at: int) -> None:
        note = Note(position_key(self.name), progress.encode())

        def decide(reading: StoreSnapshot) -> Change:
            require_notes(reading, {note.key: self._kept})
            return replace(change, notes=[note])

        self._store.change(decide, arrived_at)
        self._is_kept(progress, note)

    def _is_kept(self, progress: Progress, note: Note) -> None:
        self.progress, self._kept = progress, note.text

    def _after(self, part: "_PushedTogether", done: Position | None) -> Progress:
        after = self.progress.after_some(part.table, [read.message for read in part.reads])
        return after if done is None else after.after_all(done)


@dataclass(frozen=True)
class _PushedTogether:
    """Messages that are pushed at once."""

    table: str
    reads: list[_Read]


def _runs(reads: Sequence[_Read]) -> Iterator[list[_Read]]:
    """Divide messages of a table into those that are pushed at once."""
    run: list[_Read] = []
    for read in reads:
        if run and not _go_together(run[-1].facts, read.facts):
            yield run
            run = []
        run.append(read)
    if run:
        yield run


def _go_together(first: Facts | None, second: Facts | None) -> bool:
    if first is None or second is None:
        return first is second
    return not first.retract and not second.retract and first.complete_until is None


def _kept_text(message: Message) -> str:
    """Return what the quarantine keeps of a bad message: where it lay, and its text."""
    text = message.body.decode(errors="replace")
    cut = len(text) > _LONGEST_KEPT
    kept = {"part": message.part, "offset": message.offset, "name": message.name, "body": text[:_LONGEST_KEPT]}
    return orjson.dumps(kept | {"cut": True} if cut else kept).decode()
