"""What assets tell about a table: its size, version and columns, in the keys that Dagster's UI knows."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl
from pydantic import TypeAdapter

from ml_assets.components.metadata.columns import described as describe_columns
from ml_assets.lake import TableVersion

Metadata = Mapping[str, Any]
"""What an asset shows in the UI: name -> a plain value, or one of Dagster's."""


def table_metadata(
    written: TableVersion, frame: pl.DataFrame | pl.LazyFrame, described: Mapping[str, str] | None = None
) -> Metadata:
    """Return row count, lake version and column schema of a table just written, as metadata of its asset."""
    return {
        "dagster/row_count": written.rows,
        "table_version": written.version,
        "dagster/column_schema": column_schema(frame.collect_schema(), described or {}),
    }


def column_schema(schema: pl.Schema, described: Mapping[str, str]) -> dg.TableSchema:
    """Return columns with their types and what they mean: as described, or as in every table of the platform."""
    words = describe_columns(schema.names(), described)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=str(dtype), description=words.get(name)) for name, dtype in schema.items()
        ]
    )


def data_version(written: TableVersion) -> dg.DataVersion:
    """Return the version of a table in the lake, as Dagster's data version of the asset."""
    return dg.DataVersion(str(written.version))


def inline_png(png: bytes, title: str) -> dg.MetadataValue:
    """Return a picture for the UI that is carried by the metadata itself."""
    from base64 import b64encode

    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{b64encode(png).decode()})")


def markdown(frame: pl.DataFrame) -> dg.MetadataValue:
    """Return a small frame as a table for the UI."""
    if frame.is_empty():
        return dg.MetadataValue.text("none")
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=-1,
        fmt_str_lengths=120,
    ):
        return dg.MetadataValue.md(str(frame))


def record_metadata(record: object) -> Metadata:
    """Return a record's scalars, and the whole record as JSON, for the UI."""
    content = TypeAdapter(type(record)).dump_python(record, mode="json")
    scalars = {name: value for name, value in content.items() if isinstance(value, str | int | float | bool)}
    return {**scalars, "record": dg.MetadataValue.json(content)}
