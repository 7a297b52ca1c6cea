"""Facts that arrive one by one, and are in the features of their entities as soon as they are pushed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_view
from ml_assets.online.changes import changed_moments, refuse_contradictions
from ml_assets.online.facts.blob import decode_schema
from ml_assets.online.facts.rows import PushError, check_rows, encode_facts_as_json, read_rows
from ml_assets.online.stores.protocol import NewRow, NoBuild, OnlineStore, OtherDeclaration
from ml_assets.online.values.keys import ENTITY, with_entity

__all__ = ["PushError", "Pushed", "push_facts"]

_ATTEMPTS = 100
"""Tries of one push. It is tried again where another push to one of its entities, or a new build, came first."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        rows: facts that were pushed.
        entities: how many entities they are of.
        seq: number of the last of them.
    """

    rows: int
    entities: int
    seq: int


def push_facts(
    store: OnlineStore,
    view: FeatureViewSpec,
    rows: pl.DataFrame | Sequence[Mapping[str, Any]],
    *,
    arrived_at: int,
) -> Pushed:
    """Add facts to a view: all of them and the new values of their entities, or nothing.

    Late facts, known long before they arrive, and facts that will be known in the future count when they should:
    values equal those of the engine over all facts, in whatever order they came.

    Args:
        rows: at least one row with `view.table_columns`, as a frame or as JSON objects (see `read_rows`).
        arrived_at: when they came, microseconds.

    Raises:
        PushError: a row is not what the view's table holds, or a second row of an entity of a static table.
        NoBuild: the view has no build yet, or one of another declaration.
        FeatureError: as the engine does.
    """
    kept = stored_view(view)
    if not len(rows):
        raise PushError(f"feature view {view.name!r}: no rows were pushed")
    for _ in range(_ATTEMPTS):
        built = store.build(view.name)
        if built is None:
            raise NoBuild(view.name)
        if not built.is_of(declaration_of(kept)):
            raise OtherDeclaration(view.name)
        schema = decode_schema(store.schema(view.name))
        facts = check_rows(kept, rows, schema) if isinstance(rows, pl.DataFrame) else read_rows(kept, rows, schema)
        new = _new_rows(kept, facts)
        entities = sorted({row.entity for row in new})
        snapshot = store.snapshot(view.name, entities)
        if snapshot.build.build != built.build:
            continue
        refuse_contradictions(kept, snapshot, new)
        last = store.apply(snapshot, new, arrived_at, changed_moments(kept, snapshot, new))
        if last is not None:
            return Pushed(len(new), len(entities), last)
    raise RuntimeError(
        f"feature view {view.name!r}: other pushes to the same entities came first {_ATTEMPTS} times: push again"
    )


def _new_rows(view: FeatureViewSpec, facts: pl.DataFrame) -> list[NewRow]:
    known_at = [None] * facts.height if view.known_at is None else facts[view.known_at].to_physical().to_list()
    named = with_entity(view, facts)[ENTITY].to_list()
    return [NewRow(*row) for row in zip(known_at, named, encode_facts_as_json(facts), strict=True)]
