"""Features that know too much: one that predicts the outcome almost alone has probably seen it."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.training.encoding import Encoding
from ml_assets.training.sampling.seeded import sample_rows
from ml_assets.training.tasks import BINARY, find_task
from ml_assets.training.tasks.baselines import PRIOR_ROWS

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
    task: str = BINARY,
) -> pl.DataFrame:
    """Judge every feature alone.

    A feature's values are cut into 50 bins of equal mass (categories as they are, missing values apart);
    the share of positives of each bin, learned on training rows, is its score on the holdout: of several
    classes the share of each, of a number its mean. So a leak is found whatever its shape, also one that lies
    in a value being missing.

    Args:
        limit: the measure from which a feature is suspicious. Of a number it is the share of pairs of rows that
            the feature puts in the right order (Harrell's C), which is the ROC AUC where the number is 0 or 1.

    Returns:
        feature, the measure (``leak_metric`` of the task), limit, suspicious; the highest first, ties by name.
    """
    outcome_task = find_task(task)
    known = sample_rows(train, _TRAIN_ROWS, seed)
    encoding = Encoding.learn(known, features)
    known_matrix, matrix = encoding.encode(known), encoding.encode(holdout)
    classes = outcome_task.classes_of(train[label])
    known_label, outcome = (outcome_task.outcomes(part[label], classes) for part in (known, holdout))
    taught = (known_label[:, None] == np.arange(len(classes))) if classes else known_label[:, None]
    scores = []
    for column, feature in enumerate(encoding.features):
        edges = _edges(known_matrix[:, column], feature.kind)
        rates = _rates(_bins(known_matrix[:, column], edges), taught.astype(np.float64), len(edges) + 2)
        alone = rates[_bins(matrix[:, column], edges)]
        scores.append(outcome_task.leak_strength(outcome, alone if classes else alone[:, 0]))
    measured = outcome_task.leak_metric
    return (
        pl.DataFrame({"feature": encoding.names, measured: scores})
        .with_columns(limit=pl.lit(limit), suspicious=pl.col(measured) >= limit)
        .sort(measured, "feature", descending=[True, False])
    )


def _edges(values: np.ndarray, kind: str) -> np.ndarray:
    values = values[~np.isnan(values)]
    if kind != "number" or len(values) == 0:
        return np.unique(values)
    return np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS, method="nearest"))


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _rates(bins: np.ndarray, taught: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of each column of ``taught`` in each bin, drawn towards the overall mean; shape (bins,
    columns)."""
    rows = np.bincount(bins, minlength=count)[:, None]
    sums = np.stack([np.bincount(bins, weights=column, minlength=count) for column in taught.T], axis=1)
    return (sums + PRIOR_ROWS * taught.mean(axis=0)) / (rows + PRIOR_ROWS)
