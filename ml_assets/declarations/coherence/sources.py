"""What a source says of the columns of its contract."""

from collections.abc import Iterator, Mapping
from functools import partial

import polars as pl

from ml_assets.declarations.coherence.rules import missing_columns, wrong_type
from ml_assets.declarations.coherence.tables import DeclaredTables
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.values.moments import misfit


def source_problems(tables: DeclaredTables, source: DeclaredSource) -> Iterator[str]:
    """Yield where a source contradicts its contract."""
    try:
        columns = tables.contract_columns(source.contract)
    except ValueError as error:
        yield f"contract: {error}"
        return
    missing = partial(missing_columns, columns, f"the contract {source.contract}")
    yield from missing("key_columns", source.key_columns)
    yield from missing("required", source.required)
    yield from missing("columns", source.columns)
    for name, declared in source.columns.items():
        wrong = misfit(columns[name], declared) if name in columns else None
        yield from [f"columns.{name}: {wrong}"] if wrong else []
    if source.order is not None:
        for field in ("by", "number", "moment"):
            name = getattr(source.order, field)
            yield from missing(f"order.{field}", [name] if name else [])
    yield from _may_bemissing_columns(source, columns.begins)
    if source.drops.column is not None:
        yield from missing("drops.column", [source.drops.column])
        yield from wrong_type(columns, "drops.column", source.drops.column, (pl.Date, pl.Datetime), "a date or moment")


def _may_bemissing_columns(source: DeclaredSource, begins: Mapping[str, str | None]) -> Iterator[str]:
    for field, names in (("key_columns", source.key_columns), ("drops.column", [source.drops.column])):
        for name in names:
            if name in begins:
                yield f"{field}: column {name!r} may be missing from a drop by the contract {source.contract}"
    for name, since in begins.items():
        if since is not None and source.drops.grain == WHOLE:
            yield (
                f"contract: column {name!r} begins with drop {since}, but the source comes whole: let it be optional, "
                f"`{name}: Optional[...]`"
            )
