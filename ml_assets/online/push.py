"""Facts that arrive one by one, and are in the features of their entities as soon as they are pushed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_view
from ml_assets.online.changes import recomputed_moments, refuse_absent, refuse_contradictions
from ml_assets.online.completeness import note_reported
from ml_assets.online.facts.blob import decode_schema
from ml_assets.online.facts.plain import MOST, PlainFact, PlainReader, from_columns, is_plain
from ml_assets.online.facts.rows import PushError, check_rows, encode_facts_as_json, read_rows
from ml_assets.online.running.history import FactHistory, NothingToTakeBack
from ml_assets.online.running.kept import KeptStates
from ml_assets.online.running.leaf import Entry
from ml_assets.online.running.moments import moments_ahead
from ml_assets.online.running.opening import begin_history, open_histories
from ml_assets.online.running.view import RunningView
from ml_assets.online.stores.errors import NoBuild, OtherDeclaration
from ml_assets.online.stores.protocol import OnlineStore, PreparedPush, StoreSnapshot
from ml_assets.online.stores.records import Change, CurrentBuild, EntityChange, NewRow, PushedRow, ViewChange
from ml_assets.online.values.keys import entity_key

__all__ = ["PushError", "Pushed", "PushedView", "push_facts"]

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]
Facts = pl.DataFrame | Sequence[PlainFact]


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        rows: facts that were pushed, and taken back.
        entities: how many entities they are of.
        seq: number of the last of them.
        complete_until: the moment up to which the view's facts are known to be complete now, microseconds.
    """

    rows: int
    entities: int
    seq: int
    complete_until: int


def push_facts(
    store: OnlineStore,
    view: FeatureViewSpec,
    rows: Rows,
    *,
    arrived_at: int,
    retract: Rows = (),
    api_key: str | None = None,
) -> Pushed:
    """Add facts to a view: all of them and the new values of their entities, or nothing.

    Late facts, known long before they arrive, and facts that will be known in the future count when they should:
    values equal those of the engine over all facts, in whatever order they came.

    Args:
        rows: with `view.table_columns`, as a frame or as JSON objects (see `read_rows`).
        arrived_at: when they came, microseconds.
        retract: rows that are taken back, before the others are added; at least one row is there of both.
        api_key: name of the key that they are pushed with, kept beside them; None for none.

    Raises:
        PushError: a row is not what the view's table holds, a second row of an entity of a static table, or one that is
            taken back and is not there.
        NoBuild: the view has no build yet, or one of another declaration.
        FeatureError: as the engine does.
    """
    push = prepare_facts(view, rows, arrived_at=arrived_at, retract=retract, api_key=api_key)
    return push.answer(store.change(push.decide, push.arrived_at))


def prepare_facts(
    view: FeatureViewSpec, rows: Rows, *, arrived_at: int, retract: Rows = (), api_key: str | None = None
) -> PreparedPush[Pushed]:
    """Prepare what `push_facts` does, whose arguments it takes; raises PushError where there are no rows."""
    if not len(rows) and not len(retract):
        raise PushError(f"feature view {view.name!r}: no rows were pushed")
    pushed_view = _pushed_view(view.model_dump_json(include=_DECLARED))
    done: list[tuple[ViewChange, int]] = []

    def decide(reading: StoreSnapshot) -> Change:
        change = pushed_view.change(reading, rows, retract, arrived_at)
        declarations, build = {view.name: pushed_view.declaration}, change.built.build
        reports = note_reported(
            reading, view.table or "", declarations, [change], builds=[build], arrived_at=arrived_at
        )
        done[:] = [(change, reports.complete_until[view.name])]
        return Change([change], reports.notes, api_key=api_key)

    def answer(last: Sequence[int]) -> Pushed:
        ((change, complete_until),) = done
        (seq,) = last
        return Pushed(len(change.rows), len(change.entities), seq, complete_until)

    return PreparedPush(decide, arrived_at, answer)


_DECLARED = set(FeatureViewSpec.model_fields)


@lru_cache(maxsize=256)
def _pushed_view(view: str) -> "PushedView":
    return PushedView(FeatureViewSpec.model_validate_json(view))


