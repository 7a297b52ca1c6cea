"""Whether the values of a column identify rows, or are texts of their own in almost every row."""

import math

import polars as pl

from ml_assets.comparing.rows.kinds import NUMBER, TEXT, ValueKind
from ml_assets.scaffolding.columns import is_code

LEAST = 20
"""Rows from which on a reference says more about a column than its kind."""

_COLLISIONS = 10.0


def identifies_rows(values: pl.Series, kind: ValueKind) -> bool:
    """Return whether all values are different, and not by chance.

    Texts of one word; and whole numbers where the column's name says that they are codes, or where so many numbers
    drawn between the smallest and the greatest would have come up twice: n * n / (2 * range) times on average, the
    birthday problem.

    Args:
        values: read, of a reference.
    """
    known = values.drop_nulls()
    if len(known) < LEAST or kind not in (NUMBER, TEXT) or known.n_unique() < len(known):
        return False
    if kind is TEXT:
        return not known.str.contains(r"\s").any()
    low, high = _bounds(known)
    whole = bool(known.is_finite().all()) and bool((known == known.floor()).all())
    return whole and (is_code(known.name) or len(known) ** 2 / (2 * (high - low + 1)) > _COLLISIONS)


def _bounds(known: pl.Series) -> tuple[float, float]:
    low, high = known.min(), known.max()
    return (low, high) if isinstance(low, float) and isinstance(high, float) else (math.nan, math.nan)


def is_free_text(values: pl.Series) -> bool:
    """Return whether there are more different texts than half of the rows that have one.

    Args:
        values: those of a reference that are kept.
    """
    known = values.drop_nulls()
    return (distinct := known.n_unique()) > LEAST and distinct > len(known) / 2
