"""One model, asked with plain values instead of frames: the same numbers as the batch path, without its frames."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.onnx_model import NotAsOnnx, open_onnx, to_onnx
from ml_assets.training.encoding import FeatureEncoding
from ml_assets.training.fit import TrainedModel, calibrated
from ml_assets.training.scored import score_columns
from ml_assets.training.spaces import XGBOOST

log = logging.getLogger(__name__)

_PROBES = 256

FEW = 16
"""Rows up to which ONNX Runtime answers; the library is faster for more."""

TOLERANCE = 1e-6
"""How far, absolutely and relatively, ONNX Runtime may be from the library on the rows that it is tried on."""

Ask = Callable[[np.ndarray], np.ndarray]
"""Encoded rows in, scores before calibration out."""

WANTED = {"number": "a number", "boolean": "true or false", "category": "text"}


class Predictor:
    """Answers for one version of a model.

    A boosted tree is asked with one thread: a row is too little to share, and the server's own requests are what runs
    side by side.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.features = model.encoding.features
        self._codes = [
            {value: float(code) for code, value in enumerate(feature.vocabulary)} for feature in self.features
        ]
        self._names = {feature.name for feature in self.features}
        self._ask_few: Ask = self._ask_library
        if model.kind == XGBOOST:
            model.estimator.set_param({"nthread": 1})
            self._ask_few = self._checked_onnx() or self._ask_library

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Rows with every feature by name, null where there is no value, as float32 of shape (rows, features).

        Raises:
            BadRequest: a feature is missing, unknown, of another type or infinite.
        """
        matrix = np.empty((len(rows), len(self.features)), dtype=np.float32)
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise BadRequest(f"row {at} must be an object with a value for each feature")
            if row.keys() != self._names:
                raise BadRequest(f"row {at}: {self._differing(row.keys())}")
            for column, feature in enumerate(self.features):
                matrix[at, column] = self._encode(column, feature, row[feature.name], at)
        return self._finite(matrix)

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> np.ndarray:
        """Columns by feature name, all of one length, as `encode_rows`."""
        if columns.keys() != self._names:
            raise BadRequest(self._differing(columns.keys()))
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise BadRequest(f"the features have different numbers of values: {lengths}")
        matrix = np.empty((next(iter(lengths.values()), 0), len(self.features)), dtype=np.float32)
        for column, feature in enumerate(self.features):
            values = columns[feature.name]
            if isinstance(values, np.ndarray) and self._is_taken_as_it_is(feature, values):
                matrix[:, column] = values
            else:
                matrix[:, column] = [self._encode(column, feature, value, at) for at, value in enumerate(values)]
        return self._finite(matrix)

    def predict(self, matrix: np.ndarray) -> dict[str, list]:
        """What batch scoring would write for these rows, by column: score, prediction and what the task adds."""
        score = (self._ask_few if len(matrix) <= FEW else self._ask_library)(matrix)
        return {column.name: column.to_list() for column in score_columns(self.model, calibrated(self.model, score))}

    def warm_up(self) -> None:
        """Ask once, with every value missing.

        Raises:
            ValueError: the answer is no number.
        """
        answer = self.predict(np.full((1, len(self.features)), np.nan, dtype=np.float32))
        if not math.isfinite(answer["score"][0]):
            raise ValueError(f"the model answers {answer['score'][0]} to a row without values")

    def _ask_library(self, matrix: np.ndarray) -> np.ndarray:
        return self.model.library.predict(self.model.estimator, matrix, len(self.model.classes or ()))

    def _checked_onnx(self) -> Ask | None:
        """The model in ONNX Runtime, if it can be written as ONNX and says what the library says."""
        try:
            ask = open_onnx(to_onnx(self.model))
        except NotAsOnnx as error:
            log.info("every row asks the library: %s", error)
            return None
        probes = self._probes()
        alone = np.concatenate([ask(probes[at : at + 1]) for at in range(len(probes))])
        if np.allclose(alone, self._ask_library(probes), rtol=TOLERANCE, atol=TOLERANCE):
            return ask
        log.warning("ONNX Runtime differs from XGBoost: every row asks the library")
        return None

    def _probes(self) -> np.ndarray:
        """Made-up rows: every category, numbers of all sizes, values missing here and there."""
        random = np.random.default_rng(0)
        columns = []
        for feature in self.features:
            if feature.kind == "number":
                values = random.standard_normal(_PROBES) * 10.0 ** random.integers(-2, 5, _PROBES)
            else:
                values = random.integers(0, max(len(feature.vocabulary), 2), _PROBES).astype(np.float64)
            columns.append(np.where(random.random(_PROBES) < 0.2, np.nan, values))
        return np.array(columns, dtype=np.float32).T.copy()

    def _is_taken_as_it_is(self, feature: FeatureEncoding, values: np.ndarray) -> bool:
        return (
            values.dtype.kind == "b"
            if feature.kind == "boolean"
            else (feature.kind == "number" and values.dtype.kind in "iuf")
        )

    def _encode(self, column: int, feature: FeatureEncoding, value: Any, row: int) -> float:
        if value is None:
            return math.nan
        if feature.kind == "number" and type(value) in (int, float):
            return value
        if feature.kind == "boolean" and type(value) is bool:
            return float(value)
        if feature.kind == "category" and type(value) is str:
            # What training has not seen is missing, as in the batch path.
            return self._codes[column].get(value, math.nan)
        raise BadRequest(
            f"row {row}, feature {feature.name}: must be {WANTED[feature.kind]} or null, not {str(value)[:40]!r}"
        )

    def _differing(self, given) -> str:
        missing, strange = sorted(self._names - given), sorted(set(map(str, given)) - self._names)
        told = [f"features {missing} are missing (give null where there is no value)"] if missing else []
        told += [f"there are no features {strange[:10]}"] if strange else []
        return "; ".join(told)

    def _finite(self, matrix: np.ndarray) -> np.ndarray:
        infinite = np.isinf(matrix).any(axis=0)
        if infinite.any():
            names = [feature.name for feature, bad in zip(self.features, infinite, strict=True) if bad]
            raise BadRequest(f"features {names} hold infinite values or some beyond the range of a float32")
        return matrix
