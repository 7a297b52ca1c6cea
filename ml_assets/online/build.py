"""A build: the values of every entity of a view, as of a moment and for the time until they expire."""

from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, refuse_moments_of_rows, stored_view
from ml_assets.online.facts.blob import encode_facts, encode_schema
from ml_assets.online.facts.union import reachable_facts, split_facts, union_facts
from ml_assets.online.push import PushedView
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.values.keys import ENTITY, between, with_entity
from ml_assets.online.values.moments import CHUNK, SINCE, build_moments
from ml_assets.online.values.payload import encode_moments, encode_unseen
from ml_assets.online.values.record import Build, microseconds
from ml_assets.online.values.unseen import unseen_values

__all__ = ["Build", "build_view"]


def build_view(
    store: OnlineStore,
    view: FeatureViewSpec,
    table: pl.LazyFrame,
    *,
    as_of: datetime,
    max_age: timedelta,
    build: str,
    pushed: pl.LazyFrame | None = None,
    pushed_seq: int = 0,
    table_version: int | None = None,
    chunk: int = CHUNK,
) -> Build:
    """Compute the values of all entities of a view and publish them in place of the build before.

    Readers see the old build until the new one is whole. Facts that are pushed meanwhile are in both.

    Args:
        table: the view's table.
        as_of: facts of the table known later are left out; requests of earlier moments find no values.
        max_age: how long after `as_of` values are served; without effect on a static table.
        build: text that no other build of this view has; the declaration that it was made by is put behind it.
        pushed: facts that were pushed, `view.table_columns` in order, with RETRACTS if some were taken back: all up to
            number `pushed_seq` that can matter.
        table_version: of the table, to be recorded.
        chunk: how many moments are computed at once.

    Raises:
        FeatureError: as the engine does; or a feature is of a type that no model takes.
        StaleBuild: a newer build was published meanwhile.
    """
    kept = stored_view(view)
    refuse_moments_of_rows(kept)
    static = kept.known_at is None
    made = Build(
        view=view.name,
        build=f"{build}@{declaration_of(kept)}",
        as_of=as_of,
        valid_until=None if static else as_of + max_age,
        table_version=table_version,
        pushed_seq=pushed_seq,
    )
    facts = with_entity(kept, reachable_facts(kept, table, pushed, microseconds(as_of)).collect()).sort(
        ENTITY, maintain_order=True
    )
    known = with_entity(kept, union_facts(*split_facts(facts.drop(ENTITY)), kept).collect())
    unseen = encode_unseen(kept, unseen_values(kept, table.select(kept.table_columns).collect_schema()))
    entities = known.select(ENTITY).unique().with_columns(pl.lit(made.begin).cast(pl.Int64).alias(SINCE))
    number = store.stage(view.name, None if static else max_age)
    moments = 0
    for part in build_moments(kept, known, entities, made.end, chunk):
        encoded = encode_moments(kept, part)
        moments += encoded.height
        there = between(facts, part[ENTITY][0], part[ENTITY][-1])
        store.add(view.name, number, encode_facts(there), encoded.iter_rows(), pushed_seq)
    counted = {"entities": entities.height, "moments": moments}
    newest = None if kept.known_at is None else known[kept.known_at].max()
    made = made.model_copy(update=counted | {"max_known_at": newest})
    store.publish(number, made, unseen, encode_schema(facts), PushedView(kept).reapply)
    return made
