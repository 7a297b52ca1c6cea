"""How much each row counts in training: a declared column, and less the older it is."""

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.spines.spec import STANDS_FOR
from ml_assets.training.metrics.payoffs import describe_row, finite_column
from ml_assets.training.spec import TrainingSpec


def declared_weights(frame: pl.DataFrame, training: TrainingSpec, part: str) -> np.ndarray | None:
    """Return the declared weight of each row, float64 of shape (rows,); None where none is declared.

    Raises:
        ValueError: the column is missing, or a weight is null, no finite number or below zero, or all are zero.
    """
    if training.weight is None:
        return None
    field = f"training.weight, {part} part"
    values = finite_column(frame, training.weight, field)
    if (values < 0).any():
        raise ValueError(
            f"{field}: {(values < 0).sum()} of {frame.height} values of column {training.weight!r} are below zero, the"
            f" first in the row {describe_row(frame, int(np.argmax(values < 0)))}"
        )
    if not values.any():
        raise ValueError(f"{field}: column {training.weight!r} holds zeros alone: no row would count")
    return values


def sample_weights(frame: pl.DataFrame, sampled: bool) -> np.ndarray | None:
    """Return how many entity-moments of a sampled spine each row stands for, float64 of shape (rows,); None where all
    stand for as many, as those of a spine that is not sampled do.

    Args:
        sampled: whether the spine declares a sample; else a column STANDS_FOR is any other column.
    """
    if not sampled or STANDS_FOR not in frame.columns or frame[STANDS_FOR].n_unique() < 2:
        return None
    return frame[STANDS_FOR].cast(pl.Float64).to_numpy()


def thinned_rows(rows: pl.DataFrame, sampled: bool) -> pl.DataFrame:
    """Select the rows that stand for several entity-moments; none of a spine that is not sampled."""
    return rows.filter(pl.col(STANDS_FOR) > 1) if sampled and STANDS_FOR in rows.columns else rows.clear()


def describe_sample(thinned: pl.DataFrame) -> str:
    """Say in a sentence what training rows are a sample of, by those that are thinned; empty where none is."""
    if thinned.is_empty():
        return ""
    return (
        f"{thinned.height:,} of its rows are a sample of about {thinned[STANDS_FOR].sum():,.0f} entity-moments, drawn"
        " without regard to the outcome: each counts as all that it stands for, and probabilities need no correction"
        " for it."
    )


def decay(time: pl.Series, half_life: str | None, declared: np.ndarray | None = None) -> np.ndarray | None:
    """Return the weight by age, float64 of shape (rows,): half for every ``half_life``; None without one.

    Ages are counted from the newest row that counts, and newer ones are as new. Counted from the training's cut-off all
    weights are smaller by one factor, which scaling takes away.

    Args:
        declared: weights that these multiply; a row of weight zero does not count.
    """
    if half_life is None:
        return None
    at = time.dt.epoch("us").to_numpy()
    newest = (at if declared is None else at[declared > 0]).max()
    halves = np.maximum(newest - at, 0) / (parse_duration(half_life).total_seconds() * 1e6)
    return 0.5**halves


def scaled(*factors: np.ndarray | None, stands_for: np.ndarray | None = None) -> np.ndarray | None:
    """Return the product of the factors that there are, scaled to a mean of 1; None if there are none.

    Scaled, weights change what rows count beside one another and nothing of what a parameter such as the least weight
    of a leaf means.

    Args:
        stands_for: how many rows each row of a sample stands for; it multiplies the weights, whose mean over all these
            is then 1.

    Raises:
        ValueError: the weights are so small or large that their sum is no number above zero.
    """
    given = [factor for factor in factors if factor is not None]
    if not given:
        return stands_for
    product = np.prod(given, axis=0)
    total = (product if stands_for is None else product * stands_for).sum()
    if not 0 < total < np.inf:
        raise ValueError(
            f"training.weight: the weights of {product.size} rows add up to {total}, as they are too small or too large"
            " for numbers of 64 bits: declare weights nearer to 1"
        )
    if stands_for is None:
        return product / product.mean()
    return product * stands_for * (stands_for.sum() / total)
