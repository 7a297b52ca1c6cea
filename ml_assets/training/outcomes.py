"""Labels of a frame as the numbers a task works with, and predictions paired with them."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.training.metrics.compared_values import compare_values
from ml_assets.training.metrics.ranked_classes import rank_classes
from ml_assets.training.metrics.ranked_scores import Measurable, rank_scores
from ml_assets.training.tasks import BINARY, MULTICLASS, REGRESSION, Task


def learn_classes(label: pl.Series) -> tuple[str, ...]:
    """The classes of a label as text: numbers in their order, all else in that of the alphabet."""
    own = label if label.dtype.is_integer() else label.cast(pl.String)
    return tuple(own.unique().drop_nulls().sort().cast(pl.String).to_list())


def class_codes(label: pl.Series, classes: Sequence[str]) -> np.ndarray:
    """The position of each row's class, int64 of shape (rows,).

    Raises:
        ValueError: a label is null or none of the classes.
    """
    text = label.cast(pl.String)
    codes = text.cast(pl.Enum(list(classes)), strict=False).to_physical().cast(pl.Int64)
    if codes.null_count():
        strange = text.filter(codes.is_null()).unique().sort().to_list()
        raise ValueError(
            f"label {label.name} holds {strange[:10]}, which training has not seen (its classes: {list(classes)[:20]}):"
            " train on a longer history, or make rare classes one before"
        )
    return codes.to_numpy()


def outcomes(label: pl.Series, task: Task, classes: Sequence[str] | None) -> np.ndarray:
    """Labels as metrics take them: class positions (int64) of a multiclass task, else float64, shape (rows,)."""
    return class_codes(label, classes) if task == MULTICLASS else label.cast(pl.Float64).to_numpy()


def targets(label: pl.Series, task: Task, classes: Sequence[str] | None) -> np.ndarray:
    """Labels as a library learns from them: float32 of a binary task, else as ``outcomes``."""
    return label.cast(pl.Float32).to_numpy() if task == BINARY else outcomes(label, task, classes)


def pair(outcome: np.ndarray, score: np.ndarray, task: Task, threshold: float | None = None) -> Measurable:
    """Outcomes beside what ``predict`` gave for the same rows, ready for ``measure`` and ``bootstrap``."""
    if task == MULTICLASS:
        return rank_classes(outcome, score)
    if task == REGRESSION:
        return compare_values(outcome, score)
    return rank_scores(outcome, score, 0.5 if threshold is None else threshold)


def align_classes(score: np.ndarray, classes: Sequence[str], onto: Sequence[str]) -> np.ndarray:
    """Probabilities in another order of classes: (n, len(onto)), 0 for a class that ``classes`` lacks.

    Raises:
        ValueError: ``onto`` lacks one of the classes.
    """
    missing = sorted(set(classes) - set(onto))
    if missing:
        raise ValueError(f"classes {missing} have no place among {list(onto)}")
    aligned = np.zeros((len(score), len(onto)))
    aligned[:, [list(onto).index(name) for name in classes]] = score
    return aligned
