"""The schedule of an entity's values: with no new facts they change only when a fact enters or leaves a
window, or what is planned comes into sight or goes out of it.

Between two such moments every feature is constant, so that the values at the moments are the values at any time.
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.features.declared.plans import PlanSpec
from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.online.values.keys import ENTITY, between
from ml_assets.online.values.unseen import TIME

VALID_FROM = "__valid_from__"
KNOWN_AT = "__known_at__"
SINCE = "__since__"

CHUNK = 100_000
"""Moments that are computed at once, which bounds the memory: about 100 bytes a feature."""


def build_moments(
    view: FeatureViewSpec, facts: pl.DataFrame, since: pl.DataFrame, until: int | None, chunk: int = CHUNK
) -> Iterator[pl.DataFrame]:
    """Compute the values of entities at every moment at which they may change, a chunk of entities at a time.

    Args:
        view: of stored features only.
        facts: `view.table_columns` and ENTITY, in any order: whatever is within the look-back of the moments.
        since: ENTITY and SINCE (Int64, microseconds): the first moment wanted of each entity.
        until: the end of the schedule, microseconds, itself outside; None for a static table.
        chunk: how many moments are computed at once, or those of one entity if it has more.

    Yields:
        Frames sorted by entity and moment: ENTITY, VALID_FROM (Int64, microseconds), KNOWN_AT (Int64, microseconds
        of the newest fact behind the values, null where there is none), `stored_features(view)`.

    Raises:
        FeatureError: as the engine does.
    """
    facts = facts.filter(pl.col(ENTITY).is_not_null()).sort(ENTITY)
    moments = _change_moments(view, facts, since, until)
    keys = facts.group_by(ENTITY).first().select(ENTITY, **_keys_as_spine(view))
    for part in _chunks(moments, chunk):
        of_part = between(facts, part[ENTITY][0], part[ENTITY][-1])
        yield _values(view, of_part, part.join(keys, on=ENTITY, how="left", maintain_order="left"))


def _keys_as_spine(view: FeatureViewSpec) -> dict[str, pl.Expr]:
    return {named: pl.col(key) for key, named in zip(view.entity, view.spine_entity, strict=True)}


def change_edges(view: FeatureViewSpec) -> list[tuple[str, timedelta]]:
    """Return at what ages of which moments of a fact the values of its entity may change: columns and ages."""
    if view.known_at is None:
        return []
    edges = [(view.known_at, age) for age in (timedelta(0), *sorted(view.ages))]
    return edges + (_planned_edges(view.planned) if view.planned else [])


def _planned_edges(plan: PlanSpec) -> list[tuple[str, timedelta]]:
    """Return when a planned fact comes into sight or goes out of it, as ages of its edges: below zero before them."""
    leads = {edge for feature in plan.features.values() for edge in (feature.lead, feature.lead - feature.length)}
    return [(column, -lead) for column in (plan.valid_at, plan.valid_until) if column for lead in sorted(leads)]


def _change_moments(view: FeatureViewSpec, facts: pl.DataFrame, since: pl.DataFrame, until: int | None) -> pl.DataFrame:
    """Return ENTITY and VALID_FROM: the first moment, those of facts to come, and those when a fact is too old."""
    begins = since.select(ENTITY, pl.col(SINCE).alias(VALID_FROM))
    if view.known_at is None:
        return begins.sort(ENTITY)
    moments = {
        column: facts.select(ENTITY, pl.col(column).to_physical().alias(VALID_FROM)).drop_nulls().unique()
        for column, _ in change_edges(view)
    }
    shifted = [
        moments[column].with_columns(pl.col(VALID_FROM) + age // timedelta(microseconds=1))
        for column, age in change_edges(view)
    ]
    in_any = pl.col(VALID_FROM).is_between(pl.lit(since[SINCE].min()), until, closed="none")
    inside = [part.filter(in_any) for part in shifted]
    changed = pl.concat(inside).join(since, on=ENTITY).filter(pl.col(VALID_FROM) > pl.col(SINCE)).drop(SINCE)
    return pl.concat([begins, changed]).filter(pl.col(VALID_FROM) < until).unique().sort(ENTITY, VALID_FROM)


def _chunks(moments: pl.DataFrame, chunk: int) -> Iterator[pl.DataFrame]:
    """Cut between entities, whenever `chunk` moments are full."""
    counts = moments.group_by(ENTITY, maintain_order=True).len()["len"].to_numpy()
    if not counts.size:
        return
    ends = np.cumsum(counts)
    # An entity belongs to the chunk in which its last moment falls.
    last = np.flatnonzero(np.diff((ends - 1) // chunk, append=-1))
    start = 0
    for end in ends[last]:
        yield moments.slice(start, int(end) - start)
        start = int(end)


def _values(view: FeatureViewSpec, facts: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    spine = moments.with_columns(pl.col(VALID_FROM).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias(TIME))
    values = compute_features(view, spine, facts, time=TIME).select(stored_features(view))
    newest = _newest(view, facts, moments)
    return pl.concat([moments.select(ENTITY, VALID_FROM), newest, values], how="horizontal")


def _newest(view: FeatureViewSpec, facts: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    """Return KNOWN_AT of each moment: when the newest fact was known that is within what features see."""
    if view.known_at is None:
        return pl.DataFrame({KNOWN_AT: pl.Series([None] * moments.height, dtype=pl.Int64)})
    known = facts.select(ENTITY, pl.col(view.known_at).to_physical().alias(KNOWN_AT)).unique().sort(KNOWN_AT)
    requested = moments.select(ENTITY, VALID_FROM).with_row_index("__row__").sort(VALID_FROM)
    seen = requested.with_columns(__until__=pl.col(VALID_FROM) - view.youngest_age // timedelta(microseconds=1))
    matched = seen.join_asof(known, left_on="__until__", right_on=KNOWN_AT, by=ENTITY, check_sortedness=False).sort(
        "__row__"
    )
    if view.look_back is None:
        return matched.select(KNOWN_AT)
    oldest = pl.col(VALID_FROM) - view.look_back // timedelta(microseconds=1)
    return matched.select(pl.when(pl.col(KNOWN_AT) > oldest).then(KNOWN_AT))
