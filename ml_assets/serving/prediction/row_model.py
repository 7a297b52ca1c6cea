"""A model asked about rows of its spine: the request holds the keys, the features are looked up and computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ml_assets.features.row.features import computable, only_of_row
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.online.lookup import Fetched, FetchedRows, OnlineFeatures
from ml_assets.online.stores.errors import StoreUnavailable
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.serving.declared import ServedModel
from ml_assets.serving.errors import FeaturesUnavailable
from ml_assets.serving.prediction.calendar_features import CalendarFeatures
from ml_assets.serving.prediction.derived_features import DerivedFeatures
from ml_assets.serving.prediction.request_features import RequestFeatures
from ml_assets.serving.prediction.request_rows import RowReader, polars_type
from ml_assets.serving.prediction.requirement import Requirement
from ml_assets.serving.prediction.shared_features import Features, SharedFeatures
from ml_assets.training.fit import TrainedModel
from ml_assets.training.records.inputs import ModelInputs, feature_meanings

_NOTHING = Fetched({}, {}, {}, {})


class RowModel:
    """Every version of one declared model: what is read of a request, and its features."""

    def __init__(self, declared: ServedModel, store: OnlineStore | None) -> None:
        """Compile the features of a declared model.

        Args:
            store: holds the features of the views with a table; None where there is no such view.

        Raises:
            ValueError: a field has a type that a request cannot hold, or an expression is no Polars SQL.
        """
        self.declared = declared
        require = declared.serving.require
        self._requirement = None if require is None else Requirement(require)
        self._store = store
        self.read = RowReader(declared.fields).read
        schema = RowReader(declared.fields).schema
        self._computed = RequestFeatures(declared.views, schema, declared.time)
        self._calendars = CalendarFeatures(declared.views, schema, declared.time)
        self._stored = OnlineFeatures(store, declared.views, declared.freshness) if store is not None else None
        self._derived = DerivedFeatures(declared.views, self._types() if any(v.derived for v in declared.views) else {})
        self._missing = self._stored.missing() if self._stored is not None else _NOTHING
        own = [*self._computed.names, *self._calendars.types, *self._derived.names]
        self._names = {*own, *(self._stored.names if self._stored else ())}

    def features(self, rows: Sequence[Mapping[str, Any]], at: int) -> tuple[Sequence[Features], Sequence[Fetched]]:
        """Compute the features of rows by name; returns what was looked up too.

        Args:
            rows: as `read` gives them.
            at: the moment of the request, microseconds.

        Raises:
            BadRequest: an expression cannot be evaluated on a row.
            FeaturesUnavailable: the store is out of reach.
        """
        return self._complete(rows, at, self._fetch(rows, at))

    def required_features(
        self, rows: Sequence[Mapping[str, Any]], at: int
    ) -> tuple[Sequence[Features], Sequence[Fetched], str]:
        """Compute the features of rows as `features` does, and say how they fall short of what the model requires.

        A store that is out of reach falls short: the features are then those of views without a build.
        """
        try:
            features, fetched = self.features(rows, at)
        except FeaturesUnavailable as error:
            return *self._complete(rows, at, [self._missing] * len(rows)), str(error)
        return features, fetched, "" if self._requirement is None else self._requirement.shortfall(fetched)

    def _complete(
        self, rows: Sequence[Mapping[str, Any]], at: int, fetched: Sequence[Fetched]
    ) -> tuple[Sequence[Features], Sequence[Fetched]]:
        computed = self._computed.compute(rows, at)
        self._calendars.add(computed, rows, at)
        if isinstance(fetched, FetchedRows) and not self._derived.names:
            return SharedFeatures(computed, fetched), fetched
        for own, stored in zip(computed, fetched, strict=True):
            own.update(stored.values)
        self._derived.add(computed)
        return computed, fetched

    def _types(self) -> dict[str, pl.DataType]:
        stored = {name: polars_type(dtype) for name, dtype in self.declared.stored_types.items()}
        return {**stored, **self._computed.types(), **self._calendars.types}

    def _fetch(self, rows: Sequence[Mapping[str, Any]], at: int) -> Sequence[Fetched]:
        if self._stored is None:
            return [_NOTHING] * len(rows)
        try:
            return self._stored.fetch(rows, at)
        except StoreUnavailable as error:
            raise FeaturesUnavailable(f"the features cannot be looked up, try again: {error}") from error

    def trained_on(self, inputs: ModelInputs | None) -> "RowModel":
        """Make the model of the features that a version was trained on, as far as requests and store give them."""
        views = self.declared.views if inputs is None else _as_trained(self.declared, inputs.views)
        if views == self.declared.views:
            return self
        return RowModel(self.declared.model_copy(update={"views": views}), self._store)

    def lacking(self, trained: TrainedModel) -> list[str]:
        """Return the features of a version that cannot be given here, or mean something else."""
        names = trained.features
        if trained.inputs is None:
            return [name for name in names if name not in self._names]
        given, wanted = feature_meanings(self.declared.views), trained.inputs.features
        return [name for name in names if name not in self._names or given.get(name) != wanted.get(name)]


def _as_trained(declared: ServedModel, views: Sequence[FeatureViewSpec]) -> list[FeatureViewSpec]:
    """Return the views that a version was trained on, without what neither a request nor the store gives."""
    fields = {field.name for field in declared.fields} | {declared.time}
    stored = {view.name: declaration_of(view) for view in declared.views if view.table is not None}
    own = []
    for view in views:
        keyed = {*view.spine_entity} <= fields
        if view.table is not None and keyed and stored.get(view.name) == declaration_of(view):
            own.append(computable(view, fields))
        elif rest := only_of_row(computable(view, fields, of_table=False)):
            own.append(rest)
    return own
