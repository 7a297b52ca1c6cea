"""Classes of a label: their order, the positions of rows' classes, and scores in another order."""

from collections.abc import Sequence

import numpy as np
import polars as pl


def learn_classes(label: pl.Series) -> tuple[str, ...]:
    """Return the classes of a label as text: numbers in their order, all else in that of the alphabet."""
    own = label if label.dtype.is_integer() else label.cast(pl.String)
    return tuple(own.unique().drop_nulls().sort().cast(pl.String).to_list())


def class_codes(label: pl.Series, classes: Sequence[str]) -> np.ndarray:
    """Return the position of each row's class, int64 of shape (rows,).

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


def align_classes(score: np.ndarray, classes: Sequence[str], onto: Sequence[str]) -> np.ndarray:
    """Return probabilities in another order of classes: (n, len(onto)), 0 for a class that ``classes`` lacks.

    Raises:
        ValueError: ``onto`` lacks one of the classes.
    """
    missing = sorted(set(classes) - set(onto))
    if missing:
        raise ValueError(f"classes {missing} have no place among {list(onto)}")
    aligned = np.zeros((len(score), len(onto)))
    aligned[:, [list(onto).index(name) for name in classes]] = score
    return aligned
