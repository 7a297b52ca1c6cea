"""XGBoost's own file."""

from pathlib import Path

import numpy as np
import xgboost

BOOSTER = xgboost.Booster({"nthread": 1}, model_file=Path(__file__).resolve().parent / "model.ubj")


def predict(matrix):
    """Scores before calibration, float64 of shape (rows,) or (rows, classes)."""
    return BOOSTER.inplace_predict(matrix).astype(np.float64)
