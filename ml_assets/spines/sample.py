"""A share of the entity-moments of a made spine, drawn by a seeded hash of entity and moment.

Whether an entity-moment is drawn depends on nothing else: not on its outcome, which nobody knows when rows are made,
nor on when or in which order they are made. So each has the same chance, and a row that is kept stands for the inverse
of it (Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe", JASA 47, 1952).
"""

import numpy as np
import polars as pl

from ml_assets.features.digests.row_hashes import hash_rows
from ml_assets.spines.spec import SampleSpec

ENTITY = "__entity__"
"""Column with the seeded hash of an entity."""

_SEED = "__seed__"


def hash_entities(key: list[str], seed: int) -> pl.Expr:
    """Return ENTITY: a hash of the entity's key, once for all moments."""

    def hashed(keys: pl.Series) -> pl.Series:
        return pl.Series(hash_rows(keys.struct.unnest().select(pl.lit(seed, pl.Int64).alias(_SEED), *key)))

    return pl.struct(key).map_batches(hashed, return_dtype=pl.UInt64, is_elementwise=True).alias(ENTITY)


def is_drawn(sample: SampleSpec, moment: pl.Expr) -> pl.Expr:
    """Return whether entities, by their ENTITY, are drawn at a moment (Datetime in microseconds)."""
    below = np.uint64(round(sample.share * 2.0**63) * 2)

    def drawn(pairs: pl.Series) -> pl.Series:
        return pl.Series(hash_rows(pairs.struct.unnest()) < below)

    pairs = pl.struct(pl.col(ENTITY).alias("entity"), moment.cast(pl.Int64).alias("moment"))
    return pairs.map_batches(drawn, return_dtype=pl.Boolean, is_elementwise=True)
