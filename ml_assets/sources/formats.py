"""The formats that a source's rows are kept in, by name: the place where a reader is added."""

from typing import TYPE_CHECKING, Any

from ml_assets.extensions import Extensions
from ml_assets.sources.where import Where

if TYPE_CHECKING:
    from ml_assets.sources.readers.reader import SourceReader

READERS: "Extensions[SourceReader]" = Extensions(
    "ml_assets.source_readers",
    "source format",
    {
        "csv": "ml_assets.sources.readers.csv:PLAIN",
        "csv.zip": "ml_assets.sources.readers.csv:ZIPPED",
        "csv.gz": "ml_assets.sources.readers.csv:GZIPPED",
        "ndjson": "ml_assets.sources.readers.ndjson:NDJSON",
        "jsonl": "ml_assets.sources.readers.ndjson:NDJSON",
        "parquet": "ml_assets.sources.readers.parquet:PARQUET",
        "delta": "ml_assets.sources.readers.delta:DELTA",
        "sql": "ml_assets.sources.readers.sql:SQL",
    },
    "ml_assets.sources.readers.reader:SourceReader",
)
"""Name of a format -> its reader. A path that ends with a dot and the name is taken for a file of the format."""

_OF_QUERIES = "sql"
"""The format of a query that declares none."""


def format_of(where: Where) -> str:
    """Infer the format from the place of the rows.

    Raises:
        ValueError: the path ends with the name of no format.
    """
    if where.query is not None:
        return _OF_QUERIES
    path = where.template.rstrip("/")
    of_files = sorted(set(READERS.names()) - {_OF_QUERIES})
    matching = [name for name in of_files if path.endswith(f".{name}")]
    if not matching:
        raise ValueError(f"format: cannot be told from {where.template!r}; give one of {', '.join(of_files)}")
    return max(matching, key=len)


def list_formats(schema: dict[str, Any]) -> None:
    """Add the known names to the JSON schema of the field that holds one, for editors."""
    schema["enum"] = [*READERS.names(), None]
