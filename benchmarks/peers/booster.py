"""The model that every peer serves: XGBoost's own file, asked by `inplace_predict` with one thread."""

import os

import numpy as np
import xgboost

BOOSTER = xgboost.Booster({"nthread": 1}, model_file=os.environ["BENCHMARK_MODEL"])
NAMES = BOOSTER.feature_names


def predict(rows):
    """Scores of rows of features by name."""
    return ask(np.array([[row[name] for name in NAMES] for row in rows], dtype=np.float32))


def ask(matrix):
    """Scores of float32 of shape (rows, features)."""
    return BOOSTER.inplace_predict(matrix).tolist()
