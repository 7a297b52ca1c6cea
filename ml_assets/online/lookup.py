"""The stored features of requests: one read for all views and rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, stored_features
from ml_assets.freshness import Freshness
from ml_assets.online.completeness import BuildReplaced, KnownMoments, OfBuild
from ml_assets.online.push import PushedView
from ml_assets.online.running.computed import ComputedState, ComputedStates
from ml_assets.online.running.opening import open_histories
from ml_assets.online.stores.errors import EntityLost
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.stores.records import EXPIRED, FRESH, MISSING, STALE, UNSEEN, Stored
from ml_assets.online.values.keys import entity_key

_Found = tuple[str, str, Mapping[str, Any], int | None, tuple[str, int] | None, int | None]
"""Of one view and entity: view, state, values by feature, known_at, version, complete_until; see `Fetched`."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The stored features of one request row.

    Attributes:
        values: feature -> value, of all views with a table; None where expired or missing.
        states: view -> fresh, unseen, stale, expired or missing.
        known_at: view -> when the newest fact behind its values was known, microseconds; None for none.
        versions: view -> (build, number of the last pushed fact) that its values are from; none where missing.
        complete_until: view -> the moment up to which its facts are known to be complete, microseconds; None where it
            is missing.
    """

    values: dict[str, Any]
    states: dict[str, str]
    known_at: dict[str, int | None]
    versions: dict[str, tuple[str, int]]
    complete_until: dict[str, int | None] = field(default_factory=dict)


class OnlineFeatures:
    """Reads the stored features of some views for request rows.

    Args:
        freshness: by view, how far back the newest moment may lie that anything was reported of; others as
            `Freshness()` says.

    Attributes:
        names: all stored features, in the order of the views.
    """

    names: list[str]

    def __init__(
        self,
        store: OnlineStore,
        views: Sequence[FeatureViewSpec],
        freshness: Mapping[str, Freshness] | None = None,
    ) -> None:
        self._store = store
        kept = [view for view in views if view.table is not None]
        entities = list(dict.fromkeys(tuple(view.spine_entity) for view in kept))
        self._entities = entities
        self._views = [
            (view.name, entities.index(tuple(view.spine_entity)), stored_features(view), f"@{declaration_of(view)}")
            for view in kept
        ]
        self._read_of = {name: (features, declaration) for name, _, features, declaration in self._views}
        self._pushed = {view.name: PushedView(view) for view in kept}
        self._computed = ComputedStates()
        self._moments = KnownMoments(store, kept, freshness or {})
        self._nulls = {name: dict.fromkeys(features) for name, _, features, _ in self._views}
        self.names = [feature for _, _, features, _ in self._views for feature in features]

    def fetch(self, rows: Sequence[Mapping[str, Any]], at: int) -> list[Fetched]:
        """Look up the features of each row as of `at`, microseconds.

        Args:
            rows: spine columns -> values, with the keys of all views; a null key is an unseen entity.

        Raises:
            KeyError: a row lacks a key.
        """
        texts = [[entity_key([row[name] for name in columns]) for row in rows] for columns in self._entities]
        keys = [(view, text) for view, place, _, _ in self._views for text in texts[place]]
        if len(rows) > 1:
            # They share most of their entities: each is read and decoded once.
            keys = list(dict.fromkeys(keys))
        try:
            found = self._find(keys, at)
        except BuildReplaced:
            found = self._find_again(keys, at)
        if len(rows) == 1:
            return [_joined(found)]
        looked_up = dict(zip(keys, found, strict=True))
        by_view = [[looked_up[view, text] for text in texts[place]] for view, place, _, _ in self._views]
        return [_joined(of_row) for of_row in zip(*by_view, strict=True)] if by_view else [_joined(()) for _ in rows]

    def missing(self) -> Fetched:
        """Return what is looked up of a row where no view has a build."""
        return _joined([_missing(view, self._nulls[view]) for view, _, _, _ in self._views])

    def _find(self, keys: Sequence[tuple[str, str]], at: int, *, again: bool = True) -> list[_Found]:
        of_build = self._moments.read(again=again)
        entries = self._store.read(keys, at)
        if not all(entry is None or entry.ready for entry in entries):
            entries = [self._ready(key, entry, at) for key, entry in zip(keys, entries, strict=True)]
        return [self._looked_up(key[0], entry, at, of_build) for key, entry in zip(keys, entries, strict=True)]

    def _find_again(self, keys: Sequence[tuple[str, str]], at: int) -> list[_Found]:
        """Read values whose build was replaced meanwhile: the one that replaced it is known now."""
        try:
            return self._find(keys, at)
        except BuildReplaced:
            return self._find(keys, at, again=False)

    def _ready(self, key: tuple[str, str], entry: Stored | None, at: int) -> Stored | None:
        """Compute values that are not ready, from the running state of their entity."""
        if entry is None or entry.ready or (entry.valid_until is not None and at >= entry.valid_until):
            return entry
        return self._computed.values(key, entry, at, self._store.generation) or self._compute_known(*key, at)

    def _compute_known(self, view: str, entity: str, at: int) -> Stored | None:
        try:
            return self._compute(view, entity, at)
        except EntityLost:
            return None

    def _compute(self, view: str, entity: str, at: int) -> Stored | None:
        pushed, generation = self._pushed[view], self._store.generation
        with self._store.reading() as reading:
            built = reading.built(view)
            if built is None or at < built.build.begin or not built.build.is_of(pushed.declaration):
                return None
            running = pushed.running(built.schema)
            seq = reading.states(built.number, [entity])[entity].seq
            history = open_histories(running, reading, built, [entity], whole=True)[entity]
            known_at, *values = running.values_at(history, at)
        number = built.build.pushed_seq if seq is None else seq
        self._computed.keep((view, entity), ComputedState(generation, built.build.build, number, running, history))
        return Stored(values, known_at, built.build.end, built.build.build, number, seen=True)

    def _looked_up(self, view: str, stored: Stored | None, at: int, of_build: Callable[[str, str], OfBuild]) -> _Found:
        features, declaration = self._read_of[view]
        # Values that another declaration means are none of this one's.
        if stored is None or not stored.build.endswith(declaration):
            return _missing(view, self._nulls[view])
        version, moments = (stored.build, stored.seq), of_build(view, stored.build)
        if stored.valid_until is not None and at >= stored.valid_until:
            return view, EXPIRED, self._nulls[view], None, version, moments.complete_until
        state = STALE if moments.is_stale(at) else FRESH if stored.seen else UNSEEN
        values = dict(zip(features, stored.values, strict=True))
        return view, state, values, stored.known_at, version, moments.complete_until


def _missing(view: str, nulls: Mapping[str, Any]) -> _Found:
    return view, MISSING, nulls, None, None, None


def _joined(of_row: Sequence[_Found]) -> Fetched:
    values: dict[str, Any] = {}
    states, known_at, versions, complete_until = {}, {}, {}, {}
    for view, state, own, known, version, complete in of_row:
        states[view], known_at[view], complete_until[view] = state, known, complete
        if version is not None:
            versions[view] = version
        values.update(own)
    return Fetched(values, states, known_at, versions, complete_until)
