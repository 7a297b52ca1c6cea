"""The stored features of requests: one read for all views and rows."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, overload

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

Found = tuple[str, str, Mapping[str, Any], int | None, tuple[str, int] | None, int | None]
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


@dataclass(frozen=True, slots=True)
class FoundOfView:
    """What was looked up of a view for many rows, which share most of their entities.

    Attributes:
        found: of each entity.
        places: of each row, where in `found` its entity stands.
    """

    found: Sequence[Found]
    places: Sequence[int]

    def by_row(self, values: Sequence[Any]) -> Iterator[Any]:
        """Yield for each row what belongs to its entity, of values in the order of `found`."""
        return map(values.__getitem__, self.places)


class FetchedRows(Sequence[Fetched]):
    """The stored features of many rows: of each row as it is read, and view by view.

    Attributes:
        views: what was looked up of each.
    """

    def __init__(self, rows: int, views: Sequence[FoundOfView]) -> None:
        self.views = views
        self._rows = rows

    def __len__(self) -> int:
        """Count the rows."""
        return self._rows

    @overload
    def __getitem__(self, at: int) -> Fetched: ...

    @overload
    def __getitem__(self, at: slice) -> list[Fetched]: ...

    def __getitem__(self, at: int | slice) -> Fetched | list[Fetched]:
        """Return what was looked up of a row."""
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(self._rows))]
        return _joined([view.found[view.places[at]] for view in self.views])

    def __iter__(self) -> Iterator[Fetched]:
        """Yield what was looked up of each row."""
        if not self.views:
            return iter([_joined(()) for _ in range(self._rows)])
        return map(_joined, zip(*(view.by_row(view.found) for view in self.views), strict=True))

    def counted(self) -> Iterator[tuple[Found, int]]:
        """Yield what was looked up, with the number of rows that it is of."""
        for view in self.views:
            for place, times in Counter(view.places).items():
                yield view.found[place], times


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

    def fetch(self, rows: Sequence[Mapping[str, Any]], at: int) -> Sequence[Fetched]:
        """Look up the features of each row as of `at`, microseconds.

        Args:
            rows: spine columns -> values, with the keys of all views; a null key is an unseen entity.

        Raises:
            KeyError: a row lacks a key.
        """
        if len(rows) == 1:
            texts = [entity_key([rows[0][name] for name in columns]) for columns in self._entities]
            return [_joined(self._find_all([(view, texts[place]) for view, place, _, _ in self._views], at))]
        # They share most of their entities: each is read and decoded once.
        shared = [_distinct(rows, columns) for columns in self._entities]
        found = iter(self._find_all([(view, text) for view, at, _, _ in self._views for text in shared[at][0]], at))
        views = [
            FoundOfView([next(found) for _ in entities], places)
            for entities, places in (shared[place] for _, place, _, _ in self._views)
        ]
        return FetchedRows(len(rows), views)

    def missing(self) -> Fetched:
        """Return what is looked up of a row where no view has a build."""
        return _joined([_missing(view, self._nulls[view]) for view, _, _, _ in self._views])

    def _find_all(self, keys: Sequence[tuple[str, str]], at: int) -> list[Found]:
        try:
            return self._find(keys, at)
        except BuildReplaced:
            return self._find_again(keys, at)

    def _find(self, keys: Sequence[tuple[str, str]], at: int, *, again: bool = True) -> list[Found]:
        of_build = self._moments.read(again=again)
        entries = self._store.read(keys, at)
        if not all(entry is None or entry.ready for entry in entries):
            entries = [self._ready(key, entry, at) for key, entry in zip(keys, entries, strict=True)]
        return [self._looked_up(key[0], entry, at, of_build) for key, entry in zip(keys, entries, strict=True)]

    def _find_again(self, keys: Sequence[tuple[str, str]], at: int) -> list[Found]:
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

    def _looked_up(self, view: str, stored: Stored | None, at: int, of_build: Callable[[str, str], OfBuild]) -> Found:
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


def _missing(view: str, nulls: Mapping[str, Any]) -> Found:
    return view, MISSING, nulls, None, None, None


def _distinct(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the entities of rows, each once, and of each row which one it has."""
    keys = list(map(itemgetter(*columns), rows)) if columns else [()] * len(rows)
    order: dict[Any, int] = {}
    places = [order.setdefault(key, len(order)) for key in keys]
    return [entity_key([key] if len(columns) == 1 else key) for key in order], places


def _joined(of_row: Sequence[Found]) -> Fetched:
    values: dict[str, Any] = {}
    states, known_at, versions, complete_until = {}, {}, {}, {}
    for view, state, own, known, version, complete in of_row:
        states[view], known_at[view], complete_until[view] = state, known, complete
        if version is not None:
            versions[view] = version
        values.update(own)
    return Fetched(values, states, known_at, versions, complete_until)
