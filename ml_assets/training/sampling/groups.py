"""A split that keeps an entity's rows on one side, beside the split by time."""

import numpy as np
import polars as pl

from ml_assets.features.digests.row_hashes import hash_rows
from ml_assets.training.spec import SplitSpec

OTHER_SIDE = "other_side"
"""Why a row is left out: another part keeps the rows of its entity."""

SIDES = {"train": 0, "validation": 1, "calibration": 1, "holdout": 2}
"""Part -> its side; intervals are learned from newer rows of the validation side."""

_SIDE, _SIDES, _OWN = "__side", "__sides", "__own_side"
_STEPS = 2**32


def keep_one_side(marked: pl.DataFrame, split: SplitSpec, part: str, seed: int) -> pl.DataFrame:
    """Mark rows as `OTHER_SIDE` whose entity's rows another part keeps.

    An entity with rows in one part alone keeps them. One with rows in several parts has a number drawn by a hash of its
    key and the seed, so that it is drawn alike in each training: up to ``group_train`` it is train's, up to the middle
    of what is left validation's, else the holdout's, where the three are scaled to those in which it has rows.

    Args:
        part: column with the name of the row's part, or why it is in none.
    """
    rows = marked.with_columns(pl.col(part).replace_strict(SIDES, default=None, return_dtype=pl.Int8).alias(_SIDE))
    inside = rows.filter(pl.col(_SIDE).is_not_null(), pl.all_horizontal(pl.col(split.group).is_not_null()))
    entities = inside.group_by(split.group).agg(pl.col(_SIDE).unique().alias(_SIDES))
    several = entities.filter(pl.col(_SIDES).list.len() > 1)
    own = several.with_columns(pl.Series(_OWN, _draw(several, split, seed), dtype=pl.Int8)).drop(_SIDES)
    joined = rows.join(own, on=split.group, how="left", maintain_order="left")
    elsewhere = (pl.col(_SIDE) != pl.col(_OWN)).fill_null(False)
    kept = pl.when(elsewhere).then(pl.lit(OTHER_SIDE)).otherwise(pl.col(part)).alias(part)
    return joined.with_columns(kept).drop(_SIDE, _OWN)


def _draw(entities: pl.DataFrame, split: SplitSpec, seed: int) -> np.ndarray:
    """Return the side that each entity is given to, of those in which it has rows; shape (entities,)."""
    half = (1 - split.group_train) / 2
    shares = np.array([split.group_train, half, half])
    there = entities.select(pl.col(_SIDES).list.contains(side).alias(str(side)) for side in range(3)).to_numpy()
    ends = np.cumsum(np.where(there, shares, 0), axis=1)
    hashed = hash_rows(entities.select(pl.lit(seed, pl.Int64).alias("__seed"), *split.group))
    drawn = (hashed >> np.uint64(32)).astype(np.float64) / _STEPS * ends[:, -1]
    return (drawn[:, None] >= ends).sum(axis=1)
