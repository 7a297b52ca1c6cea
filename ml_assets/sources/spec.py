"""How a team declares a source: where it lies, how it is cut into drops, and what it must satisfy."""

import re
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.freshness import Freshness
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.order import RowOrder
from ml_assets.sources.drops.grains import GRAINS, WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.formats import READERS, format_of, list_formats
from ml_assets.sources.values.column import ColumnFormat
from ml_assets.sources.where import PARTITION, Where

if TYPE_CHECKING:
    from ml_assets.sources.readers.reader import SourceReader

DROP = "_drop"
"""Column of every table of a source: the drop that a row came in."""
CONTENT_HASH = "_content_hash"
"""Column of the raw table: the SHA-256 of its drop's rows."""

_TEAM_OR_EMAIL = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+")


def check_owners(owners: list[str]) -> list[str]:
    """Return owners as they are.

    Raises:
        ValueError: one is neither an e-mail address nor a team.
    """
    for owner in owners:
        if not _TEAM_OR_EMAIL.fullmatch(owner):
            raise ValueError(f"owner {owner!r} must be an e-mail address or team:<name>")
    return owners


# Constraints of the nested models are validators, not `Field(ge=...)` or `Annotated`: Dagster resolves a
# nested plain model only if every field has a bare type.


class RowCount(BaseModel):
    """How far the rows of a drop may stray from the median of the seven drops before it."""

    model_config = ConfigDict(extra="forbid")

    min_ratio: float = Field(default=0.5, description="Fewest rows, as a multiple of the median.")
    max_ratio: float = Field(default=2.0, description="Most rows, as a multiple of the median.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.min_ratio <= 1 <= self.max_ratio:
            raise ValueError("row_count: need 0 <= min_ratio <= 1 <= max_ratio")
        return self


class SourceSpec(BaseModel):
    """One source: a table that somebody else delivers."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the table, in snake case.")
    description: str = Field(description="What a row of the table is and who delivers it.")
    owners: list[str] = Field(default_factory=list, description="Who answers for it: e-mail addresses or team:<name>.")
    where: Where = Field(description="Where the rows lie: a file, a folder, a table or a query.")
    format: str | None = Field(
        default=None,
        description="How the rows are kept: csv, csv.zip, csv.gz, ndjson, jsonl, parquet, delta, sql, or what an"
        " installed package adds; by default told from the path's ending, and sql for a query.",
        json_schema_extra=list_formats,
    )
    null_values: list[str] = Field(
        default_factory=list, description="CSV texts that mean 'no value', besides the empty field."
    )
    csv: CsvDialect = Field(
        default_factory=CsvDialect, description="How a CSV file is written, where it is not as RFC 4180 says."
    )
    header: list[str] = Field(
        default_factory=list, description="Names of the columns, for CSV files that have no header line."
    )
    columns: dict[str, ColumnFormat] = Field(
        default_factory=dict,
        description="Column -> how its values are written, where they do not tell: formats and time zones of dates and "
        "times, units of numbers.",
    )
    order: RowOrder | None = Field(
        default=None, description="For CSV rows without a time of their own: the order that stands in for it."
    )
    impossible_moments: Literal["refuse", "missing"] = Field(
        default="refuse",
        description="What to do with dates and moments that no calendar has, such as PostgreSQL's infinity and MySQL's "
        "0000-00-00: refuse the drop, or take them for missing values, which go to quarantine where the contract wants "
        "a value.",
    )
    drops: Drops = Field(default_factory=Drops, description="How the source is cut into drops.")
    empty_drops: Literal["refuse", "accept"] = Field(
        default="refuse",
        description="Whether a drop without rows is a fault, or means that nothing happened: it is then ingested, "
        "scored and reported on as a drop of 0 rows.",
    )
    contract: str = Field(description="Pandera polars model, as 'package.module:Class'.")
    key_columns: list[str] = Field(min_length=1, description="Columns that identify a row.")
    key_scope: Literal["source", "drop"] = Field(
        default="source",
        description="Where a key stands once: in the whole source, over all its drops; or in each drop, of a list that "
        "is delivered anew each time.",
    )
    required: list[str] = Field(default_factory=list, description="Columns whose share of missing values is checked.")
    infinite: Literal["quarantine", "null"] = Field(
        default="quarantine",
        description="What becomes of a number that no model can hold, infinite or beyond 3.4e38: its row goes to "
        "quarantine, or the value becomes null before the contract is applied. NaN is missing: it becomes null.",
    )
    max_bad_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of a drop's rows (0 to 1) that may break the contract; rows that only `infinite` or the "
        "declared form of a time sends to quarantine do not count.",
    )
    max_outside_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the source's rows (0 to 1) that may lie in no declared drop, before `drops.start`, from "
        "`drops.end` on or without a moment, before a check warns; they are counted in any case.",
    )
    max_missing_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of missing values (0 to 1) a required column may have."
    )
    row_count: RowCount = Field(
        default_factory=RowCount, description="Rows of a drop against the median of the seven drops before it."
    )
    after_failure: Literal["wait", "continue"] = Field(
        default="wait",
        description="What later drops do after one that failed its gate and of which no rows are in use: `wait` until "
        "it is delivered right, or `continue` without it, which a check says of each of them.",
    )
    freshness: Freshness = Field(default_factory=Freshness, description="How old the latest materialization may be.")

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and name not in READERS.names():
            raise ValueError(f"{name!r} is not allowed; choose from {', '.join(READERS.names())}")
        return name

    @field_validator("owners")
    @classmethod
    def _known_owner_form(cls, owners: list[str]) -> list[str]:
        return check_owners(owners)

    @field_validator("header")
    @classmethod
    def _names(cls, header: list[str]) -> list[str]:
        strange = [name for name in header if header.count(name) > 1 or set(name) & set(',"\n\r')]
        if strange:
            raise ValueError(f"{strange[0]!r} is there twice or has a comma, quote or line break")
        return header

    @field_validator("contract")
    @classmethod
    def _dotted(cls, contract: str) -> str:
        module, colon, name = contract.partition(":")
        if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
            raise ValueError(f"contract {contract!r} must have the form 'package.module:Class'")
        return contract

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self.format = self.format or format_of(self.where)
        self.reader.check(self)
        if self.order and self.where.file_per_drop:
            raise ValueError("order: is that of the rows of one file; files of one drop each have an order already")
        if self.drops.grain == WHOLE and self.where.file_per_drop:
            raise ValueError(f"where: {PARTITION} needs drops of grain: {', '.join(GRAINS)}")
        if self.drops.grain != WHOLE and not self.where.file_per_drop and self.drops.column is None:
            raise ValueError(
                f"drops: {self.drops.grain} drops of one file, table or query are cut by `column`; files of one drop "
                f"each have {PARTITION} in their path"
            )
        return self

    @property
    def reader(self) -> "SourceReader":
        """What reads the declared format."""
        return READERS.get(self.format or format_of(self.where))

    @property
    def cut_by(self) -> str | None:
        """The column that one file, table or query is cut by; None where each drop is a file, or the source whole."""
        return None if self.where.file_per_drop else self.drops.column
