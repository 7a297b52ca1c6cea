"""Which features move the score, and by how much."""

import numpy as np
import polars as pl

from ml_assets.training.fit import TrainedModel
from ml_assets.training.sampling import sample_rows


def explain(model: TrainedModel, frame: pl.DataFrame, *, rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
    """Mean absolute contribution of each feature over a seeded sample of rows.

    Contributions are SHAP values of trees, computed exactly by XGBoost. Source: Lundberg et al., "From local
    explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020.

    Returns:
        feature, importance (mean absolute contribution, in log-odds), share (of the sum of importances);
        the most important first, ties by name.
    """
    importance = np.abs(contributions(model, sample_rows(frame, rows, seed))[:, :-1]).mean(axis=0, dtype=np.float64)
    total = importance.sum()
    return pl.DataFrame(
        {
            "feature": model.features,
            "importance": importance,
            "share": importance / total if total > 0 else importance,
        }
    ).sort("importance", "feature", descending=[True, False])


def contributions(model: TrainedModel, frame: pl.DataFrame) -> np.ndarray:
    """SHAP values in log-odds, float32 of shape (rows, features + 1); the last column is the bias.

    A row sums to the log-odds of its score.
    """
    import xgboost as xgb

    matrix = xgb.DMatrix(
        model.encoding.encode(frame),
        feature_names=model.encoding.names,
        feature_types=model.encoding.feature_types,
        enable_categorical=True,
    )
    return model.booster.predict(matrix, pred_contribs=True)
