"""The features of many rows, of which those that were looked up are shared: encoded once for each entity."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload
from weakref import WeakKeyDictionary

import numpy as np

from ml_assets.online.lookup import FetchedRows
from ml_assets.scoring.predictor import Predictor
from ml_assets.scoring_core.rows import InvalidRows, RowEncoder

Features = Mapping[str, Any]


class SharedFeatures(Sequence[Features]):
    """The features of rows by name, put together where they are read.

    Args:
        own: what was computed of each row.
        fetched: what was looked up for it, which stands for a feature of the same name.
    """

    def __init__(self, own: Sequence[Features], fetched: FetchedRows) -> None:
        self.own = own
        self.fetched = fetched

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.own)

    @overload
    def __getitem__(self, at: int) -> Features: ...

    @overload
    def __getitem__(self, at: slice) -> list[Features]: ...

    def __getitem__(self, at: int | slice) -> Features | list[Features]:
        """Return the features of a row."""
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        return {**self.own[at], **self.fetched[at].values}

    def __iter__(self) -> Iterator[Features]:
        """Yield the features of each row."""
        return ({**own, **fetched.values} for own, fetched in zip(self.own, self.fetched, strict=True))


def encode_features(predictor: Predictor, features: Sequence[Features]) -> np.ndarray:
    """Encode the features of rows as float32 of shape (rows, features); raises InvalidRows."""
    if not isinstance(features, SharedFeatures):
        return predictor.encode_features(features)
    encoders = _ENCODERS.get(predictor)
    if encoders is None:
        encoders = _ENCODERS[predictor] = _SharedEncoders(predictor)
    return encoders.encode(features)


class _SharedEncoders:
    """Encodes the features of one version part by part: those of rows, and those of each view."""

    def __init__(self, predictor: Predictor) -> None:
        self._encode_rows = predictor.encode_features
        self._features = predictor.features
        self._parts: dict[tuple[str, ...], tuple[np.ndarray, RowEncoder]] = {}

    def encode(self, features: SharedFeatures) -> np.ndarray:
        matrix = np.empty((len(features), len(self._features)), dtype=np.float32)
        missing = np.ones(len(self._features), dtype=bool)
        try:
            for at, codes in self._codes(features):
                matrix[:, at] = codes
                missing[at] = False
        except InvalidRows:
            missing[:] = True
        # Row by row, a value that cannot be encoded is named with its row.
        return self._encode_rows(list(features)) if missing.any() else matrix

    def _codes(self, features: SharedFeatures) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        at, encoder = self._part(features.own[0])
        if at.size:
            yield at, encoder.encode_features(features.own)
        for view in features.fetched.views:
            at, encoder = self._part(view.found[0][2])
            if at.size:
                yield at, encoder.encode_features([found[2] for found in view.found])[view.places]

    def _part(self, names: Iterable[str]) -> tuple[np.ndarray, RowEncoder]:
        """Return which of the version's features some names are, and what encodes them."""
        known = self._parts.get(named := tuple(names))
        if known is None:
            places = [at for at, feature in enumerate(self._features) if feature.name in named]
            encoder = RowEncoder([self._features[at] for at in places])
            known = self._parts[named] = np.array(places, dtype=np.intp), encoder
        return known


_ENCODERS: WeakKeyDictionary[Predictor, _SharedEncoders] = WeakKeyDictionary()
