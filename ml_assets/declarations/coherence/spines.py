"""What a spine says of the table that it lies over."""

from collections.abc import Iterator
from functools import partial

from ml_assets.declarations.coherence.rules import missing_columns, no_moment
from ml_assets.declarations.coherence.tables import Columns, DeclaredTables
from ml_assets.declarations.specs import DeclaredSpine


def spine_problems(tables: DeclaredTables, spine: DeclaredSpine) -> Iterator[str]:
    """Yield where a spine contradicts its table."""
    if unknown := tables.unknown_table(spine.table):
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


def _contract_problems(tables: DeclaredTables, spine: DeclaredSpine, columns: Columns | None) -> Iterator[str]:
    try:
        declared = tables.contract_columns(spine.contract)
    except ValueError as error:
        yield f"contract: {error}"
        return
    yield from missing_columns(columns, spine.table, "contract", declared)
