"""What is requested of a source reader, and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.files.fetch import locate
from ml_assets.sources.schema import Schema, may_lack
from ml_assets.sources.spec import SourceSpec
from ml_assets.sources.where import PARTITION

Table = tuple[pl.DataFrame, tuple[str, ...]]
"""Columns as delivered, and the names of all others that are delivered."""


@dataclass(frozen=True)
class LoadRequest:
    """Rows to load.

    Attributes:
        spec: the source.
        drops: names of the drops to load, which all lie in one file, folder, table or query; None for all.
        schema: what the contract declares.
        columns: names of the columns to load.
    """

    spec: SourceSpec
    drops: Sequence[str] | None
    schema: Schema
    columns: list[str]

    @property
    def address(self) -> str:
        """Path or URL of the file, folder or table."""
        return locate(self.spec.where).replace(PARTITION, self.drops[0] if self.drops else "")

    @property
    def cut(self) -> Sequence[str] | None:
        """The drops to choose among the rows of a place that several share; None where every row is wanted."""
        return self.drops if self.spec.cut_by else None

    @property
    def optional(self) -> set[str]:
        """Columns that a delivery of these drops need not have."""
        return may_lack(self.schema, self.drops)


@dataclass(frozen=True)
class SampledRows:
    """Rows of a place that is not declared yet.

    Attributes:
        tables: the rows of each place, as delivered: texts, or values with types of their own.
        dialect: of CSV, how it is written; None for other formats.
        unnamed: columns of CSV to which the header gives no name.
        left_out: columns that are not in the tables, each with the reason and what to do.
    """

    tables: list[pl.DataFrame]
    dialect: CsvDialect | None = None
    unnamed: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
