"""Whether what a store gives is what the facts say, recomputed the slow and plain way."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.features.audit.leaks import find_leaks
from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features, stored_view
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.values.keys import ENTITY, with_entity
from ml_assets.online.values.record import Build, microseconds
from ml_assets.online.values.unseen import TIME

_DRAWN_FROM = 10_000
"""Entities among which a sample is drawn, where there are many more."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        rows: how many entities and moments were compared; fewer than asked for where facts were pushed since.
        differing: one row per value that differs, as `find_leaks` gives it.
    """

    rows: int
    differing: pl.DataFrame


def audit_build(
    store: OnlineStore, view: FeatureViewSpec, build: Build, facts: pl.LazyFrame, *, rows: int = 50, seed: int = 0
) -> Audit:
    """Read a sample of entities at moments within the life of a build, and recompute their features from the facts.

    Args:
        facts: what the build was made from: `union_facts` of its table and its pushed facts.
        rows: how many entities and moments to draw.
        seed: of the draw.
    """
    kept = stored_view(view)
    spine = _sample(kept, build, facts, rows, seed)
    times = spine[TIME].to_physical().to_list()
    read = [store.read([(view.name, key)], at)[0] for key, at in zip(spine[ENTITY], times, strict=True)]
    # Not what another build holds, or what facts that were pushed since have changed.
    stored_rows = [
        None if row is None or (row.build, row.seq) != (build.build, build.pushed_seq) else row.values for row in read
    ]
    values = [row for row in stored_rows if row is not None]
    stored = (
        spine.drop(ENTITY)
        .filter(pl.Series([row is not None for row in stored_rows], dtype=pl.Boolean))
        .with_columns(
            pl.Series(name, [row[place] for row in values], strict=False)
            for place, name in enumerate(stored_features(kept))
        )
    )
    return Audit(stored.height, find_leaks(kept, stored, facts, time=TIME, rows=rows, seed=seed))


def _sample(view: FeatureViewSpec, build: Build, facts: pl.LazyFrame, rows: int, seed: int) -> pl.DataFrame:
    """Draw entities with facts, and for each a moment between the build's beginning and its end: keys, ENTITY, TIME."""
    entities = pl.LazyFrame([{}])
    if view.entity:
        # The same few thousand of a million, however often they are drawn from.
        some = pl.struct(view.entity).hash(seed) % max(build.entities // _DRAWN_FROM, 1) == 0
        entities = facts.select(view.entity).filter(some).unique().drop_nulls().sort(view.entity)
    known = with_entity(view, entities.collect())
    drawn = known.sample(rows, seed=seed, with_replacement=True) if known.height else known
    begin = microseconds(build.as_of)
    end = begin + 1 if build.end is None else build.end
    moments = pl.Series(TIME, np.random.default_rng(seed).integers(begin, end, drawn.height)).cast(pl.Datetime("us"))
    renamed = drawn.rename(dict(zip(view.entity, view.spine_entity, strict=True)))
    return renamed.with_columns(moments.dt.replace_time_zone("UTC").cast(MOMENT))
