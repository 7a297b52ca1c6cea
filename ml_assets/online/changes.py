"""What pushed facts change: the values of their entities, from the moment the first of them was known."""

from collections.abc import Sequence

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.blob import decode_facts, decode_schema
from ml_assets.online.facts.rows import PushError, decode_facts_from_json
from ml_assets.online.facts.union import PUSHED, split_facts, union_facts
from ml_assets.online.stores.protocol import EntityMoments, NewRow, Snapshot
from ml_assets.online.values.keys import ENTITY
from ml_assets.online.values.moments import SINCE, build_moments
from ml_assets.online.values.payload import encode_moments


def changed_moments(view: FeatureViewSpec, snapshot: Snapshot, new: Sequence[NewRow]) -> list[EntityMoments]:
    """Compute the values of the entities of new facts, with all facts of `snapshot` and the new ones.

    Before the first of an entity's new facts was known its values stay as they are.

    Args:
        view: of stored features only.
        snapshot: of the entities of the new facts.

    Raises:
        FeatureError: as the engine does, such as where a static table has a row of the entity already.
    """
    begin, until = snapshot.build.begin, snapshot.build.end
    since: dict[str, int] = {}
    for row in new:
        known_at = begin if row.known_at is None else max(begin, row.known_at)
        since[row.entity] = min(known_at, since.get(row.entity, known_at))
    facts = _facts(view, snapshot, new)
    firsts = pl.DataFrame(
        {ENTITY: list(since), SINCE: list(since.values())}, schema={ENTITY: pl.String, SINCE: pl.Int64}
    )
    moments: dict[str, list[tuple[int, str]]] = {entity: [] for entity in since}
    for part in build_moments(view, facts, firsts, until):
        for entity, moment, text in encode_moments(view, part).iter_rows():
            moments[entity].append((moment, text))
    return [EntityMoments(entity, since[entity], moments[entity]) for entity in since]


def reapply(view: FeatureViewSpec, snapshot: Snapshot) -> list[EntityMoments]:
    """Compute the values of all entities of the snapshot's pushed facts, which the build does not have yet."""
    last = {row.entity: row.seq for row in snapshot.pushed}
    new = [NewRow(row.known_at, row.entity, row.row) for row in snapshot.pushed]
    without = Snapshot(snapshot.build, snapshot.number, snapshot.schema, snapshot.facts, [])
    return [
        EntityMoments(change.entity, change.since, change.moments, last[change.entity])
        for change in changed_moments(view, without, new)
    ]


def refuse_contradictions(view: FeatureViewSpec, snapshot: Snapshot, new: Sequence[NewRow]) -> None:
    """Raise PushError where a static table has another row of an entity, in the build or pushed before."""
    if view.known_at is not None:
        return
    rows = _everything(view, snapshot, new).drop(PUSHED).unique()
    repeated = rows.filter(pl.col(ENTITY).is_duplicated()).sort(ENTITY)
    if repeated.height:
        raise PushError(
            f"feature view {view.name!r}: table {view.table!r} does not change, and has another row of "
            f"{dict(zip(view.entity, repeated.select(view.entity).row(0), strict=True))}: correct it in the table"
        )


def _facts(view: FeatureViewSpec, snapshot: Snapshot, new: Sequence[NewRow]) -> pl.DataFrame:
    """Return all facts, each counted once, with the column ENTITY."""
    everything = _everything(view, snapshot, new)
    facts = union_facts(*split_facts(everything.drop(ENTITY)), view).collect()
    if not view.entity:
        return facts.with_columns(pl.lit(everything[ENTITY][0]).alias(ENTITY))
    named = everything.select(ENTITY, *view.entity).unique(ENTITY)
    return facts.join(named, on=view.entity, how="left", maintain_order="left")


def _everything(view: FeatureViewSpec, snapshot: Snapshot, new: Sequence[NewRow]) -> pl.DataFrame:
    """Return `view.table_columns`, PUSHED and ENTITY of the build's facts and of all that were pushed since."""
    schema = decode_schema(snapshot.schema)
    pushed = [*snapshot.pushed, *new]
    rows = decode_facts_from_json([row.row for row in pushed], {name: schema[name] for name in view.table_columns})
    rows = rows.with_columns(pl.lit(True).alias(PUSHED), pl.Series(ENTITY, [row.entity for row in pushed], pl.String))
    return pl.concat([decode_facts(snapshot.facts, snapshot.schema).select(rows.columns), rows])
