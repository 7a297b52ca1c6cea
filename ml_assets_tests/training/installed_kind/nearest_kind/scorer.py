"""Scores of nearest neighbours; copied into hand-over packages."""

import numpy as np


def open_scorer(folder):
    """Read the estimator and return what scores encoded rows."""
    estimator = read(folder / "model.npz")
    return lambda matrix, classes: predict(estimator, matrix, classes)


def read(path):
    """Read features, targets and number of neighbours."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in ("features", "target", "neighbours")}


def predict(estimator, matrix, classes):  # noqa: ARG001 - of a binary task there are none
    """Average the targets of the nearest training rows; a missing value counts as 0."""
    rows = np.nan_to_num(matrix.astype(np.float64))
    distance = ((rows[:, None, :] - estimator["features"][None]) ** 2).sum(axis=2)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : int(estimator["neighbours"])]
    return estimator["target"][nearest].mean(axis=1)
