"""Direct loss estimation (DLE): the error of a regression before labels are known.

A second model learns from the reference how large the error of the first is, given the features and the prediction;
the mean of what it expects is the estimate. NannyML's implementation, with LightGBM as the second model.

It sees that rows have become harder to predict. It cannot see that the outcome now depends on the features in another
way: that shows in realised performance alone.
"""

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.inputs import plain, typed
from ml_assets.monitoring.performance.estimators.chunked import estimate_chunks
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest, PerformanceEstimator


class LossEstimator(PerformanceEstimator):
    """DLE: it learns a model of its own, on every feature, in each fit, so that fewer rows have to do."""

    reads_features = True
    most_rows = 6_000

    def estimate(self, reference: pl.DataFrame, analysis: pl.DataFrame, request: EstimateRequest) -> pl.DataFrame:
        """Estimate by NannyML's ``DLE``; metrics are of mae and rmse."""
        columns = request.columns
        features = typed(reference, analysis, request.features)
        kept = [CHUNK, columns.prediction]
        with nml.calls("estimated performance"):
            estimator = nml.load().DLE(
                feature_column_names=list(features.all),
                y_pred=columns.prediction,
                y_true=columns.label,
                metrics=list(request.metrics.values()),
                timestamp_column_name=CHUNK,
                chunker=nml.run_chunker(CHUNK),
                hyperparameters={
                    "seed": request.seed,
                    # Of so few rows, more threads only wait for one another; the result is the same.
                    "num_threads": 1,
                    "deterministic": True,
                    "force_row_wise": True,
                    "verbose": -1,
                },
            )
            return estimate_chunks(
                estimator,
                plain(reference, features, [*kept, columns.label]),
                plain(analysis, features, kept),
                request.metrics,
                request.seed,
            )


ESTIMATOR = LossEstimator()
