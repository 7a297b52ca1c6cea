"""A model asked about rows of its spine: the request holds the keys, the features are looked up and computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_assets.online.lookup import Fetched, OnlineFeatures
from ml_assets.online.store import OnlineStore, StoreUnavailable
from ml_assets.serving.declared import ServedModel
from ml_assets.serving.errors import BadRequest
from ml_assets.serving.request_features import RequestFeatures
from ml_assets.serving.request_rows import RowReader

_NOTHING = Fetched({}, {}, {}, {})


class RowModel:
    """Every version of one declared model: what is read of a request, and its features."""

    def __init__(self, declared: ServedModel, store: OnlineStore | None) -> None:
        """Compile the declaration.

        Args:
            store: holds the features of the views with a table; None where there is no such view.

        Raises:
            ValueError: a field has a type that a request cannot hold, or an expression is no Polars SQL.
        """
        self.declared = declared
        self.read = RowReader(declared.fields).read
        self._computed = RequestFeatures(declared.views, RowReader(declared.fields).schema, declared.time)
        self._stored = OnlineFeatures(store, declared.views) if store is not None else None
        self._names = {*self._computed.names, *(self._stored.names if self._stored else ())}

    def features(self, rows: Sequence[Mapping[str, Any]], at: int) -> tuple[list[dict[str, Any]], Sequence[Fetched]]:
        """The features of rows by name, and what was found of the stored ones.

        Args:
            rows: as `read` gives them.
            at: the moment of the request, microseconds.

        Raises:
            BadRequest: an expression cannot be evaluated on a row, or the store is out of reach (503).
        """
        computed = self._computed.compute(rows, at)
        if self._stored is None:
            return computed, [_NOTHING] * len(rows)
        try:
            fetched = self._stored.fetch(rows, at)
        except StoreUnavailable as error:
            raise BadRequest(f"the features cannot be looked up, try again: {error}", 503) from error
        for own, found in zip(computed, fetched, strict=True):
            own.update(found.values)
        return computed, fetched

    def lacking(self, features: Sequence[str]) -> list[str]:
        """Those of a version's features that the declaration does not give."""
        return [name for name in features if name not in self._names]
