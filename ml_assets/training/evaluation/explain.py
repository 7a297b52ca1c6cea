"""Which features move the score, and by how much."""

import numpy as np
import polars as pl

from ml_assets.training.fit import TrainedModel
from ml_assets.training.sampling.seeded import sample_rows
from ml_assets.training.tasks import find_task


def explain(model: TrainedModel, frame: pl.DataFrame, *, rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
    """Return how far each feature moves the score, as a mean over a seeded sample of rows.

    Of boosted trees it is the mean absolute SHAP value, computed exactly by the library (of several classes, their
    mean). Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
    Nature Machine Intelligence 2, 2020. Of other estimators it is the mean absolute change of the score when the
    feature's values are shuffled among the rows, after Breiman, "Random forests", Machine Learning 45, 2001.

    Returns:
        feature, importance (in the unit that ``importance_unit`` names), share (of the sum of importances); the most
        important first, ties by name.
    """
    matrix = model.encoding.encode(sample_rows(frame, rows, seed))
    shap = model.model_kind.contributions(model.estimator, model.encoding, matrix)
    if shap is None:
        importance = _changes(model, matrix, seed)
    else:
        over = tuple(range(shap.ndim - 1))
        importance = np.abs(shap[..., :-1]).mean(axis=over, dtype=np.float64)
    total = importance.sum()
    return pl.DataFrame(
        {
            "feature": model.features,
            "importance": importance,
            "share": importance / total if total > 0 else importance,
        }
    ).sort("importance", "feature", descending=[True, False])


def importance_unit(model: TrainedModel) -> str:
    """Return the unit of what ``explain`` measures, for an axis."""
    if not model.model_kind.has_contributions:
        return "mean |change of the score| when shuffled"
    return f"mean |SHAP value|, {find_task(model.task).importance_unit}"


def contributions(model: TrainedModel, frame: pl.DataFrame) -> np.ndarray:
    """Return SHAP values of boosted trees, of shape (rows, features + 1) or (rows, classes, features + 1).

    The last column is the bias. A row sums to the log-odds of its score, before any calibration, or to its value.

    Raises:
        ValueError: the model is of another kind.
    """
    shap = model.model_kind.contributions(model.estimator, model.encoding, model.encoding.encode(frame))
    if shap is None:
        raise ValueError(f"a model of kind {model.kind} has no SHAP values: see explain")
    return shap


def _changes(model: TrainedModel, matrix: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    score = model.raw_scores(matrix)
    changes = np.zeros(matrix.shape[1])
    for column in range(matrix.shape[1]):
        shuffled = matrix.copy()
        shuffled[:, column] = rng.permutation(matrix[:, column])
        changes[column] = np.abs(model.raw_scores(shuffled) - score).mean()
    return changes
