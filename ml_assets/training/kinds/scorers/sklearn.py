"""Scores of a scikit-learn estimator in skops' format, which makes objects of the types in trusted.json only."""

import json

import numpy as np


def open_scorer(folder):
    """Read the estimator and return what scores encoded rows."""
    import skops.io

    estimator = skops.io.load(folder / "model.skops", trusted=json.loads((folder / "trusted.json").read_text()))
    return lambda matrix, classes: predict(estimator, matrix, classes)


def predict(estimator, matrix, classes):
    """Score encoded rows: float64 of shape (rows,) or (rows, classes), before calibration.

    A class that was in no row that the estimator learned from has probability 0.
    """
    if not hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict(matrix), dtype=np.float64).reshape(len(matrix))
    probability = estimator.predict_proba(matrix)
    if not classes:
        return probability[:, 1].astype(np.float64)
    scores = np.zeros((len(matrix), classes))
    scores[:, estimator.classes_.astype(int)] = probability
    return scores