class PushedView:
    """A view that takes facts.

    Attributes:
        view: its declaration, of stored features only.
        declaration: digest of it.
    """

    def __init__(self, view: FeatureViewSpec) -> None:
        self.view = stored_view(view)
        self.declaration = declaration_of(self.view)
        self._runs = RunningView.runs(self.view)
        self._schema: tuple[bytes, pl.Schema] = (b"", pl.Schema())
        self._plain: tuple[bytes, PlainReader | None] = (b"", None)
        self._running: tuple[bytes, RunningView, KeptStates] | None = None

    def change(self, reading: StoreSnapshot, rows: Rows, retract: Rows, arrived_at: int) -> ViewChange:
        """Decide what facts change; arguments and errors as of `push_facts`."""
        built = self.built(reading)
        facts = self._read_plain(built, rows, retract)
        if facts is None:
            facts = self._read(built, [*([retract] if len(retract) else []), *([rows] if len(rows) else [])])
        return self.change_checked(reading, built, facts, len(retract), arrived_at)

    def change_checked(
        self, reading: StoreSnapshot, built: CurrentBuild, facts: Facts, retracted: int, arrived_at: int
    ) -> ViewChange:
        """Decide what facts change that are as the view's table holds them.

        Args:
            built: what `built` gives.
            facts: with the columns of `schema(built.schema)`, and neither keys nor known_at missing.
            retracted: how many of them, from the first, are taken back.
        """
        if isinstance(facts, pl.DataFrame) and facts.height <= MOST and self.plain(built.schema) is not None:
            facts = from_columns(facts) or facts
        if isinstance(facts, pl.DataFrame):
            new = self._new_rows(facts, encode_facts_as_json(facts), retracted)
        else:
            new = self._new_plain(facts, retracted)
        if self._runs:
            return ViewChange(built, new, self._run(reading, built, facts, new, arrived_at))
        return ViewChange(built, new, self._recompute(reading, built, new))

    def built(self, reading: StoreSnapshot) -> CurrentBuild:
        """Return the build that takes the facts; raises NoBuild."""
        built = reading.built(self.view.name)
        if built is None:
            raise NoBuild(self.view.name)
        if not built.build.is_of(self.declaration):
            raise OtherDeclaration(self.view.name)
        return built

    def running(self, schema: bytes) -> RunningView:
        """Return what computes the features of a build's facts; its declaration has `known_at` and no planned facts."""
        return self._of_schema(schema)[0]

    def schema(self, schema: bytes) -> pl.Schema:
        """Return the types of `view.table_columns` in a build's facts."""
        if self._schema[0] != schema:
            there = decode_schema(schema)
            self._schema = schema, pl.Schema({name: there[name] for name in self.view.table_columns})
        return self._schema[1]

    def plain(self, schema: bytes) -> PlainReader | None:
        """Return what reads a few facts of a build at little cost; None where their types need columns."""
        if self._plain[0] != schema:
            types = self.schema(schema)
            self._plain = schema, PlainReader(self.view, types) if all(map(is_plain, types.values())) else None
        return self._plain[1]

    def reapply(self, reading: StoreSnapshot, built: CurrentBuild, later: Sequence[PushedRow]) -> list[EntityChange]:
        """Decide what facts change in a build that were pushed while it was made."""
        of_entity: dict[str, list[PushedRow]] = {}
        for row in later:
            of_entity.setdefault(row.entity, []).append(row)
        since = _since(built, later)
        if not self._runs:
            new = [NewRow(row.known_at, row.entity, row.row, row.retracts) for row in later]
            moments = recomputed_moments(self.view, reading, built, [], new, since)
            return [EntityChange(entity, since[entity], moments[entity], of_entity[entity][-1].seq) for entity in since]
        running, facts = self.running(built.schema), reading.facts(built.number, list(of_entity))
        histories = {
            entity: begin_history(running, built.schema, facts.get(entity), rows) for entity, rows in of_entity.items()
        }
        return [
            self._entity_change(built, entity, histories[entity], since[entity], rows[-1].arrived_at, rows[-1].seq)
            for entity, rows in of_entity.items()
        ]

    def _of_schema(self, schema: bytes) -> tuple[RunningView, KeptStates]:
        running = self._running
        if running is None or running[0] != schema:
            running = self._running = schema, RunningView(self.view, self.schema(schema)), KeptStates()
        return running[1:]

    def _read(self, built: CurrentBuild, parts: Sequence[Rows]) -> pl.DataFrame:
        schema = self.schema(built.schema)
        frames = [
            (check_rows if isinstance(part, pl.DataFrame) else read_rows)(self.view, part, schema)  # pyright: ignore
            for part in parts
        ]
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def _read_plain(self, built: CurrentBuild, rows: Rows, retract: Rows) -> Sequence[PlainFact] | None:
        if isinstance(rows, pl.DataFrame) or isinstance(retract, pl.DataFrame) or len(rows) + len(retract) > MOST:
            return None
        reader = self.plain(built.schema)
        return None if reader is None else reader.read([*retract, *rows])

    def _new_plain(self, facts: Sequence[PlainFact], retracted: int) -> list[NewRow]:
        known_at, keys = self.view.known_at, self.view.entity
        return [
            NewRow(
                None if known_at is None else fact[known_at],
                entity_key([fact[key] for key in keys]),
                orjson.dumps(fact).decode(),
                place < retracted,
            )
            for place, fact in enumerate(facts)
        ]

    def _new_rows(self, facts: pl.DataFrame, texts: Sequence[str], retracted: int) -> list[NewRow]:
        known_at = self.view.known_at
        moments = [None] * facts.height if known_at is None else facts[known_at].cast(pl.Int64).to_list()
        columns = [facts[key].to_list() for key in self.view.entity]
        keys = list(zip(*columns, strict=True)) if columns else [()] * facts.height
        return [
            NewRow(moment, entity_key(key), text, place < retracted)
            for place, (moment, key, text) in enumerate(zip(moments, keys, texts, strict=True))
        ]

    def _run(
        self, reading: StoreSnapshot, built: CurrentBuild, facts: Facts, new: Sequence[NewRow], arrived_at: int
    ) -> list[EntityChange]:
        running, kept = self._of_schema(built.schema)
        since = _since(built, new)
        texts = [row.row for row in new]
        columns = isinstance(facts, pl.DataFrame)
        entries = running.entries(facts, texts) if columns else running.plain_entries(facts, texts)
        histories = open_histories(running, reading, built, list(since), kept=kept)
        for entry, row in zip(entries, new, strict=True):
            if row.retracts:
                self._take_back(histories[row.entity], entry, row)
            else:
                histories[row.entity].push(entry)
        changes = []
        for entity, history in histories.items():
            history.settle()
            changes.append(self._entity_change(built, entity, history, since[entity], arrived_at, None))
        for row in new:
            if row.retracts:
                self._refuse_hidden(histories[row.entity], built, row)
        for entity, history in histories.items():
            kept.keep(entity, history)
        return changes

    def _entity_change(
        self, built: CurrentBuild, entity: str, history: FactHistory, since: int, now: int, seq: int | None
    ) -> EntityChange:
        running, end = self.running(built.schema), built.build.end
        assert end is not None  # a view over time has an end
        if history.empty:
            # No moment is written from `since` on, so none may stay before it: a request would read on from that one,
            # computed of facts that were there when it was written.
            since = min(since, built.build.begin)
        there = since < end and not history.empty
        ahead = moments_ahead(running, history, since, end, now) if there else []
        return EntityChange(entity, since, ahead, seq, history.encode(), history.encode_changed())

    def _take_back(self, history: FactHistory, entry: Entry, row: NewRow) -> None:
        try:
            history.retract(entry)
        except NothingToTakeBack:
            raise PushError(f"feature view {self.view.name!r}: {row.row} is not there to be taken back") from None

    def _refuse_hidden(self, history: FactHistory, built: CurrentBuild, row: NewRow) -> None:
        """Refuse to take back the last row before the build where the build may have left out the one before it."""
        before = self.view.last_row_before
        if before is None or not history.built or row.known_at is None or row.known_at > built.build.begin:
            return
        if history.last(history.locate(row.known_at)) is None:
            raise PushError(
                f"feature view {self.view.name!r}: {row.row} is the oldest row that is kept ready of its entity, and "
                "what was before it is in the table alone: correct it there, and build again"
            )

    def _recompute(self, reading: StoreSnapshot, built: CurrentBuild, new: Sequence[NewRow]) -> list[EntityChange]:
        since = _since(built, new)
        pushed = reading.pushed(self.view.name, list(since))
        refuse_absent(self.view, reading, built, pushed, new)
        refuse_contradictions(self.view, reading, built, pushed, new)
        moments = recomputed_moments(self.view, reading, built, pushed, new, since)
        return [EntityChange(entity, since[entity], moments[entity]) for entity in since]


def _since(built: CurrentBuild, rows: Sequence[NewRow | PushedRow]) -> dict[str, int]:
    """Return the moment from which each entity's values change: when the first of its new facts was known."""
    begin, since = built.build.begin, {}
    for row in rows:
        known_at = begin if row.known_at is None else max(begin, row.known_at)
        since[row.entity] = min(known_at, since.get(row.entity, known_at))
    return since
