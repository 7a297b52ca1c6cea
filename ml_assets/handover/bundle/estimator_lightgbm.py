"""LightGBM's own file."""

from pathlib import Path

import lightgbm
import numpy as np

BOOSTER = lightgbm.Booster(model_file=Path(__file__).resolve().parent / "model.lgb")


def predict(matrix):
    """Scores before calibration, float64 of shape (rows,) or (rows, classes)."""
    return np.asarray(BOOSTER.predict(matrix, num_threads=1), dtype=np.float64)
