"""Rows that share a key: which only repeat another row, and which contradict it."""

from collections.abc import Sequence

import polars as pl


def shares_key(columns: Sequence[str], frame: pl.DataFrame) -> pl.Series:
    """Return for each row whether another row has the same values in all of these columns, none of them null."""
    same = frame[list(columns)].is_duplicated()
    if not same.any():
        return same
    return same & frame.select(pl.all_horizontal(pl.col(columns).is_not_null())).to_series()


def repeated(columns: Sequence[str], frame: pl.DataFrame) -> pl.Series:
    """Return for each row whether an earlier row is the same in every column of the frame.

    The first of them stays good: a row that is delivered twice is still one fact.
    """
    return _among_sharers(columns, frame, ~pl.struct(pl.all()).is_first_distinct())


def conflicting(columns: Sequence[str], frame: pl.DataFrame) -> pl.Series:
    """Return for each row whether another row has the same key and differs in some other column.

    All of them are bad, the first too: nothing in the delivery tells which is right.
    """
    return _among_sharers(columns, frame, pl.struct(pl.all()).n_unique().over(columns) > 1)


def _among_sharers(columns: Sequence[str], frame: pl.DataFrame, verdict: pl.Expr) -> pl.Series:
    """Return the verdict where a key is shared, False elsewhere; few rows share one, if any."""
    sharers = shares_key(columns, frame)
    if not sharers.any():
        return sharers
    rows = sharers.arg_true()
    guilty = rows.filter(frame[rows].select(verdict).to_series())
    return pl.select(pl.int_range(frame.height).is_in(guilty.cast(pl.Int64).implode())).to_series()
