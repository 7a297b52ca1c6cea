"""The check that a package scores as its model does, made before it is handed over."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from ml_assets.environment import child_environment
from ml_assets.training.calibration.probabilities import Calibration
from ml_assets.training.fit import TrainedModel, calibrated
from ml_assets.training.predictions.scored import score_columns
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import PREDICTION

TOLERANCE = 1e-6
"""How far, absolutely and relatively, a package's scores may be from the model's own, before calibration."""

_ROUNDING = 1e-9


class Disagreement(ValueError):
    """A package that scores otherwise than its model."""


def check_answers(model: TrainedModel, rows: pl.DataFrame, folder: Path) -> float:
    """Run the package's own ``score.py`` on the rows, in a process of its own, and compare the answers.

    A calibration may be steep, so that what is allowed is what it makes of scores within the tolerance. What follows
    from a score, such as a class or an interval, must follow from it as it does in the model.

    Returns:
        The largest difference of a score.

    Raises:
        Disagreement: it fails, or scores otherwise.
    """
    rows = rows.select(model.features)
    answers = _run_score_script(rows, folder)
    expected = score_columns(model, np.zeros((1, len(model.classes or ())) if model.classes else 1))
    if answers.height != rows.height or answers.columns != [column.name for column in expected]:
        raise Disagreement(f"it answers {answers.height} rows of {answers.columns} to {rows.height} rows")
    own = model.raw_scores(model.encoding.encode(rows))
    given = find_task(model.task).read_scores(answers, model.classes)
    largest = compare_scores(model, own, given)
    for column in score_columns(model, given):
        if not _equal(answers[column.name], column):
            raise Disagreement(f"its {column.name} does not follow from its scores")
    return largest


def compare_scores(model: TrainedModel, own: np.ndarray, given: np.ndarray) -> float:
    """Return the largest difference between the calibrated scores of ``own`` and ``given``.

    Args:
        own: the model's scores before calibration, shape (rows,) or (rows, classes).
        given: another's scores after it.

    Raises:
        Disagreement: a score lies outside of what the tolerance allows.
    """
    low, high = _allowed(model, own)
    wrong = ~((low <= given) & (given <= high))
    difference = np.abs(given - calibrated(model, own))
    if wrong.any():
        worst = np.abs(difference)[wrong].max()
        raise Disagreement(
            f"{np.count_nonzero(wrong.reshape(len(own), -1).any(axis=1))} of {len(own)} holdout rows get another score,"
            f" by up to {worst:.3g}, where {TOLERANCE:g} is allowed"
        )
    return float(difference.max())


def _allowed(model: TrainedModel, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest score allowed."""
    margin = TOLERANCE * (1 + np.abs(own))
    low, high = own - margin, own + margin
    if model.calibration is not None:
        low, high = _calibrated_ends(model.calibration, low, high)
    if not find_task(model.task).calibratable:  # no probability, which may be off by as much however small it is
        return low, high
    return low - TOLERANCE, high + TOLERANCE


def _calibrated_ends(calibration: Calibration, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Calibrate the ends of scores; a class is least likely where its own score is least and all others are
    greatest."""
    if low.ndim == 1:
        return calibration.curves[0].correct(low), calibration.curves[0].correct(high)
    low, high = (
        np.stack([curve.correct(column) for curve, column in zip(calibration.curves, ends.T, strict=True)], axis=1)
        for ends in (low, high)
    )
    others_low, others_high = (ends.sum(axis=1, keepdims=True) - ends for ends in (low, high))
    with np.errstate(invalid="ignore"):
        least, most = low / (low + others_high), high / (high + others_low)
    # Where no class is left likely all are alike, wherever in between that may be.
    return np.nan_to_num(least, nan=0.0), np.nan_to_num(most, nan=1.0)


def _run_score_script(rows: pl.DataFrame, folder: Path) -> pl.DataFrame:
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answers:
        rows.write_ndjson(given)
        given.seek(0)
        done = subprocess.run(
            # -B: what Python compiles does not belong into the package.
            [sys.executable, "-B", str(folder / "score.py")],
            stdin=given,
            stdout=answers,
            stderr=subprocess.PIPE,
            env=child_environment(OMP_NUM_THREADS="1"),
            check=False,
        )
        if done.returncode:
            raise Disagreement(f"it fails: {done.stderr.decode().strip().splitlines()[-1:]}")
        answers.seek(0)
        return pl.read_ndjson(answers.read(), infer_schema_length=None)


def _equal(answers: pl.Series, follows: pl.Series) -> bool:
    if follows.name == PREDICTION and not follows.dtype.is_float():
        return answers.cast(follows.dtype).equals(follows)
    return bool(np.allclose(answers.to_numpy(), follows.to_numpy(), rtol=_ROUNDING, atol=_ROUNDING))
