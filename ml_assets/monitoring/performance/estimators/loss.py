"""Direct loss estimation (DLE): the error of a regression before labels are known.

A second model learns from the reference how large the error of the first is, given the features and the prediction;
the mean of what it expects is the estimate. LightGBM is the second model. Source: NannyML's DLE, whose values these are
(https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html#direct-loss-estimation-dle).

It sees that rows have become harder to predict. It cannot see that the outcome now depends on the features in another
way: that shows in realised performance alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.inputs import Features, plain, typed
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest, PerformanceEstimator
from ml_assets.training.kinds.lean import import_library

if TYPE_CHECKING:
    from lightgbm import Booster

SAMPLING_ERRORS = 3
"""Standard deviations of the mean of as many known errors as a chunk has rows, either way."""
_ROUNDS = 100
_MISSING = "NML_missing_value"  # as NannyML has it, which decides the order of categories
_SCHEMA = {CHUNK: pl.Int64, "metric": pl.String, "value": pl.Float64, "lower": pl.Float64, "upper": pl.Float64}


class LossEstimator(PerformanceEstimator):
    """DLE: it learns a model of its own, on every feature, in each fit, so that fewer rows have to do."""

    reads_features = True
    most_rows = 6_000

    def estimate(self, reference: pl.DataFrame, analysis: pl.DataFrame, request: EstimateRequest) -> pl.DataFrame:
        """Estimate by a model of the errors for each metric; metrics are of mae and rmse."""
        columns = request.columns
        inputs = _Inputs.learn(reference, typed(reference, analysis, request.features), columns.prediction)
        known, unknown = inputs.matrix(reference), inputs.matrix(analysis)
        error = (reference[columns.label] - reference[columns.prediction]).abs().to_numpy()
        parts = [pl.DataFrame(schema=_SCHEMA)]
        for metric, name in request.metrics.items():
            loss = error if name == "mae" else error**2
            model = _learn(known, loss, inputs.categorical, request.seed)
            expected = np.maximum(0, np.asarray(model.predict(unknown, num_threads=1)))
            rows = [
                {CHUNK: chunk, "metric": metric, **_band(name, expected[rows], loss)}
                for chunk, rows in _chunks(analysis[CHUNK])
            ]
            parts.append(pl.DataFrame(rows, schema=_SCHEMA))
        return pl.concat(parts)


@dataclass(frozen=True)
class _Inputs:
    """How features and prediction become a matrix.

    Attributes:
        categories: text feature -> its values in the reference, in order, to be numbered from 1; a missing value is one
            as well. A value that the reference has not is none, 0.
    """

    features: Features
    prediction: str
    categories: dict[str, pl.Series]

    @classmethod
    def learn(cls, reference: pl.DataFrame, features: Features, prediction: str) -> "_Inputs":
        texts = plain(reference, features, [])
        return cls(
            features, prediction, {name: texts[name].fill_null(_MISSING).unique().sort() for name in features.text}
        )

    @property
    def categorical(self) -> list[int]:
        """The columns of the matrix that hold numbers of categories."""
        first = len(self.features.numeric)
        return list(range(first, first + len(self.features.text)))

    def matrix(self, frame: pl.DataFrame) -> np.ndarray:
        """Return float64 of shape (rows, features + 1): numbers, categories, and the prediction last."""
        codes = [
            pl.col(name)
            .fill_null(_MISSING)
            .replace_strict(known, pl.int_range(1, len(known) + 1, eager=True), default=0)
            for name, known in self.categories.items()
        ]
        rows = plain(frame, self.features, [self.prediction]).with_columns(codes)
        return rows.select(*self.features.all, pl.col(self.prediction)).to_numpy(order="c")


def _learn(matrix: np.ndarray, loss: np.ndarray, categorical: list[int], seed: int) -> "Booster":
    lightgbm = import_library("lightgbm")
    parameters = {
        "objective": "regression",
        "seed": seed,
        # Of so few rows, more threads only wait for one another; the result is the same.
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    rows = lightgbm.Dataset(matrix, loss, categorical_feature=categorical, params=parameters)
    return lightgbm.train(parameters, rows, _ROUNDS)


def _chunks(chunks: pl.Series) -> Iterator[tuple[int | None, slice]]:
    """Yield each chunk with its rows, which follow one another, and None with all rows."""
    values = chunks.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for start, end in pairwise(starts):
        yield int(values[start]), slice(start, end)
    yield None, slice(None)


def _band(name: str, expected: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """Return an estimate with its sampling error, which follows from the losses known, either way.

    Args:
        expected: losses of the rows in question.
        loss: known ones, absolute errors for mae and squared ones for rmse.
    """
    value = float(np.mean(expected))
    deviation = float(np.std(loss)) / np.sqrt(len(expected))
    if name == "rmse":
        value = float(np.sqrt(value))
        # Of a root, to first order.
        deviation /= 2 * np.sqrt(np.mean(loss)) if loss.any() else 1
    reach = SAMPLING_ERRORS * float(deviation)
    return {"value": value, "lower": max(0.0, value - reach), "upper": value + reach}


ESTIMATOR = LossEstimator()
