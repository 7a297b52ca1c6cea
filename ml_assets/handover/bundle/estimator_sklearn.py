"""A scikit-learn estimator in skops' format, which makes objects of the types in trusted.json only."""

import json
from pathlib import Path

import numpy as np
import skops.io

FOLDER = Path(__file__).resolve().parent
ESTIMATOR = skops.io.load(FOLDER / "model.skops", trusted=json.loads((FOLDER / "trusted.json").read_text()))
CLASSES = json.loads((FOLDER / "model.json").read_text())["classes"]


def predict(matrix):
    """Scores before calibration, float64 of shape (rows,) or (rows, classes); 0 for a class it has never seen."""
    if not hasattr(ESTIMATOR, "predict_proba"):
        return np.asarray(ESTIMATOR.predict(matrix), dtype=np.float64).reshape(len(matrix))
    probability = ESTIMATOR.predict_proba(matrix)
    if not CLASSES:
        return probability[:, 1].astype(np.float64)
    scores = np.zeros((len(matrix), len(CLASSES)))
    scores[:, ESTIMATOR.classes_.astype(int)] = probability
    return scores
