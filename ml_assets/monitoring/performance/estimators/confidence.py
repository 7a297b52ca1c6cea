"""Confidence-based performance estimation (CBPE): performance of a classifier before labels are known.

A calibrated probability says how often a prediction of its kind is right, so the expected confusion
matrix, and every metric made of it, follows from the scores alone. NannyML's implementation; method: J.
Kivimäki, J. Białek, W. Kuberski, J. K. Nurminen, Performance Estimation in Binary Classification Using
Calibrated Confidence, 2025, arXiv:2505.05295.

It sees the effect of a shift in the features. It cannot see that the outcome now depends on them in
another way: that shows in realised performance alone.
"""

from dataclasses import replace
from typing import Any

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.estimators.chunked import estimate_chunks
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest, PerformanceEstimator
from ml_assets.monitoring.performance.estimators.expected import estimate_expected, is_expected
from ml_assets.training.tasks.columns import ScoredColumns, probability_column


class ConfidenceEstimator(PerformanceEstimator):
    """CBPE, calibrated once on the reference (isotonic, if that helps)."""

    def estimate(self, reference: pl.DataFrame, analysis: pl.DataFrame, request: EstimateRequest) -> pl.DataFrame:
        """Estimate by NannyML's ``CBPE``; what it has no metric for, by ``estimate_expected``."""
        own = [name for name in request.metrics if is_expected(name)]
        others = {name: named for name, named in request.metrics.items() if name not in own}
        parts = [self._by_nannyml(reference, analysis, replace(request, metrics=others))] if others else []
        if own:
            parts.append(estimate_expected(reference, analysis, request.columns, own))
        return pl.concat(parts)

    def _by_nannyml(self, reference: pl.DataFrame, analysis: pl.DataFrame, request: EstimateRequest) -> pl.DataFrame:
        columns = request.columns
        names = {columns.probability: "probability", columns.prediction: "prediction", columns.label: "label"}
        reference, analysis = (frame.rename(names, strict=False) for frame in (reference, analysis))
        with nml.calls("estimated performance"):
            estimator = nml.load().CBPE(
                **_problem(columns),
                y_pred="prediction",
                y_true="label",
                metrics=list(request.metrics.values()),
                timestamp_column_name=CHUNK,
                chunker=nml.run_chunker(CHUNK),
            )
            return estimate_chunks(estimator, reference, analysis, request.metrics, request.seed)


def _problem(columns: ScoredColumns) -> dict[str, Any]:
    if not columns.classes:
        return {"problem_type": "classification_binary", "y_pred_proba": "probability"}
    scores = {name: probability_column(name) for name in columns.classes}
    return {"problem_type": "classification_multiclass", "y_pred_proba": scores}


ESTIMATOR = ConfidenceEstimator()
