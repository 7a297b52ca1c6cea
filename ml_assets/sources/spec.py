"""How a team declares a source: where it lies, how it is cut into drops, and what it must satisfy."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ml_assets.freshness import Freshness
from ml_assets.sources.csv.dialect import CsvDialect
from ml_assets.sources.csv.order import RowOrder
from ml_assets.sources.drops.grains import GRAINS, WHOLE
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.values.column import ColumnFormat

FORMATS = ("csv.zip", "csv.gz", "csv", "parquet", "delta")
WITH_NULLS = {"parquet": "a Parquet file", "delta": "a Delta table", "sql": "a query"}
PARTITION = "{partition}"
DROP = "_drop"
"""Column of every table of a source: the drop that a row came in."""
CONTENT_HASH = "_content_hash"
"""Column of the raw table: the SHA-256 of its drop's rows."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEAM_OR_EMAIL = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+")


# Constraints of the nested models are validators, not `Field(ge=...)` or `Annotated`: Dagster resolves a
# nested plain model only if every field has a bare type.


class Where(BaseModel):
    """The place of the rows: `path`, or `package` and `file`, or `query` and `connection`."""

    # A URL put in place of its variable's name must not be repeated in the error about it.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    path: str | None = Field(
        default=None,
        description="Local path or URL (file://, http(s)://, s3://) of a file, of a folder of Parquet files, with hive "
        "partitions (key=value folders) or without, or of a Delta table; {partition} stands for the drop's name.",
    )
    package: str | None = Field(
        default=None,
        description="Installed top-level Python package that holds the file; it is not imported.",
    )
    file: str | None = Field(
        default=None, description="Path of the file inside `package`; {partition} stands for the drop's name."
    )
    query: str | None = Field(
        default=None,
        description="One SQL SELECT in the database's own dialect; only the rows of the asked drops are fetched.",
    )
    connection: str | None = Field(
        default=None,
        description="Name of the environment variable with the connection URL of the database, such as "
        "postgresql://user:password@host:5432/database, mysql://... or sqlite:////folder/file.db.",
    )
    changed: str | None = Field(
        default=None,
        description="Column of `query` whose maximum grows with every row added or changed, such as an updated_at with "
        "an index: by it a look notices changes. By default rows are counted and the largest keys compared, "
        "which misses a row changed in place.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = {name for name in ("path", "package", "file", "query", "connection") if getattr(self, name) is not None}
        if given not in ({"path"}, {"package", "file"}, {"query", "connection"}):
            raise ValueError(
                "where: give either `path`, or both `package` and `file`, or both `query` and `connection`"
            )
        if self.changed is not None and self.query is None:
            raise ValueError("where: `changed` is a column of `query`; leave it out")
        if self.connection is not None and not _VARIABLE.fullmatch(self.connection):
            raise ValueError(
                "where: `connection` is the name of the environment variable that holds the URL, such as "
                "SHOP_DATABASE, and never the URL itself"
            )
        if self.query is not None and PARTITION in self.query:
            raise ValueError(f"where: {PARTITION} belongs into a path; a query is cut by `drops.column`")
        if self.package and "." in self.package:
            raise ValueError(
                f"where: package {self.package!r} must be a top-level package; put its folders into `file`"
            )
        return self

    @property
    def template(self) -> str:
        """`path` or `file`, still with its placeholder; empty for a query."""
        return self.path or self.file or ""


class RowCount(BaseModel):
    """How far the rows of a drop may stray from the median of earlier drops."""

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
    format: Literal["csv", "csv.zip", "csv.gz", "parquet", "delta", "sql"] | None = Field(
        default=None, description="How the rows are kept; by default told from the path's ending, and sql for a query."
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
        default_factory=RowCount, description="Rows of a drop against the median of earlier drops."
    )
    after_failure: Literal["wait", "continue"] = Field(
        default="wait",
        description="What later drops do after one that failed its gate and of which no rows are in use: `wait` until "
        "it is delivered right, or `continue` without it, which a check says of each of them.",
    )
    freshness: Freshness = Field(default_factory=Freshness, description="How old the latest materialization may be.")

    @field_validator("owners")
    @classmethod
    def _known_owner_form(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if not _TEAM_OR_EMAIL.fullmatch(owner):
                raise ValueError(f"owner {owner!r} must be an e-mail address or team:<name>")
        return owners

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
        template = self.where.template
        if self.format is None:
            endings = (ending for ending in FORMATS if template.rstrip("/").endswith("." + ending))
            self.format = "sql" if self.where.query else next(endings, None)
        if self.format is None:
            raise ValueError(f"format: cannot be told from {template!r}; give one of {', '.join(sorted(FORMATS))}")
        if (self.format == "sql") != (self.where.query is not None):
            raise ValueError("format: sql is that of a query, and of nothing else; leave it out")
        if self.format in WITH_NULLS and self.null_values:
            raise ValueError(f"null_values: {WITH_NULLS[self.format]} has nulls of its own; leave them out")
        if self.format in WITH_NULLS and self.csv != CsvDialect():
            raise ValueError(f"csv: {WITH_NULLS[self.format]} is no CSV file; leave it out")
        if self.format in WITH_NULLS and self.header:
            raise ValueError(f"header: {WITH_NULLS[self.format]} names its columns; leave it out")
        if self.format in WITH_NULLS and self.order:
            raise ValueError("order: is for CSV files; let the query or the table have a column with a moment")
        units = [name for name, declared in self.columns.items() if declared.unit]
        if self.format in WITH_NULLS and units:
            raise ValueError(f"columns: unit of {units[0]}: is for CSV files; {WITH_NULLS[self.format]} has numbers")
        if self.format == "sql" and self.drops.column in self.columns:
            raise ValueError(f"columns: drops are cut by {self.drops.column}: let `where.query` make a moment of it")
        if self.order and PARTITION in template:
            raise ValueError("order: is that of the rows of one file; files of one drop each have an order already")
        if self.format == "delta" and PARTITION in template:
            raise ValueError(f"where: {PARTITION} is for files; a Delta table is cut by `drops.column`")
        if self.drops.grain == WHOLE and PARTITION in template:
            raise ValueError(f"where: {PARTITION} needs drops of grain: {', '.join(GRAINS)}")
        if self.drops.grain != WHOLE and PARTITION not in template and self.drops.column is None:
            raise ValueError(
                f"drops: {self.drops.grain} drops of one file, table or query are cut by `column`; files of one drop "
                f"each have {PARTITION} in their path"
            )
        return self

    @property
    def cut_by(self) -> str | None:
        """The column that one file, table or query is cut by; None where each drop is a file, or the source whole."""
        return None if PARTITION in self.where.template else self.drops.column
