"""Plain values to the float32 that a model takes, a row or a column at a time, or one error that names the value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np

WANTED = {"number": "a number", "boolean": "true or false", "category": "text"}
_TYPES = {"number": (int, float), "boolean": (bool,), "category": (str,)}
_MOST_SIGNATURES = 4096


class InvalidRows(ValueError):
    """Rows that a model cannot score as they are; the message names the row and the feature."""


class Feature(Protocol):
    """How one feature becomes a float32."""

    @property
    def name(self) -> str:
        """Name in a row."""
        ...

    @property
    def kind(self) -> str:
        """What it holds: number, boolean or category."""
        ...

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The texts that a category knows; a category's code is its position."""
        ...


class RowEncoder:
    """Encodes rows that are no frame as `ml_assets.training.encoding.Encoding` encodes frames.

    The types of a row's values are checked together: a row whose values have the types of one that was checked before
    needs no look at each of them.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = features
        self.names = {feature.name for feature in features}
        self._pick = _picker([feature.name for feature in features])
        # What training has not seen is missing, as in the batch path.
        self._codes = [
            (at, {value: float(code) for code, value in enumerate(feature.vocabulary)}.get)
            for at, feature in enumerate(features)
            if feature.kind == "category"
        ]
        self._allowed = [{*_TYPES[feature.kind], type(None)} for feature in features]
        self._signatures: set[tuple[type, ...]] = set()

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Encode rows with every feature by name, null where there is no value, as float32 of shape (rows, features).

        Raises:
            InvalidRows: a feature is missing, unknown, of another type or infinite.
        """
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InvalidRows(f"row {at} must be an object with a value for each feature")
            if row.keys() != self.names:
                raise InvalidRows(f"row {at}: {self._differing(row.keys())}")
        return self.encode_features(rows)

    def encode_features(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Encode rows that are known to have every feature; they may have more.

        Raises:
            InvalidRows: a feature is of another type or infinite.
        """
        flat: list[Any] = []
        for at, row in enumerate(rows):
            values = self._pick(row)
            signature = tuple(map(type, values))
            if signature not in self._signatures:
                self._check(signature, values, at)
            if self._codes:
                values = list(values)
                for position, code in self._codes:
                    values[position] = code(values[position])
            flat += values
        # A null becomes NaN, and true becomes one.
        return self._finite(np.array(flat, dtype=np.float32).reshape(len(rows), len(self.features)))

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> np.ndarray:
        """Encode columns by feature name, all of one length, as `encode_rows` encodes rows."""
        if columns.keys() != self.names:
            raise InvalidRows(self._differing(columns.keys()))
        if all(type(values) is list and len(values) == 1 for values in columns.values()):
            return self.encode_features([{name: values[0] for name, values in columns.items()}])
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidRows(f"the features have different numbers of values: {lengths}")
        height = next(iter(lengths.values()), 0)
        codes, matrix = dict(self._codes), np.empty((height, len(self.features)), dtype=np.float32)
        for at, feature in enumerate(self.features):
            values = columns[feature.name]
            if isinstance(values, np.ndarray) and _needs_no_check(feature, values):
                matrix[:, at] = values
                continue
            for row, value in enumerate(values):
                self._check_value(at, value, row)
            matrix[:, at] = [codes[at](value) for value in values] if at in codes else values
        return self._finite(matrix)

    def _check(self, signature: tuple[type, ...], values: Sequence[Any], row: int) -> None:
        for at, value in enumerate(values):
            self._check_value(at, value, row)
        if len(self._signatures) >= _MOST_SIGNATURES:
            self._signatures.clear()
        self._signatures.add(signature)

    def _check_value(self, at: int, value: Any, row: int) -> None:
        if type(value) not in self._allowed[at]:
            feature = self.features[at]
            raise InvalidRows(
                f"row {row}, feature {feature.name}: must be {WANTED[feature.kind]} or null, not {str(value)[:40]!r}"
            )

    def _differing(self, names: Iterable[Any]) -> str:
        missing, strange = sorted(self.names - set(names)), sorted(set(map(str, names)) - self.names)
        problems = [f"features {missing} are missing (give null where there is no value)"] if missing else []
        problems += [f"there are no features {strange[:10]}"] if strange else []
        return "; ".join(problems)

    def _finite(self, matrix: np.ndarray) -> np.ndarray:
        if names := infinite_features(matrix, self.features):
            raise InvalidRows(f"features {names} hold infinite values or some beyond the range of a float32")
        return matrix


def infinite_features(matrix: np.ndarray, features: Sequence[Feature]) -> list[str]:
    """Return the names of the encoded features that hold an infinite value."""
    infinite = np.isinf(matrix)
    if not np.count_nonzero(infinite):
        return []
    return [feature.name for at, feature in enumerate(features) if infinite[:, at].any()]


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function that takes the values of a row in this order."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


def _needs_no_check(feature: Feature, values: np.ndarray) -> bool:
    return (
        values.dtype.kind == "b"
        if feature.kind == "boolean"
        else (feature.kind == "number" and values.dtype.kind in "iuf")
    )
