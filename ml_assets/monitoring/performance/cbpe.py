"""Confidence-based performance estimation (CBPE): performance of a classifier before labels are known.

A calibrated probability says how often a prediction of its kind is right, so the expected confusion
matrix, and every metric made of it, follows from the scores alone. NannyML's implementation; method: J.
Kivimäki, J. Białek, W. Kuberski, J. K. Nurminen, Performance Estimation in Binary Classification Using
Calibrated Confidence, 2025, arXiv:2505.05295.

It sees the effect of a shift in the features. It cannot see that the outcome now depends on them in
another way: that shows in realised performance alone.
"""

from collections.abc import Sequence

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.estimate import estimate_chunks
from ml_assets.monitoring.performance.outputs import Outputs
from ml_assets.training.scored import probability_column
from ml_assets.training.tasks import MULTICLASS

_NAMED = {"macro_f1": "f1"}  # of several classes, NannyML's f1 is the mean over them


def estimate_by_confidence(
    reference: pl.DataFrame, analysis: pl.DataFrame, *, outputs: Outputs, metrics: Sequence[str], seed: int
) -> pl.DataFrame:
    """CBPE, calibrated once on the reference (isotonic, if that helps), per chunk and over all rows.

    Args:
        reference: CHUNK, and what ``outputs`` names, typed by it, sorted by CHUNK.
        analysis: the same without the label.

    Returns:
        As ``estimate_chunks``.

    Raises:
        MonitoringError: NannyML failed.
    """
    names = {outputs.probability: "probability", outputs.prediction: "prediction", outputs.label: "label"}
    reference, analysis = (frame.rename(names, strict=False) for frame in (reference, analysis))
    named = {metric: _NAMED.get(metric, metric) for metric in metrics}
    with nml.calls("estimated performance"):
        estimator = nml.load().CBPE(
            **_problem(outputs),
            y_pred="prediction",
            y_true="label",
            metrics=list(named.values()),
            timestamp_column_name=CHUNK,
            chunker=nml.run_chunker(CHUNK),
        )
        return estimate_chunks(estimator, reference, analysis, named, seed)


def _problem(outputs: Outputs) -> dict:
    if outputs.task != MULTICLASS:
        return {"problem_type": "classification_binary", "y_pred_proba": "probability"}
    scores = {name: probability_column(name) for name in outputs.classes}
    return {"problem_type": "classification_multiclass", "y_pred_proba": scores}
