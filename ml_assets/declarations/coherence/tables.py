"""The declarations of a project together, and the columns of their tables as far as these are declared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSource, DeclaredSpine, DeclaredView
from ml_assets.sources.spec import DROP
from ml_assets.spines.spec import HORIZON, TARGET_AT

if TYPE_CHECKING:
    from ml_assets.sources.schema import DropSchema

Columns = Mapping[str, pl.DataType | None]
"""Column -> its type, None where nobody declares it."""

CHECKED = (DeclaredSource, DeclaredSpine, DeclaredView, DeclaredOutcome, DeclaredModel)
"""Declarations that name tables and columns."""

VALIDATED = "validated"

Named = TypeVar("Named", DeclaredSource, DeclaredSpine, DeclaredView, DeclaredOutcome, DeclaredModel)


@dataclass(frozen=True)
class PlacedDeclaration:
    """A declaration and the use case that it is part of; of any type, also one that is not checked."""

    declaration: object
    use_case: str


class DeclaredTables:
    """Every declaration of a project, and the tables that they name.

    Args:
        placed: the declarations in the order of the files.
        documented: asset key -> its documented columns, None where they are not documented.
    """

    def __init__(self, placed: Sequence[PlacedDeclaration], documented: Mapping[str, Sequence[str] | None]) -> None:
        self.placed = sorted(placed, key=lambda entry: not isinstance(entry.declaration, DeclaredSource))
        self._documented = documented
        self.contract_columns = lru_cache(maxsize=None)(_contract_columns)

    def all(self, kind: type[Named]) -> list[Named]:
        """Return every declaration of a kind."""
        return [placed.declaration for placed in self.placed if isinstance(placed.declaration, kind)]

    def named(self, kind: type[Named], name: str) -> Named:
        """Return the declaration of a kind and a name, which exists."""
        return next(declared for declared in self.all(kind) if declared.name == name)

    def source_of(self, table: str) -> DeclaredSource | None:
        """Return the source whose validated rows a table holds."""
        return next((source for source in self.all(DeclaredSource) if source.table(VALIDATED) == table), None)

    def columns(self, table: str) -> Columns | None:
        """Return the columns of a table; None where neither a contract nor documentation names them."""
        made = next((spine for spine in self.all(DeclaredSpine) if spine.made and spine.table == table), None)
        if made is not None:
            return self._columns_made(made)
        outcome = next((outcome for outcome in self.all(DeclaredOutcome) if outcome.key == table), None)
        if outcome is not None:
            return self._columns_of_outcome(outcome)
        source = self.source_of(table)
        if source is not None:
            try:
                return {**_kept(self.contract_columns(source.contract)), DROP: pl.String()}
            except ValueError:
                return None  # a problem of the source's declaration
        names = self._documented.get(table)
        return None if names is None else dict.fromkeys(names)

    def _columns_made(self, spine: DeclaredSpine) -> Columns | None:
        """Return the columns of a spine's made rows, those of the entity with their types in its table."""
        if spine.entities is None:
            return None
        of_entity = self.columns(spine.entities.table) or {}
        carried = dict.fromkeys([*spine.entities.key, *spine.entities.columns])
        moment = {spine.time: pl.Datetime("us", "UTC")}
        ahead = {HORIZON: pl.Int64(), TARGET_AT: pl.Datetime("us", "UTC")} if spine.horizons else {}
        return {spine.partition: pl.String(), **{name: of_entity.get(name) for name in carried}, **moment, **ahead}

    def _columns_of_outcome(self, outcome: DeclaredOutcome) -> Columns | None:
        """Return the columns of stored outcomes, with the types of their moments."""
        spine = next((spine for spine in self.all(DeclaredSpine) if spine.name == outcome.spine), None)
        if spine is None:
            return None
        of_spine, moment = self.columns(spine.table) or {}, pl.Datetime("us", "UTC")
        keys = {name: of_spine.get(name) for name in outcome.row(spine)}
        return {**keys, **dict.fromkeys([*outcome.columns, outcome.name]), outcome.known_at_column: moment}

    def unknown_table(self, table: str) -> str | None:
        """Return a message with the tables that exist if no asset has the key of a table; else None."""
        if table in self._documented:
            return None
        tables = sorted(key for key in self._documented if not key.endswith(("/raw", "/quarantine")))
        made = {*(model.name for model in self.all(DeclaredModel)), "features", "online", "outcomes"}
        there = [key for key in tables if key.partition("/")[0] not in made]
        return f"no asset {table!r} is declared; there are {', '.join(there) or 'none'}"


def _contract_columns(contract: str) -> "DropSchema":
    from ml_assets.quality.contracts import contract_schema, load_contract

    return contract_schema(load_contract(contract))


def _kept(columns: Mapping[str, pl.DataType]) -> Columns:
    return {name: pl.Int64() if dtype == pl.Duration else dtype for name, dtype in columns.items()}
