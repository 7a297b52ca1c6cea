"""Confidence-based performance estimation (CBPE): performance of a classifier before labels are known.

A calibrated probability says how often a prediction of its kind is right, so the expected confusion
matrix, and every metric made of it, follows from the scores alone. NannyML's implementation; method: J.
Kivimäki, J. Białek, W. Kuberski, J. K. Nurminen, Performance Estimation in Binary Classification Using
Calibrated Confidence, 2025, arXiv:2505.05295.

It sees the effect of a shift in the features. It cannot see that the outcome now depends on them in
another way: that shows in realised performance alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.spec import MonitoringSpec


def estimate_binary(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    probability: str,
    prediction: str,
    label: str,
    spec: MonitoringSpec,
) -> pl.DataFrame:
    """CBPE, calibrated once on the reference (isotonic, if that helps), per chunk and over all rows.

    Args:
        reference: CHUNK, ``probability`` (Float64), ``prediction`` and ``label`` (Int64 0/1), sorted by
            CHUNK.
        analysis: the same without ``label``.

    Returns:
        CHUNK (null: all rows as one chunk), metric, value, lower, upper (Float64).

    Raises:
        MonitoringError: NannyML failed.
    """
    names = {probability: "probability", prediction: "prediction", label: "label"}
    reference, analysis = (frame.rename(names, strict=False) for frame in (reference, analysis))
    with nml.calls("estimated performance"), _seeded(spec.seed):
        estimator = _estimator(spec)
        estimator.fit(reference.to_pandas())
        by_chunk = estimator.estimate(analysis.to_pandas()).filter(period="analysis").to_df()
        together = analysis.with_columns(pl.lit(0, pl.Int64).alias(CHUNK))
        over_all = estimator.estimate(together.to_pandas()).filter(period="analysis").to_df()
    return pl.concat([_long(by_chunk, spec), _long(over_all, spec).with_columns(pl.lit(None, pl.Int64).alias(CHUNK))])


def _estimator(spec: MonitoringSpec):
    return nml.load().CBPE(
        problem_type="classification_binary",
        y_pred_proba="probability",
        y_pred="prediction",
        y_true="label",
        metrics=list(spec.estimated_metrics),
        timestamp_column_name=CHUNK,
        chunker=nml.run_chunker(CHUNK),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """NannyML resamples with NumPy's global generator; lend it a seeded one and put the old one back."""
    import numpy as np

    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _long(result, spec: MonitoringSpec) -> pl.DataFrame:
    keys = result[("chunk", "key")].to_numpy(dtype="int64")
    fields = {"value": "value", "lower": "lower_confidence_boundary", "upper": "upper_confidence_boundary"}
    return pl.concat(
        pl.DataFrame(
            {
                CHUNK: keys,
                **{ours: result[(metric, theirs)].to_numpy("float64") for ours, theirs in fields.items()},
            }
        ).select(CHUNK, pl.lit(metric).alias("metric"), *(pl.col(name).fill_nan(None) for name in fields))
        for metric in spec.estimated_metrics
    )
