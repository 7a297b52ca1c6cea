"""Features that know too much: one that predicts the outcome almost alone has probably seen it."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.training.baseline import PRIOR_ROWS
from ml_assets.training.boosting import labels
from ml_assets.training.encoding import Encoding
from ml_assets.training.metrics import measure, rank_scores
from ml_assets.training.sampling import sample_rows

_BINS = 50
_TRAIN_ROWS = 50_000  # enough for 50 rates


def suspicious_features(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    *,
    features: Sequence[str],
    label: str,
    limit: float,
    seed: int,
) -> pl.DataFrame:
    """Judge every feature alone.

    A feature's values are cut into 50 bins of equal mass (categories as they are, missing values apart);
    the share of positives of each bin, learned on training rows, is its score on the holdout. So a leak
    is found whatever its shape, also one that lies in a value being missing.

    Args:
        limit: ROC AUC from which a feature is suspicious.

    Returns:
        feature, roc_auc, limit, suspicious; the highest first, ties by name.
    """
    known = sample_rows(train, _TRAIN_ROWS, seed)
    encoding = Encoding.learn(known, features)
    known_matrix, matrix = encoding.encode(known), encoding.encode(holdout)
    known_label, outcome = labels(known, label), labels(holdout, label)
    scores = []
    for column, feature in enumerate(encoding.features):
        edges = _edges(known_matrix[:, column], feature.kind)
        rates = _rates(_bins(known_matrix[:, column], edges), known_label, len(edges) + 2)
        ranked = rank_scores(outcome, rates[_bins(matrix[:, column], edges)])
        scores.append(measure(ranked, ["roc_auc"])["roc_auc"])
    return (
        pl.DataFrame({"feature": encoding.names, "roc_auc": scores})
        .with_columns(limit=pl.lit(limit), suspicious=pl.col("roc_auc") >= limit)
        .sort("roc_auc", "feature", descending=[True, False])
    )


def _edges(values: np.ndarray, kind: str) -> np.ndarray:
    values = values[~np.isnan(values)]
    if kind != "number" or len(values) == 0:
        return np.unique(values)
    return np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS, method="nearest"))


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _rates(bins: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    rows = np.bincount(bins, minlength=count)
    positives = np.bincount(bins, weights=label, minlength=count)
    return (positives + PRIOR_ROWS * label.mean()) / (rows + PRIOR_ROWS)
