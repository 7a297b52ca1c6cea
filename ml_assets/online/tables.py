"""Facts by table: one row feeds every view of its table, under the contract, all in one transaction."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

import orjson
import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.completeness import note_reported, read_complete_moments
from ml_assets.online.facts.origins import (
    REMEMBERED,
    comes_back,
    keyed_origins,
    note_origins,
    origins_of_rows,
    returning,
)
from ml_assets.online.facts.rows import PushError
from ml_assets.online.facts.table_rows import ReadRows, read_table_rows
from ml_assets.online.facts.values import exact_cast, value_type
from ml_assets.online.push import PushedView
from ml_assets.online.stores.protocol import OnlineStore, PreparedPush, StoreSnapshot
from ml_assets.online.stores.records import Change, CurrentBuild, Note, RefusedRow, ViewChange
from ml_assets.online.values.record import moment_of

_LISTED = 5
"""Rows that the refusal of a push names."""


class Gate(Protocol):
    """The contract of a table."""

    def columns(self) -> Mapping[str, pl.DataType]:
        """Return the columns of a row."""
        ...

    def judge(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Sequence["Refused"]]:
        """Divide rows with `columns()` into those that satisfy the contract, and the others with what they broke."""
        ...


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that goes to quarantine.

    Attributes:
        row: its place among the rows of the push, from 0.
        rules: what it breaks, joined with "; ".
        columns: which of its columns those look at.
    """

    row: int
    rules: str
    columns: str


@dataclass(frozen=True, slots=True)
class PushedRows:
    """What became of the rows of a push.

    Attributes:
        rows: how many count.
        retracted: how many were taken back.
        refused: those that are in quarantine now.
        views: view -> number of the last of them.
        repeated: whether this is the answer to an earlier push with the same key, and nothing was done.
        complete_until: view -> the moment up to which its facts are known to be complete now, microseconds.
    """

    rows: int
    retracted: int
    refused: Sequence[Refused]
    views: Mapping[str, int]
    repeated: bool = False
    complete_until: Mapping[str, int] = field(default_factory=dict)


class OtherPush(PushError):
    """An idempotency key comes again with other rows."""


