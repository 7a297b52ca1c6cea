"""What the decisions about rows bring, and the threshold that brings most."""

from dataclasses import dataclass

import numpy as np
import polars as pl

PER_ROWS = 1_000
"""Rows that a value is stated for."""

NEVER = float(np.nextafter(1.0, 2.0))
"""The threshold that no probability reaches: calling nobody positive brings most."""

_SHOWN = 4  # columns by which a row is recognised: those of a training set begin with drop, time and key


@dataclass(frozen=True)
class Payoffs:
    """The payoffs of rows, each float64 of shape (n,)."""

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray

    def earned(self, label: np.ndarray, called: np.ndarray) -> np.ndarray:
        """Return what each decision brought; labels and calls are 0/1 or boolean, shape (n,)."""
        label, called = np.asarray(label, dtype=bool), np.asarray(called, dtype=bool)
        of_positive = np.where(called, self.true_positive, self.false_negative)
        return np.where(label, of_positive, np.where(called, self.false_positive, self.true_negative))

    def value(self, label: np.ndarray, called: np.ndarray) -> float:
        """Return what the decisions brought per thousand rows."""
        return float(PER_ROWS * self.earned(label, called).mean())


def best_value_threshold(label: np.ndarray, score: np.ndarray, payoffs: Payoffs) -> float:
    """Return the score from which calling a row positive brings most; of several, the highest score.

    `NEVER` where no call brings more than none.
    """
    order = np.argsort(-score, kind="stable")
    label, score = np.asarray(label, dtype=bool), np.asarray(score, dtype=np.float64)[order]
    gain = np.where(
        label, payoffs.true_positive - payoffs.false_negative, payoffs.false_positive - payoffs.true_negative
    )
    total = np.cumsum(gain[order])
    last_of_ties = np.r_[score[1:] < score[:-1], True]
    best = int(np.argmax(np.r_[0.0, np.where(last_of_ties, total, -np.inf)]))
    return NEVER if best == 0 else float(score[best - 1])


def finite_column(frame: pl.DataFrame, column: str, field: str) -> np.ndarray:
    """Return the numbers of a column that a declaration names, float64 of shape (n,).

    Raises:
        ValueError: it is missing or of another type, or a value is null, NaN or infinite.
    """
    values = numbers_of(frame, column, field)
    good = (values.is_finite()).fill_null(False)
    if not good.all():
        raise ValueError(
            f"{field}: {(~good).sum()} of {frame.height} values of column {column!r} are null or no finite number,"
            f" the first in the row {describe_row(frame, (~good).arg_max())}: give each row one upstream"
        )
    return values.to_numpy()


def numbers_of(frame: pl.DataFrame, column: str, field: str) -> pl.Series:
    """Return a column that a declaration names as Float64, null where it is.

    Raises:
        ValueError: it is missing or of another type.
    """
    if column not in frame.columns:
        raise ValueError(f"{field}: there is no column {column!r} in rows with {', '.join(frame.columns)}")
    if not frame.schema[column].is_numeric():
        raise ValueError(f"{field}: column {column!r} is {frame.schema[column]}, it must hold numbers")
    return frame[column].cast(pl.Float64)


def describe_row(frame: pl.DataFrame, at: int | None) -> str:
    """Name a row by its number and its first columns."""
    first = frame.select(frame.columns[:_SHOWN]).row(at or 0, named=True)
    return f"{at} ({', '.join(f'{name} {value}' for name, value in first.items())})"
