"""The running state of an entity: as it is stored, or made of the facts of its build when the first one is pushed."""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.online.facts.blob import decode_facts, decode_schema
from ml_assets.online.facts.rows import decode_facts_from_json, encode_facts_as_json
from ml_assets.online.facts.union import PUSHED, RETRACTS
from ml_assets.online.running.history import FactHistory
from ml_assets.online.running.kept import KeptStates
from ml_assets.online.running.view import RunningView
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, EntityState, PushedRow
from ml_assets.online.values.keys import ENTITY


def open_histories(
    running: RunningView,
    reading: StoreSnapshot,
    built: CurrentBuild,
    entities: Sequence[str],
    *,
    whole: bool = False,
    kept: KeptStates | None = None,
) -> dict[str, FactHistory]:
    """Open the running states of entities.

    Args:
        whole: whether all leaves will be read, with nothing changed after it.
        kept: states that may be there decoded.
    """
    states = reading.states(built.number, entities, whole=whole)
    new = [entity for entity, state in states.items() if state.header is None]
    facts = reading.facts(built.number, new) if new else {}
    pushed: dict[str, list[PushedRow]] = {}
    for row in reading.pushed(built.build.view, new) if new else ():
        pushed.setdefault(row.entity, []).append(row)
    return {
        entity: _stored(running, reading, built, entity, state, kept)
        if state.header is not None
        else begin_history(running, built.schema, facts.get(entity), pushed.get(entity, ()))
        for entity, state in states.items()
    }


def begin_history(running: RunningView, schema: bytes, facts: bytes | None, pushed: Sequence[PushedRow]) -> FactHistory:
    """Make a running state of the facts of a build and of those that were pushed since."""
    history = running.history(None, lambda _: {}, built=facts is not None)
    if facts is not None:
        _add_built(running, history, decode_facts({"": facts}, schema))
    if pushed:
        types = {name: dtype for name, dtype in decode_schema(schema).items() if name not in (PUSHED, RETRACTS)}
        texts = [row.row for row in pushed]
        rows = decode_facts_from_json(texts, types)
        for entry, row in zip(running.entries(rows, texts), pushed, strict=True):
            history.take_back_before(entry) if row.retracts else history.push(entry)
    history.settle()
    return history


def _stored(
    running: RunningView,
    reading: StoreSnapshot,
    built: CurrentBuild,
    entity: str,
    state: EntityState,
    kept: KeptStates | None,
) -> FactHistory:
    def load(leaves: Sequence[int]) -> Mapping[int, str | bytes]:
        return reading.leaves(built.number, entity, leaves)

    assert state.header is not None  # what has none is begun
    if kept is None:
        return running.history(state.header, load)
    return kept.open(running, entity, state.header, load)


def _add_built(running: RunningView, history: FactHistory, facts: pl.DataFrame) -> None:
    rows = facts.drop(ENTITY, PUSHED, RETRACTS, strict=False)
    back = facts[RETRACTS].fill_null(False) if RETRACTS in facts.columns else [False] * facts.height
    entries = running.entries(rows, encode_facts_as_json(rows))
    for entry, pushed, retracts in zip(entries, facts[PUSHED], back, strict=True):
        if not pushed:
            history.deliver(entry)
        elif retracts:
            history.take_back_before(entry)
        else:
            history.push(entry)
