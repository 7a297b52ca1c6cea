"""Predictions that stand: a record of what was predicted, whatever becomes known of their features later."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.features.digests.row_hashes import hash_rows

FEATURES_HASH = "features_hash"
"""Column of predictions: a hash of the features that the row was scored with."""

CORRECTED = "features_corrected"
"""Column of predictions: whether the features are others now than those that the row was scored with."""


def hash_features(rows: pl.DataFrame, features: Sequence[str]) -> pl.Series:
    """Return a hash of each row's features, Int64, as ``FEATURES_HASH``."""
    return pl.Series(FEATURES_HASH, hash_rows(rows.select(features)).view(np.int64))


def keep_made(fresh: pl.DataFrame, made: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """Keep what was predicted before for each row that still is there; the other rows are those of ``fresh``.

    Args:
        fresh: scored rows with ``FEATURES_HASH``, of the features as they are known now.
        made: what was predicted before, with the columns of ``fresh`` or some of them.
        on: columns that identify a row.

    Returns:
        The rows of ``fresh`` in their order, with ``CORRECTED``: null where it is not known what a row was scored with.
    """
    if made.is_empty():
        return fresh.with_columns(pl.lit(False).alias(CORRECTED))
    kept = [name for name in fresh.columns if name in made.columns and name not in on]
    before = made.unique(on, keep="first").select(*on, *(pl.col(name).alias(_made(name)) for name in kept), _FOUND)
    joined = fresh.join(before, on=list(on), how="left", nulls_equal=True, maintain_order="left")
    was_made = pl.col(_FOUND_NAME).is_not_null()
    hashed = pl.col(_made(FEATURES_HASH)) if FEATURES_HASH in kept else pl.lit(None, pl.Int64)
    return joined.select(
        *(
            pl.when(was_made).then(pl.col(_made(name))).otherwise(pl.col(name)).alias(name) if name in kept else name
            for name in fresh.columns
        ),
        pl.when(was_made).then(hashed != pl.col(FEATURES_HASH)).otherwise(pl.lit(False)).alias(CORRECTED),
    )


_FOUND_NAME = "__found__"
_FOUND = pl.lit(True).alias(_FOUND_NAME)


def _made(name: str) -> str:
    return f"__made__{name}"
