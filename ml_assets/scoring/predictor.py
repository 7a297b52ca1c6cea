"""One model, asked with plain values instead of frames: the same numbers as the batch path, without its frames."""

import logging
import math
from typing import Any

import numpy as np

from ml_assets.scoring_core.answers import PREDICTION, PlainColumns, plain_columns
from ml_assets.scoring_core.rows import InvalidRows, RowEncoder
from ml_assets.training.fit import TrainedModel, calibrated
from ml_assets.training.kinds.base import FewRowsScorer, OnnxUnsupported
from ml_assets.training.predictions.scored import score_columns
from ml_assets.training.tasks import find_task

log = logging.getLogger(__name__)

_PROBES = 256

FEW = 32
"""Rows up to which ONNX Runtime and plain Python answer; the library and arrays are faster for more."""

TOLERANCE = 1e-6
"""How far, absolutely and relatively, a kind's scorer of few rows may be from its library on trial rows."""

Answer = dict[str, list]
"""Predictions of some rows, by column."""


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
        model.model_kind.use_one_thread(model.estimator)
        self._columns = self._checked_plain_columns()
        self._score_few: FewRowsScorer = self._checked_few_rows_scorer() or self._score_few_by_library

    def predict(self, matrix: np.ndarray) -> Answer:
        """Return what batch scoring would write for these rows, by column: score, prediction and what the task adds."""
        if len(matrix) <= FEW:
            return self._columns(self._score_few(matrix))
        return self._columns_of_frame(self.model.raw_scores(matrix))

    def contributions(self, matrix: np.ndarray) -> list[dict[str, Any]]:
        """Return how each feature moved each row's score: SHAP values in the margin's space (the log-odds of a
        probability, before calibration), which add up to the margin together with the base.

        Returns:
            Of each row base and features; of several classes those of each class, by its name.

        Raises:
            InvalidRows: models of this kind have none.
        """
        values = self.model.model_kind.contributions(self.model.estimator, self.model.encoding, matrix)
        if values is None:
            raise InvalidRows(f"contributions: models of kind {self.model.kind} have none; leave them out")
        if values.ndim == 2:
            return [self._contribution(row) for row in values.tolist()]
        classes = self.model.classes or ()
        return [
            {name: self._contribution(own) for name, own in zip(classes, row, strict=True)} for row in values.tolist()
        ]

    def _contribution(self, values: list[float]) -> dict[str, Any]:
        *own, base = values
        return {"base": base, "features": dict(zip(self.model.features, own, strict=True))}

    def warm_up(self) -> None:
        """Predict once, with every value missing.

        Raises:
            ValueError: the answer is no number.
        """
        answer = self.predict(np.full((1, len(self.features)), np.nan, dtype=np.float32))
        if not math.isfinite(answer["score"][0]):
            raise ValueError(f"the model answers {answer['score'][0]} to a row without values")

    def _columns_of_frame(self, score: np.ndarray | list) -> Answer:
        corrected = calibrated(self.model, np.asarray(score, dtype=np.float64))
        return {column.name: column.to_list() for column in score_columns(self.model, corrected)}

    def _checked_plain_columns(self) -> PlainColumns:
        """Return a function that answers a few rows in plain Python, or by frames where the task has columns of its
        own."""
        form = find_task(self.model.task).learned_as
        plain = plain_columns(form, self.model, self.model.calibration.curves if self.model.calibration else ())
        scores = self.model.raw_scores(self._probes())
        answer, wanted = plain(scores.tolist()), self._columns_of_frame(scores)
        if answer.keys() == wanted.keys() and answer[PREDICTION] == wanted[PREDICTION]:
            return plain
        log.warning("answers of the task %s are not those of the form %s: they go by frames", self.model.task, form)
        return self._columns_of_frame

    def _score_few_by_library(self, matrix: np.ndarray) -> list:
        return self.model.raw_scores(matrix).tolist()

    def _checked_few_rows_scorer(self) -> FewRowsScorer | None:
        """Return the kind's own scorer of few rows, if it has one that agrees with its library."""
        try:
            score = self.model.model_kind.few_rows_scorer(self.model.estimator)
        except OnnxUnsupported as error:
            log.info("every row is scored by the library: %s", error)
            return None
        if score is None:
            return None
        probes = self._probes()
        alone = [score(probes[at : at + 1])[0] for at in range(len(probes))]
        if np.allclose(alone, self.model.raw_scores(probes), rtol=TOLERANCE, atol=TOLERANCE):
            return score
        log.warning("what scores few rows differs from %s: every row is scored by the library", self.model.kind)
        return None

    def _probes(self) -> np.ndarray:
        """Make up rows that probe a model: every category, numbers of all sizes, values missing here and there."""
        random = np.random.default_rng(0)
        columns = []
        for feature in self.features:
            if feature.kind == "number":
                values = random.standard_normal(_PROBES) * 10.0 ** random.integers(-2, 5, _PROBES)
            else:
                values = random.integers(0, max(len(feature.vocabulary), 2), _PROBES).astype(np.float64)
            columns.append(np.where(random.random(_PROBES) < 0.2, np.nan, values))
        return np.array(columns, dtype=np.float32).T.copy()
