"""What a project declares already, as far as a new declaration can be inferred from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from ml_assets.declarations.specs import DeclaredOutcome
from ml_assets.quality.contracts import contract_schema, load_contract
from ml_assets.quality.errors import ContractError
from ml_assets.scaffolding.columns import Column
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import SourceSpec
from ml_assets.spines.spec import EntitiesSpec

VALIDATED = "/validated"


class SpineFields(Protocol):
    """A spine: its rows' table, key and prediction time; of made rows, whom they are about and what they come with."""

    @property
    def name(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def key(self) -> list[str]: ...
    @property
    def time(self) -> str: ...
    @property
    def drops(self) -> Drops: ...
    @property
    def entity(self) -> list[str]: ...
    @property
    def entities(self) -> EntitiesSpec | None: ...
    @property
    def comes_with(self) -> str: ...
    @property
    def horizons(self) -> list[str]: ...


class ViewFields(Protocol):
    """A feature view: the spine that it is computed for, and its features."""

    @property
    def name(self) -> str: ...
    @property
    def spine(self) -> str: ...
    @property
    def feature_names(self) -> list[str]: ...


@dataclass(frozen=True)
class NewDeclaration:
    """What is to be declared: fields of the spec and, by path, what to say about their values."""

    values: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExistingDeclarations:
    """Everything by name.

    Attributes:
        own: kind and name, such as ``spine orders``, of what the use case declares that is scaffolded in.
    """

    sources: Mapping[str, SourceSpec] = field(default_factory=dict)
    spines: Mapping[str, SpineFields] = field(default_factory=dict)
    views: Mapping[str, ViewFields] = field(default_factory=dict)
    outcomes: Mapping[str, DeclaredOutcome] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def here(self, kind: str) -> list[str]:
        """Return the names of the sources (spines) of the use case that is scaffolded in; all names if it has none."""
        there = self.sources if kind == "source" else self.spines
        return sorted(name for name in there if f"{kind} {name}" in self.own) or sorted(there)

    def table_key(self, named: str) -> str:
        """Return the asset key of a table: that of a source's validated rows where a source is named."""
        return named + VALIDATED if named in self.sources else named

    def source_of(self, table: str) -> SourceSpec | None:
        """Return the source whose validated rows the table holds; None for a table that no source declares."""
        return self.sources.get(table.removesuffix(VALIDATED)) if table.endswith(VALIDATED) else None

    def columns_of(self, table: str) -> list[Column]:
        """Return the columns of a source's validated rows, by its contract; empty where it has no contract.

        Raises:
            ScaffoldError: the contract does not load.
        """
        source = self.source_of(table)
        if source is None:
            return []
        try:
            contract = load_contract(source.contract)
        except ContractError as error:
            raise ScaffoldError(f"source {source.name}: {error}") from error
        schema, stated = contract_schema(contract), contract.to_schema().columns
        return [_column(name, dtype, stated[name]) for name, dtype in schema.items()]


def _column(name: str, dtype: pl.DataType, stated) -> Column:
    role = (stated.metadata or {}).get("role")
    begins = not stated.required or "since" in (stated.metadata or {})
    return Column(name, dtype, nullable=stated.nullable or begins, role=role)


def named(columns: list[Column]) -> str:
    """Return the columns with their types, for a message."""
    return ", ".join(f"{column.name} ({_describe(column.dtype)})" for column in columns)


def _describe(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return f"moment in {dtype.time_zone}" if dtype.time_zone else "time without a zone"
    words = {pl.String: "text", pl.Boolean: "true or false", pl.Date: "date"}
    return words.get(dtype.base_type(), str(dtype))


def check_column(option: str, name: str, columns: list[Column]) -> Column:
    """Return the column of this name; raises ScaffoldError with the names of the columns that exist."""
    for column in columns:
        if column.name == name:
            return column
    raise ScaffoldError(f"{option}: there is no column {name!r}; there are {named(columns)}")


def check_moment(option: str, column: Column, table: str) -> Column:
    """Return the column if it holds moments; raises ScaffoldError with what to do if not."""
    if column.is_moment:
        return column
    raise ScaffoldError(
        f"{option}: column {column.name!r} of {table} is a {_describe(column.dtype)}, and what was known when can only "
        "be told from moments in UTC: have it delivered with its offset, such as 2024-01-31T09:00:00Z, or convert it "
        "in a dbt model"
    )


def only(option: str, what: str, names: list[str]) -> str:
    """Return the only item; raises ScaffoldError where there is none or a choice."""
    if len(names) == 1:
        return names[0]
    if names:
        many = what.replace(what.split()[0], f"{what.split()[0]}s", 1)
        raise ScaffoldError(f"there are {len(names)} {many} to choose from: give --{option}, one of {', '.join(names)}")
    raise ScaffoldError(f"the project declares no {what}, and none was given: give --{option}")
