"""Scores of XGBoost's own file."""

import numpy as np


def open_scorer(folder):
    """Read the booster and return what scores encoded rows with one thread."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.ubj")
    return lambda matrix, classes: predict(booster, matrix, classes)


def predict(booster, matrix, classes):  # noqa: ARG001 - the booster knows how many there are
    """Score encoded rows: float64 of shape (rows,) or (rows, classes), before calibration."""
    return booster.inplace_predict(matrix).astype(np.float64)
