"""Everything that is wrong with a declaration beside the others."""

from collections.abc import Iterator

from ml_assets.declarations.coherence.models import model_problems
from ml_assets.declarations.coherence.outcomes import outcome_problems
from ml_assets.declarations.coherence.sources import source_problems
from ml_assets.declarations.coherence.spines import spine_problems
from ml_assets.declarations.coherence.tables import DeclaredTables, PlacedDeclaration
from ml_assets.declarations.coherence.views import view_problems
from ml_assets.declarations.specs import (
    DeclaredDbtTables,
    DeclaredModel,
    DeclaredOutcome,
    DeclaredSource,
    DeclaredSpine,
    DeclaredView,
)
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops


def problems_among(tables: DeclaredTables, placed: PlacedDeclaration) -> Iterator[str]:
    """Yield what is wrong with a declaration, each text beginning with the field."""
    declared = placed.declaration
    if isinstance(declared, DeclaredSource):
        yield from _same_name(declared.name, tables.all(DeclaredSource))
        yield from source_problems(tables, declared)
    elif isinstance(declared, DeclaredSpine):
        yield from _same_name(declared.name, tables.all(DeclaredSpine))
        yield from spine_problems(tables, declared)
    elif isinstance(declared, DeclaredView):
        yield from _same_name(declared.name, tables.all(DeclaredView))
        yield from view_problems(tables, declared)
    elif isinstance(declared, DeclaredOutcome):
        yield from _same_name(declared.name, tables.all(DeclaredOutcome))
        yield from outcome_problems(tables, declared)
    elif isinstance(declared, DeclaredModel):
        yield from _same_name(declared.name, tables.all(DeclaredModel))
        yield from model_problems(tables, declared)
    yield from _drops_apart(tables, placed)


def _same_name(name: str, declared: list) -> Iterator[str]:
    times = sum(other.name == name for other in declared)
    if times > 1:
        yield f"name: {name!r} is declared {times} times"


def _drops_apart(tables: DeclaredTables, placed: PlacedDeclaration) -> Iterator[str]:
    """Yield a problem if a declaration is cut into other drops than its use case: jobs work on drops of one kind."""
    own = _cut_as(tables, placed)
    others = (other for other in tables.placed if other.use_case == placed.use_case)
    first = next(((other, cut) for other in others if (cut := _cut_as(tables, other))), None)
    if own is None or first is None or first[0] is placed:
        return
    (field, drops), (other, (_, expected)) = own, first
    for name in ("grain", "start", "end"):
        value, wanted = getattr(drops, name), getattr(expected, name)
        if isinstance(placed.declaration, DeclaredSpine) and name == "grain" and value != wanted:
            return  # a problem of the spine and the source that it lies over
        if value != wanted:
            where = f"{type(other.declaration).__name__} {getattr(other.declaration, 'name', '')}".strip()
            yield (
                f"{field}{'' if field == 'spine' else '.' + name}: {'its ' + name if field == 'spine' else ''} is "
                f"{value or 'open'}, but that of {where} is {wanted or 'open'}: what one use case declares is cut "
                "into the same drops"
            )
            return


def _cut_as(tables: DeclaredTables, placed: PlacedDeclaration) -> tuple[str, Drops] | None:
    """Return the drops of a declaration's assets, and the field that declares them; None where they are not cut."""
    declared = placed.declaration
    if isinstance(declared, DeclaredView | DeclaredOutcome | DeclaredModel):
        spine = tables.named(DeclaredSpine, declared.spine)
        if any(other.declaration is spine and other.use_case == placed.use_case for other in tables.placed):
            return None  # a problem of the spine
        field, drops = "spine", spine.drops
    elif isinstance(declared, DeclaredSource | DeclaredSpine | DeclaredDbtTables):
        field, drops = "drops", declared.drops
    else:
        return None
    return None if drops.grain == WHOLE else (field, drops)
