"""What pushed facts change where no running state is kept, of static tables and planned facts: all is computed anew."""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.blob import decode_facts, decode_schema
from ml_assets.online.facts.rows import PushError, decode_facts_from_json
from ml_assets.online.facts.union import PUSHED, RETRACTS, split_facts, union_facts, without_retracted
from ml_assets.online.stores.protocol import StoreSnapshot
from ml_assets.online.stores.records import CurrentBuild, NewRow, PushedRow
from ml_assets.online.values.keys import ENTITY, with_entity
from ml_assets.online.values.moments import SINCE, build_moments
from ml_assets.online.values.payload import encode_moments

Pushes = Sequence[PushedRow | NewRow]


def recomputed_moments(
    view: FeatureViewSpec,
    reading: StoreSnapshot,
    built: CurrentBuild,
    pushed: Pushes,
    new: Sequence[NewRow],
    since: Mapping[str, int],
) -> dict[str, list[tuple[int, str]]]:
    """Compute the values of entities from the given moments on, with all facts there are.

    Args:
        view: of stored features only.
        pushed: facts of these entities that were pushed since the build.

    Raises:
        FeatureError: as the engine does, such as where a static table has a row of the entity already.
    """
    everything = _everything(view, reading, built, list(since), [*pushed, *new])
    facts = with_entity(view, union_facts(*split_facts(everything), view).collect())
    firsts = pl.DataFrame(
        {ENTITY: list(since), SINCE: list(since.values())}, schema={ENTITY: pl.String, SINCE: pl.Int64}
    )
    there = firsts.join(facts.select(ENTITY).unique(), on=ENTITY, how="semi")
    moments: dict[str, list[tuple[int, str]]] = {entity: [] for entity in since}
    for part in build_moments(view, facts, there, built.build.end):
        for entity, moment, text in encode_moments(view, part).iter_rows():
            moments[entity].append((moment, text))
    return moments


def refuse_contradictions(
    view: FeatureViewSpec, reading: StoreSnapshot, built: CurrentBuild, pushed: Pushes, new: Sequence[NewRow]
) -> None:
    """Raise PushError where a static table has another row of an entity, in the build or pushed before."""
    if view.known_at is not None:
        return
    entities = list(dict.fromkeys(row.entity for row in new))
    channels = without_retracted(*split_facts(_everything(view, reading, built, entities, [*pushed, *new])), view)
    rows = pl.concat([channel for channel in channels if channel is not None]).unique().collect()
    repeated = rows.filter(pl.struct(view.entity).is_duplicated()).sort(view.entity)
    if repeated.height:
        raise PushError(
            f"feature view {view.name!r}: table {view.table!r} does not change, and has another row of "
            f"{dict(zip(view.entity, repeated.select(view.entity).row(0), strict=True))}: correct it in the table, or "
            "take it back"
        )


def refuse_absent(
    view: FeatureViewSpec, reading: StoreSnapshot, built: CurrentBuild, pushed: Pushes, new: Sequence[NewRow]
) -> None:
    """Raise PushError where a row is taken back that is not there."""
    for place, row in enumerate(new):
        if row.retracts:
            before = _everything(view, reading, built, [row.entity], [*pushed, *new[:place]])
            mine = _everything(view, reading, built, [row.entity], [row]).filter(PUSHED).select(view.table_columns)
            there = union_facts(*split_facts(before), view).collect()
            if there.join(mine, on=view.table_columns, how="semi", nulls_equal=True).is_empty():
                raise PushError(f"feature view {view.name!r}: {row.row} is not there to be taken back")


def pushed_rows(
    view: FeatureViewSpec, reading: StoreSnapshot, built: CurrentBuild, entities: Sequence[str]
) -> pl.DataFrame:
    """Return the rows of entities that were pushed, in order, with `view.table_columns` and RETRACTS: since the build,
    and before as far as the build holds them."""
    since = reading.pushed(built.build.view, entities)
    return _everything(view, reading, built, entities, since).filter(PUSHED).drop(PUSHED)


def _everything(
    view: FeatureViewSpec, reading: StoreSnapshot, built: CurrentBuild, entities: Sequence[str], pushed: Pushes
) -> pl.DataFrame:
    """Return `view.table_columns`, PUSHED and RETRACTS of the build's facts and of all that were pushed since."""
    schema = decode_schema(built.schema)
    rows = decode_facts_from_json([row.row for row in pushed], {name: schema[name] for name in view.table_columns})
    back = pl.Series(RETRACTS, [row.retracts for row in pushed], pl.Boolean)
    rows = rows.with_columns(pl.lit(True).alias(PUSHED), back)
    facts = decode_facts(reading.facts(built.number, entities), built.schema).drop(ENTITY)
    if RETRACTS not in facts.columns:
        facts = facts.with_columns(pl.lit(False).alias(RETRACTS))
    return pl.concat([facts.select(rows.columns), rows])
