"""What the model says about rows of features, as the platform says it. Needs NumPy and what estimator.py imports.

Run `python score.py < rows.jsonl > answers.jsonl`, one JSON object a line, or call `answer(rows)`. A row holds every
feature by name, null where there is no value.
"""

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from estimator import open_scorer

FOLDER = Path(__file__).resolve().parent
MODEL = json.loads((FOLDER / "model.json").read_text())
FEATURES = json.loads((FOLDER / "encoding.json").read_text())["features"]
SCORE = open_scorer(FOLDER)
NAMES = {feature["name"] for feature in FEATURES}
CODES = [{value: code for code, value in enumerate(feature["vocabulary"])} for feature in FEATURES]
TYPES = {"number": (int, float), "boolean": (bool,), "category": (str,)}


def answer(rows):
    """An object for each row: score, prediction, and what the task adds; ValueError names a row that does not fit."""
    return ANSWERS[MODEL["task"]](calibrated(SCORE(encode(rows), len(MODEL["classes"] or ())))) if rows else []


def encode(rows):
    """float32 of shape (rows, features): a category is its place in the vocabulary; NaN where null or not in it."""
    matrix = np.full((len(rows), len(FEATURES)), np.nan, dtype=np.float32)
    for at, row in enumerate(rows):
        if row.keys() != NAMES:
            missing, strange = sorted(NAMES - row.keys()), sorted(row.keys() - NAMES)
            raise ValueError(f"row {at}: features {missing} are missing, {strange} are none")
        for column, feature in enumerate(FEATURES):
            value = row[feature["name"]]
            if value is None:
                continue
            if type(value) not in TYPES[feature["kind"]]:
                raise ValueError(f"row {at}, feature {feature['name']}: must be a {feature['kind']}, not {value!r}")
            matrix[at, column] = CODES[column].get(value, np.nan) if feature["kind"] == "category" else value
    if np.isinf(matrix).any():
        raise ValueError("a number is infinite or beyond the range of a float32")
    return matrix


def calibrated(score):
    """Scores corrected by the model's curves, where it has some."""
    curves = (MODEL["calibration"] or {}).get("curves")
    if not curves:
        return score
    if score.ndim == 1:
        return corrected(curves[0], score)
    each = np.stack([corrected(curve, column) for curve, column in zip(curves, score.T, strict=True)], axis=1)
    total = each.sum(axis=1, keepdims=True)
    return np.where(total > 0, each / np.where(total > 0, total, 1), 1 / score.shape[1])


def corrected(curve, score):
    """By steps where the curve has points, else by a line through the log-odds."""
    if curve["x"]:
        return np.interp(score, curve["x"], curve["y"])
    score = np.clip(score, 1e-7, 1 - 1e-7)
    odds = np.log(score) - np.log1p(-score)
    return 1 / (1 + np.exp(-(curve["slope"] * odds + curve["intercept"])))


def binary(score):
    """The probability, and whether it reaches the threshold."""
    return [{"score": one, "prediction": one >= MODEL["threshold"]} for one in score.tolist()]


def regression(score):
    """The value, with the ends of its interval where the model has intervals."""
    answers = [{"score": one, "prediction": one} for one in score.tolist()]
    if MODEL["intervals"]:
        group = np.searchsorted(MODEL["intervals"]["edges"], score, side="right")
        for name, side in (("lower", "below"), ("upper", "above")):
            ends = score + np.array(MODEL["intervals"][side])[group]
            for one, end in zip(answers, ends.tolist(), strict=True):
                one[name] = end
    return answers


def multiclass(score):
    """The likeliest class in the label's own type, its probability, and that of every class."""
    own = {"String": str, "Boolean": "true".__eq__}.get(MODEL["label_type"], int)
    return [
        {"score": max(row), "prediction": own(MODEL["classes"][row.index(max(row))])}
        | {f"probability_{name}": one for name, one in zip(MODEL["classes"], row, strict=True)}
        for row in score.tolist()
    ]


ANSWERS = {"binary": binary, "regression": regression, "multiclass": multiclass}

if __name__ == "__main__":
    while lines := list(islice(sys.stdin, 10_000)):
        sys.stdout.writelines(json.dumps(one) + "\n" for one in answer([json.loads(line) for line in lines]))
