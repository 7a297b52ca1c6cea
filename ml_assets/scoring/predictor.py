"""One model, asked with plain values instead of frames: the same numbers as the batch path, without its frames."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ml_assets.scoring.errors import InvalidRows
from ml_assets.scoring.plain_scores import plain_columns
from ml_assets.scoring.row_encoder import RowEncoder
from ml_assets.training.fit import TrainedModel, calibrated
from ml_assets.training.kinds.spaces import XGBOOST
from ml_assets.training.kinds.xgboost_onnx import NotAsOnnx, open_booster
from ml_assets.training.scored import score_columns

log = logging.getLogger(__name__)

_PROBES = 256

FEW = 32
"""Rows up to which ONNX Runtime and plain Python answer; the library and arrays are faster for more."""

TOLERANCE = 1e-6
"""How far, absolutely and relatively, ONNX Runtime may be from the library on the rows that it is tried on."""

Answer = dict[str, list]
"""Predictions of some rows, by column."""

AskFew = Callable[[np.ndarray], list]
"""Encoded rows in, scores before calibration out: a number for each row, or a list of one per class."""


class Predictor:
    """Answers for one version of a model.

    A boosted tree is asked with one thread: a row is too little to share, and the server's own requests are what runs
    side by side.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.features = model.encoding.features
        encoder = RowEncoder(self.features)
        self.encode_rows, self.encode_columns = encoder.encode_rows, encoder.encode_columns
        self.encode_features = encoder.encode_features
        self._columns = plain_columns(model)
        self._ask_few: AskFew = self._ask_library_few
        if model.kind == XGBOOST:
            model.estimator.set_param({"nthread": 1})
            self._ask_few = self._checked_onnx() or self._ask_library_few

    def predict(self, matrix: np.ndarray) -> Answer:
        """What batch scoring would write for these rows, by column: score, prediction and what the task adds."""
        if len(matrix) <= FEW:
            return self._columns(self._ask_few(matrix))
        score = calibrated(self.model, self._ask_library(matrix))
        return {column.name: column.to_list() for column in score_columns(self.model, score)}

    def contributions(self, matrix: np.ndarray) -> list[dict[str, Any]]:
        """How each feature moved each row's score: SHAP values in the margin's space (the log-odds of a probability,
        before calibration), which add up to the margin together with the base.

        Returns:
            Of each row base and features; of several classes those of each class, by its name.

        Raises:
            InvalidRows: models of this kind have none.
        """
        found = self.model.library.contributions(self.model.estimator, self.model.encoding, matrix)
        if found is None:
            raise InvalidRows(f"contributions: models of kind {self.model.kind} have none; leave them out")
        if found.ndim == 2:
            return [self._contribution(row) for row in found.tolist()]
        classes = self.model.classes
        return [
            {name: self._contribution(own) for name, own in zip(classes, row, strict=True)} for row in found.tolist()
        ]

    def _contribution(self, values: list[float]) -> dict[str, Any]:
        *own, base = values
        return {"base": base, "features": dict(zip(self.model.features, own, strict=True))}

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

    def _ask_library_few(self, matrix: np.ndarray) -> list:
        return self._ask_library(matrix).tolist()

    def _checked_onnx(self) -> AskFew | None:
        """The model in ONNX Runtime, if it can be written as ONNX and says what the library says."""
        try:
            ask = open_booster(self.model.estimator)
        except NotAsOnnx as error:
            log.info("every row asks the library: %s", error)
            return None
        probes = self._probes()
        alone = [ask(probes[at : at + 1])[0] for at in range(len(probes))]
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
