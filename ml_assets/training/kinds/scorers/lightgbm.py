"""Scores of LightGBM's own file."""

import numpy as np


def open_scorer(folder):
    """Read the booster and return what scores encoded rows with one thread."""
    import lightgbm

    booster = lightgbm.Booster(model_file=folder / "model.lgb")
    return lambda matrix, classes: predict(booster, matrix, classes, num_threads=1)


def predict(booster, matrix, classes, **options):  # noqa: ARG001 - the booster knows how many there are
    """Score encoded rows: float64 of shape (rows,) or (rows, classes), before calibration."""
    return np.asarray(booster.predict(matrix, **options), dtype=np.float64)
