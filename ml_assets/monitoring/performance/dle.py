"""Direct loss estimation (DLE): the error of a regression before labels are known.

A second model learns from the reference how large the error of the first is, given the features and the prediction;
the mean of what it expects is the estimate. NannyML's implementation, with LightGBM as the second model.

It sees that rows have become harder to predict. It cannot see that the outcome now depends on the features in another
way: that shows in realised performance alone.
"""

from collections.abc import Sequence

import polars as pl

from ml_assets.monitoring import nml
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.inputs import plain, typed
from ml_assets.monitoring.performance.estimate import estimate_chunks
from ml_assets.monitoring.performance.outputs import Outputs


def estimate_by_loss(
    reference: pl.DataFrame,
    analysis: pl.DataFrame,
    *,
    outputs: Outputs,
    features: Sequence[str],
    metrics: Sequence[str],
    seed: int,
) -> pl.DataFrame:
    """DLE per chunk and over all rows.

    Args:
        reference: CHUNK, the features and what ``outputs`` names, typed by it, sorted by CHUNK.
        analysis: the same without the label.
        metrics: of mae and rmse.

    Returns:
        As ``estimate_chunks``.

    Raises:
        MonitoringError: NannyML failed.
    """
    found = typed(reference, analysis, features)
    kept = [CHUNK, outputs.prediction]
    with nml.calls("estimated performance"):
        estimator = nml.load().DLE(
            feature_column_names=list(found.all),
            y_pred=outputs.prediction,
            y_true=outputs.label,
            metrics=list(metrics),
            timestamp_column_name=CHUNK,
            chunker=nml.run_chunker(CHUNK),
            hyperparameters={"seed": seed, "deterministic": True, "force_row_wise": True, "verbose": -1},
        )
        return estimate_chunks(
            estimator,
            plain(reference, found, [*kept, outputs.label]),
            plain(analysis, found, kept),
            {metric: metric for metric in metrics},
            seed,
        )
