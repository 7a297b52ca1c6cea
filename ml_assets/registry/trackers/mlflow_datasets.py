"""Rows as MLflow shows a data set: name, digest, where it lies, columns."""

import json
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.sources.content_hash import content_hash

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_DIGEST = 12  # characters: MLflow shows them beside the name


def dataset_input(rows: pl.DataFrame, *, name: str, table: str, version: int, used_for: str) -> "DatasetInput":
    """Describe rows of a table in the lake as the input of a run.

    Args:
        table: asset key of the table; its address is the lake's matter, which may move.
        used_for: training, validation or evaluation.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = [
        {"name": column, "type": _type(dtype), "required": rows[column].null_count() == 0}
        for column, dtype in rows.schema.items()
    ]
    dataset = Dataset(
        name=name,
        digest=content_hash(rows)[:_DIGEST],
        source_type="delta_table",
        source=json.dumps({"path": None, "delta_table_name": table, "delta_table_version": version}),
        schema=json.dumps({"mlflow_colspec": schema}),
        profile=json.dumps({"num_rows": rows.height, "num_elements": rows.height * rows.width}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", used_for)])


def _type(dtype: pl.DataType) -> str:
    """Return MLflow's name of a type."""
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "long"
    if dtype.is_float() or dtype.is_decimal():
        return "double"
    return "datetime" if dtype in (pl.Datetime, pl.Date) else "string"