class NoteChanged(RuntimeError):
    """A note is another than a push requires: somebody else has changed it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: changed by somebody else in the meantime")


def require_notes(reading: StoreSnapshot, required: Mapping[str, str | None]) -> None:
    """Raise NoteChanged where a note is not as it must be.

    Args:
        required: key of each note -> its text; None where there must be none.
    """
    for key, text in required.items():
        if reading.note(key) != text:
            raise NoteChanged(key)


class PushedTable:
    """A table that takes facts.

    Args:
        views: of the table, at least one.
        gate: its contract; None if it has none: its rows are then held to the types of the columns that views read.
        ahead: how far after the moment of a push a fact may be known.
    """

    def __init__(
        self, table: str, views: Sequence[FeatureViewSpec], gate: Callable[[], Gate] | None, ahead: timedelta
    ) -> None:
        self.table = table
        self._views = [PushedView(view) for view in views]
        self._declarations = {view.view.name: view.declaration for view in self._views}
        self._open_gate = gate
        self._gate: Gate | None = None
        self._ahead = ahead // timedelta(microseconds=1)

    def push(
        self,
        store: OnlineStore,
        rows: Sequence[Mapping[str, Any]],
        *,
        arrived_at: int,
        retract: Sequence[Mapping[str, Any]] = (),
        key: str | None = None,
        notes: Sequence[Note] = (),
        complete_until: int | None = None,
        required: Mapping[str, str | None] = MappingProxyType({}),
        now: int | None = None,
        origins: Sequence[str] = (),
        api_key: str | None = None,
    ) -> PushedRows:
        """Push facts to every view of the table, and take others back: all of it in one transaction.

        A row that breaks the contract, is of another type, or is known too far in the future goes to the table's
        quarantine in that transaction, and hinders no other. A correction is both: the row as it was is taken back, and
        the right one pushed; so where rows are taken back, a row that would go to quarantine refuses the whole push.

        Args:
            rows: JSON objects with the columns of the table.
            retract: rows as they were pushed or delivered.
            arrived_at: when they came, microseconds.
            key: names this push; when it comes again within REMEMBERED, it is answered and not done.
            notes: kept in the same transaction, such as a position in a stream.
            complete_until: with this push, all facts of the table have been pushed that were known by then,
                microseconds; None where that is not known.
            required: notes as they must be before it, as `require_notes` takes them.
            now: the clock by which keys are remembered, microseconds, where `arrived_at` is that of a replay.
            origins: where the rows that are taken back come from, and then those that are pushed, see
                `online.facts.origins`; empty where that is not known, and where a key says it.
            api_key: name of the key that they are pushed with, kept beside them; None for none.

        Raises:
            NoteChanged: a required note is another.
            PushError: `complete_until` lies too far in the future, a row that is taken back is none of the table or not
                there, a row would go to quarantine while others are taken back, or a static table has another row of
                an entity.
            OtherPush: the key came with other rows before.
            NoBuild: a view has no build yet, or one of another declaration.
            FeatureError: as the engine does.
        """
        push = self.prepare(
            rows, arrived_at=arrived_at, retract=retract, key=key, notes=notes, complete_until=complete_until,
            required=required, now=now, origins=origins, api_key=api_key,
        )  # fmt: skip
        return push.answer(store.change(push.decide, push.arrived_at))

    def prepare(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        arrived_at: int,
        retract: Sequence[Mapping[str, Any]] = (),
        key: str | None = None,
        notes: Sequence[Note] = (),
        complete_until: int | None = None,
        required: Mapping[str, str | None] = MappingProxyType({}),
        now: int | None = None,
        origins: Sequence[str] = (),
        api_key: str | None = None,
    ) -> PreparedPush[PushedRows]:
        """Prepare what `push` does, whose arguments it takes; raises PushError where `complete_until` lies too far
        in the future."""
        self._refuse_future(complete_until, arrived_at)
        # What was pushed without it has the digest that it had before there was any.
        asked = _digest([rows, retract] if complete_until is None else [rows, retract, complete_until])
        remembered = None if key is None else f"push:{self.table}:{_digest(key)}"
        done: list[PushedRows] = []

        def decide(reading: StoreSnapshot) -> Change:
            require_notes(reading, required)
            before = None if remembered is None else reading.note(remembered)
            if before is not None:
                moments = read_complete_moments(reading, self.table, self._declarations)
                done[:] = [replace(self._answer_again(before, asked), complete_until=moments)]
                return Change()
            built = [view.built(reading) for view in self._views]
            asked_at = arrived_at if now is None else now
            count = len(retract) + len(rows)
            known = origins if key is None else keyed_origins(key, asked, count, asked_at)
            change, made, of_views = self._decide(reading, built, rows, retract, arrived_at, known)
            kept = [] if remembered is None else [_remember(remembered, asked, made, asked_at)]
            reports = note_reported(
                reading, self.table, self._declarations, change.views,
                builds=[each.build for each in built], arrived_at=arrived_at, complete_until=complete_until,
            )  # fmt: skip
            done[:] = [replace(made, complete_until=reports.complete_until)]
            came = note_origins(reading, self.table, of_views, arrived_at, asked_at)
            beside = [*notes, *kept, *reports.notes, *came]
            return Change(change.views, beside, self.table, change.refused, now, api_key)

        def answer(last: Sequence[int]) -> PushedRows:
            (pushed,) = done
            return replace(pushed, views=dict(zip(pushed.views, last, strict=True))) if last else pushed

        return PreparedPush(decide, arrived_at, answer)

    def _decide(
        self,
        reading: StoreSnapshot,
        built: Sequence[CurrentBuild],
        rows: Sequence[Mapping[str, Any]],
        retract: Sequence[Mapping[str, Any]],
        arrived_at: int,
        origins: Sequence[str],
    ) -> tuple[Change, PushedRows, dict[str, list[str]]]:
        """Decide what a push changes, and where the facts of each view come from."""
        columns = self._columns(built)
        back = self._read(retract, columns, built)
        read = self._read(rows, columns, built)
        accepted, refused = self._judge(read, arrived_at)
        if retract:
            self._refuse_all("retract", [Refused(*each) for each in back.refused])
            self._refuse_all("rows", refused)
        wrong = {each.row for each in refused}
        numbers = [*back.numbers, *(len(retract) + each for each in read.numbers if each not in wrong)]
        came = [origins[each] for each in numbers] if origins else []
        gone = returning(reading, self.table) if origins else {}
        changes, of_views = [], {}
        for view, of_view in zip(self._views, built, strict=True):
            change, mine = self._change(view, of_view, reading, accepted, back.rows, arrived_at, came, gone)
            if change is not None:
                changes.append(change)
                if mine:
                    of_views[view.view.name] = origins_of_rows(change.rows, mine)
        kept = [RefusedRow(_as_json(rows[each.row]).decode(), each.rules, each.columns) for each in refused]
        views = {change.built.build.view: 0 for change in changes}
        return Change(changes, refused=kept), PushedRows(accepted.height, len(retract), refused, views), of_views

    def _columns(self, built: Sequence[CurrentBuild]) -> dict[str, pl.DataType]:
        if self._open_gate is not None and self._gate is None:
            self._gate = self._open_gate()
        columns: dict[str, pl.DataType] = {}
        for view, of_view in zip(self._views, built, strict=True):
            columns |= view.schema(of_view.schema)
        return columns if self._gate is None else columns | dict(self._gate.columns())

    def _read(
        self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pl.DataType], built: Sequence[CurrentBuild]
    ) -> ReadRows:
        """Read rows that the types of the contract and of every view hold, and that concern a view."""
        read = read_table_rows(rows, columns)
        if not rows:
            return read
        of_views = dict.fromkeys(
            (name, dtype)
            for view, of_view in zip(self._views, built, strict=True)
            for name, dtype in view.schema(of_view.schema).items()
            if dtype != columns[name]
        )
        for name, dtype in of_views:
            _, misfit = exact_cast(read.rows[name], dtype)
            read = read.without(misfit, f"{name}: {value_type(dtype).must_be}", name)
        if any(_complete(view.view, read.rows) for view in self._views):
            return read
        known = read.rows.select(pl.any_horizontal(_known(view.view) for view in self._views)).to_series()
        return read.without(~known, "no view of the table takes it: a key or the moment that it was known is null", "")

    def _refuse_future(self, complete_until: int | None, arrived_at: int) -> None:
        if complete_until is not None and complete_until > arrived_at + self._ahead:
            raise PushError(
                f"table {self.table!r}: complete_until: not more than {timedelta(microseconds=self._ahead)} after the "
                f"push, which is of {moment_of(arrived_at)}"
            )

    def _refuse_all(self, part: str, refused: Sequence[Refused]) -> None:
        """Refuse a push that takes rows back where a row is wrong, so that none is gone without its successor."""
        if refused:
            rules = "; ".join(f"{part} {each.row}: {each.rules}" for each in refused[:_LISTED])
            more = f" and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
            raise PushError(
                f"table {self.table!r}: {rules}{more}: nothing is changed, as all rows of a push that takes rows back "
                "must be right"
            )

    def _judge(self, read: ReadRows, arrived_at: int) -> tuple[pl.DataFrame, list[Refused]]:
        late = [view.view.known_at for view in self._views if view.view.known_at is not None]
        for known_at in dict.fromkeys(late):
            beyond = read.rows[known_at].to_physical() > arrived_at + self._ahead
            if not beyond.any():
                continue
            rule = f"{known_at}: not more than {timedelta(microseconds=self._ahead)} after it is pushed"
            read = read.without(beyond.fill_null(False), rule, known_at)
        rows, refused = read.rows, [Refused(*each) for each in read.refused]
        if self._gate is not None and rows.height:
            rows, broken = self._gate.judge(rows)
            refused += [Refused(read.numbers[each.row], each.rules, each.columns) for each in broken]
        return rows, sorted(refused, key=lambda each: each.row)

    def _change(
        self,
        view: PushedView,
        built: CurrentBuild,
        reading: StoreSnapshot,
        rows: pl.DataFrame,
        back: pl.DataFrame,
        arrived_at: int,
        origins: Sequence[str],
        gone: Mapping[str, frozenset[str]],
    ) -> tuple[ViewChange | None, list[str]]:
        types = view.schema(built.schema)
        parts = [(back, origins[: back.height]), (rows, origins[back.height :])]
        known = gone.get(view.view.name, frozenset())
        mine = [_of_view(view.view, types, *part, known) for part in parts if part[0].height]
        if not any(part.height for part, _ in mine):
            return None, []
        facts = mine[0][0] if len(mine) == 1 else pl.concat([part for part, _ in mine])
        retracted = mine[0][0].height if back.height else 0
        change = view.change_checked(reading, built, facts, retracted, arrived_at)
        return change, [origin for _, of_part in mine for origin in of_part]

    def _answer_again(self, before: str, asked: str) -> PushedRows:
        kept = orjson.loads(before)
        if kept["asked"] != asked:
            raise OtherPush(f"table {self.table!r}: the idempotency key came with other rows before: give another")
        refused = [Refused(*each) for each in kept["refused"]]
        return PushedRows(kept["rows"], kept["retracted"], refused, {}, repeated=True)


def _needed(view: FeatureViewSpec) -> list[str]:
    return [*view.entity, *([view.known_at] if view.known_at else [])]


def _complete(view: FeatureViewSpec, rows: pl.DataFrame) -> bool:
    """Return whether a view takes all of the rows."""
    return not any(rows[name].null_count() for name in _needed(view))


def _known(view: FeatureViewSpec) -> pl.Expr:
    needed = _needed(view)
    return pl.all_horizontal(pl.col(needed).is_not_null()) if needed else pl.repeat(True, pl.len())


def _of_view(
    view: FeatureViewSpec,
    types: Mapping[str, pl.DataType],
    rows: pl.DataFrame,
    origins: Sequence[str],
    gone: Collection[str],
) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows that a view takes, in the types of its build, and where they come from.

    Args:
        gone: where those come from that the view gets back by a build.
    """
    taken = None if _complete(view, rows) else rows.select(_known(view)).to_series()
    if gone and origins:
        new = pl.Series([not comes_back(origin, gone) for origin in origins], dtype=pl.Boolean)
        taken = new if taken is None else taken & new
    mine = rows if taken is None else rows.filter(taken)
    left = pl.Series(origins, dtype=pl.String)
    left = (left if taken is None or not origins else left.filter(taken)).to_list()
    columns = mine[list(types)]
    if columns.schema == types:
        return columns, left
    return pl.DataFrame([columns[name].cast(dtype) for name, dtype in types.items()]), left


def _remember(key: str, asked: str, answer: PushedRows, asked_at: int) -> Note:
    refused = [[each.row, each.rules, each.columns] for each in answer.refused]
    text = {"asked": asked, "rows": answer.rows, "retracted": answer.retracted, "refused": refused}
    return Note(key, orjson.dumps(text).decode(), asked_at + REMEMBERED // timedelta(microseconds=1))


def _digest(asked: Any) -> str:
    return hashlib.sha256(_as_json(asked)).hexdigest()


def _as_json(value: Any) -> bytes:
    """Encode what was pushed, also whole numbers of more than 64 bits and halves of surrogate pairs."""
    try:
        return orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str).encode()
