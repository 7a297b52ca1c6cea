"""What a spine says of the table that it lies over, or that it is made of."""

from collections.abc import Iterator
from functools import partial

from ml_assets.declarations.coherence.rules import missing_columns, no_moment
from ml_assets.declarations.coherence.tables import Columns, DeclaredTables
from ml_assets.declarations.specs import DeclaredSpine
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.spines.entities import columns_needed
from ml_assets.spines.spec import EntitiesSpec


def spine_problems(tables: DeclaredTables, spine: DeclaredSpine) -> Iterator[str]:
    """Yield where a spine contradicts its table, or that of the entities that it is made of."""
    if spine.entities is not None:
        yield from _made_problems(tables, spine, spine.entities)
    elif unknown := tables.unknown_table(spine.table):
        yield f"table: {unknown}"
    columns = tables.columns(spine.table)
    missing = partial(missing_columns, columns, spine.table)
    yield from missing("key", spine.key)
    yield from missing("time", [spine.time])
    yield from missing("columns", spine.columns)
    yield from missing("partition", [spine.partition])
    yield from no_moment(columns, "time", spine.time)
    if spine.contract:
        yield from _contract_problems(tables, spine, columns)
    source = tables.source_of(spine.table)
    if source is not None and source.drops.grain != spine.drops.grain:
        yield f"drops.grain: is {spine.drops.grain}, but the drops of {source.name} are {source.drops.grain}"


def _made_problems(tables: DeclaredTables, spine: DeclaredSpine, entities: EntitiesSpec) -> Iterator[str]:
    if unknown := tables.unknown_table(entities.table):
        yield f"entities.table: {unknown}"
        return
    columns = tables.columns(entities.table)
    for field, names in columns_needed(spine.name, entities).items():
        yield from missing_columns(columns, entities.table, f"entities.{field}", names)
    for field, name in entities.moments.items():
        yield from no_moment(columns, f"entities.{field}", name)
    if spine.follows and (unknown := tables.unknown_table(spine.follows)):
        yield f"follows: {unknown}"
    source = tables.source_of(spine.comes_with)
    if source is None:
        return
    if source.drops.grain == WHOLE:
        field = "follows" if spine.follows else "entities.table"
        yield (
            f"{field}: {spine.comes_with} is not cut into drops, so that nothing says which periods have come: name in "
            "`follows` a table that is"
        )
    elif source.drops.grain != spine.drops.grain:
        yield f"drops.grain: is {spine.drops.grain}, but the drops of {source.name} are {source.drops.grain}"


def _contract_problems(tables: DeclaredTables, spine: DeclaredSpine, columns: Columns | None) -> Iterator[str]:
    try:
        declared = tables.contract_columns(spine.contract)
    except ValueError as error:
        yield f"contract: {error}"
        return
    yield from missing_columns(columns, spine.table, "contract", declared)
