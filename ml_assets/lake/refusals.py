"""Rows that a table of the lake does not take."""

from collections.abc import Mapping, Sequence

import polars as pl


def refuse_foreign_types(key: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
    """Raise ValueError if a column has a type that Delta cannot hold."""
    foreign = (pl.Categorical, pl.Enum, pl.Duration, pl.Null, pl.Object)
    bad = [f"{name} ({dtype})" for name, dtype in frame.collect_schema().items() if isinstance(dtype, foreign)]
    if bad:
        raise ValueError(f"table {key!r}: Delta cannot hold {', '.join(bad)}; cast first, e.g. to String")


def refuse_rows_outside(key: str, frame: pl.DataFrame | pl.LazyFrame, where: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError if a row lies outside the partitions that are to be replaced."""
    for column, values in where.items():
        stray = ~pl.col(column).is_in(values).fill_null(False)
        strays = frame.lazy().select(column).filter(stray).head(1).collect(engine="streaming").to_series()
        if len(strays):
            raise ValueError(
                f"table {key!r}: rows with {column} = {strays[0]!r} lie outside the partitions being replaced, {values}"
            )


def _is_conflict(error: BaseException) -> bool:
    from deltalake.exceptions import CommitFailedError, DeltaError

    # A lost commit says "conflict", "metadata changed" or "protocol changed"; the second of two first writers
    # fails with a general error.
    text = str(error).lower()
    is_lost = any(words in text for words in ("conflict", "concurrent", "already exists"))
    return isinstance(error, CommitFailedError) or (isinstance(error, DeltaError) and is_lost)
