"""How a team declares the place of a source's rows."""

import re
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PARTITION = "{partition}"
"""Stands in a path for the name of a drop, where each drop is a file of its own."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Query:
    """One SELECT and the database that answers it.

    Attributes:
        text: the SELECT, in the database's own dialect.
        connection: name of the environment variable with the database's URL.
        changed: column whose maximum grows with every row added or changed; None where there is none.
    """

    text: str
    connection: str
    changed: str | None = None

    @property
    def rows(self) -> str:
        """The query as a table, to stand after FROM."""
        # On lines of its own, as the query may end with a comment.
        return f"(\n{self.text.strip().rstrip(';')}\n) AS delivery"


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
        description="One SQL SELECT in the database's own dialect; only the rows of the requested drops are fetched.",
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
    def _check_place(self) -> Self:
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

    @property
    def file_per_drop(self) -> bool:
        """Whether each drop is a file of its own, named by the placeholder."""
        return PARTITION in self.template

    @property
    def database_query(self) -> Query:
        """The query and its database.

        Raises:
            ValueError: a file is declared.
        """
        if self.query is None or self.connection is None:
            raise ValueError("where: a query and its connection are needed, and a file is declared")
        return Query(self.query, self.connection, self.changed)
