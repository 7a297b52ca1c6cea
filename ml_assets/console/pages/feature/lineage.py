"""Where a feature's values come from, column by column, down to the source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_assets.addresses import without_secrets
from ml_assets.declarations.specs import DeclaredSource, DeclaredSpine, DeclaredView
from ml_assets.features.made_of import made_of

_DEEPEST = 12


@dataclass(frozen=True)
class Step:
    """One column on the way to the source.

    Attributes:
        depth: 0 for what the feature itself reads.
        role: value, key, known_at, or via a table what it is made of.
        source: the source that delivers it; empty for a table that is made here.
        more: what is known of where it comes from, in words; empty where the next steps say it.
    """

    depth: int
    table: str
    column: str
    role: str
    source: str = ""
    more: str = ""


def trace(
    view: DeclaredView, spine: DeclaredSpine, feature: str, sources: Mapping[str, DeclaredSource], records: Any
) -> list[Step]:
    """Trace a feature to the columns of sources.

    Args:
        sources: validated table -> source.
        records: Dagster's, which hold of which columns SQL made a table's columns when it was built last.
    """
    made = made_of(view, feature)
    if made.field == "derived":
        return [Step(0, view.key, name, "feature") for name in made.columns]
    table = view.table if made.of_table else spine.table
    named = [(column, "value") for column in made.columns]
    if made.field == "calendar" and not made.columns:
        named.append((spine.time, "prediction time"))
    if made.of_table:
        named += [(column, "key") for column in view.entity]
        named += [(view.known_at, "known at")] if view.known_at else []
    tracer = _Tracer(sources, records)
    return [step for column, role in named for step in tracer.steps(table or "", column, role, 0)]


class _Tracer:
    def __init__(self, sources: Mapping[str, DeclaredSource], records: Any) -> None:
        self._sources, self._records = sources, records
        self._lineage: dict[str, Any] = {}

    def steps(self, table: str, column: str, role: str, depth: int) -> Iterator[Step]:
        source = self._sources.get(table)
        if source is not None:
            yield Step(depth, table, column, role, source.name, _where(source))
            return
        made_of_columns = self._of(table).get(column)
        if made_of_columns is None:
            yield Step(depth, table, column, role, more="no run recorded what it is made of")
        elif not made_of_columns:
            yield Step(depth, table, column, role, more="made of no column")
        else:
            yield Step(depth, table, column, role)
            if depth < _DEEPEST:
                for of_table, of_column in made_of_columns:
                    yield from self.steps(of_table, of_column, "made of", depth + 1)

    def _of(self, table: str) -> Any:
        if table not in self._lineage:
            self._lineage[table] = self._records.lineage(table.split("/"))
        return self._lineage[table]


def _where(source: DeclaredSource) -> str:
    given = source.where.model_dump(exclude_none=True, exclude_defaults=True)
    return ", ".join(f"{name} {without_secrets(str(value))}" for name, value in given.items())
