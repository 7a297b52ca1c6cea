"""Small typed records as rows of a lake table: what was tuned, trained, measured and decided."""

import json
from typing import TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ml_assets.lake import Lake, TableMissing, TableVersion

Record = TypeVar("Record")

AS_OF = "_as_of"
"""Partition column of every table of a training: the moment the training looked from."""

VERSION = "model_version"
"""Column of what is about one version of a model."""


class TrainedVersion(BaseModel):
    """One trained model as it stands in the registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Registered model.")
    version: str = Field(description="Version in the registry.")
    run_id: str = Field(description="MLflow run that made it.")
    as_of: str = Field(description="Training cut-off, ISO 8601.")
    training_set_version: int = Field(description="Version of the training set's table.")
    trees: int = Field(description="Boosting rounds kept; 1 for what learns in none.")
    threshold: float | None = Field(
        default=None, description="Probability from which a row counts as positive; null unless the task is binary."
    )


def write_record(lake: Lake, key: str, as_of: str, record: object, version: str = "") -> TableVersion:
    """Store a dataclass or pydantic model: scalars as columns, and the whole as JSON in ``record``.

    Args:
        version: the model's version that it is about, a column of it; records of other versions stay.
    """
    content = TypeAdapter(type(record)).dump_python(record, mode="json")
    scalars = {name: value for name, value in content.items() if isinstance(value, str | int | float | bool)}
    row = pl.DataFrame([{AS_OF: as_of, **scalars, "record": json.dumps(content)}])
    return lake.replace(key, row, {AS_OF: [as_of]} | ({"version": [version]} if version else {}))


def read_record(lake: Lake, key: str, as_of: str, kind: type[Record]) -> Record:
    """Read the record stored under ``key`` for the training that looked from ``as_of``: of several versions the newest.

    Raises:
        TableMissing: there is none.
    """
    rows = lake.scan(key).filter(pl.col(AS_OF) == as_of).collect()
    if rows.is_empty():
        raise TableMissing(f"{key} holds nothing as of {as_of}: materialize it with that as_of first")
    if "version" in rows.columns:
        rows = rows.sort(pl.col("version").cast(pl.Int64)).tail(1)
    return TypeAdapter(kind).validate_json(rows["record"].item())


def replace_as_of(
    lake: Lake, key: str, as_of: str, frame: pl.DataFrame, version: str = ""
) -> tuple[TableVersion, pl.DataFrame]:
    """Store ``frame`` as the rows of one training, or of the version it made; returns it as it was stored."""
    of_version = {VERSION: version} if version else {}
    stored = frame.with_columns(pl.lit(as_of).alias(AS_OF), **{name: pl.lit(v) for name, v in of_version.items()})
    return lake.replace(key, stored, {AS_OF: [as_of]} | {name: [v] for name, v in of_version.items()}), stored


def read_version(lake: Lake, key: str, trained: TrainedVersion) -> pl.DataFrame:
    """Read the record of a version; in a table from before versions had a column, that of its training."""
    rows = lake.scan(key)
    own = pl.col(AS_OF) == trained.as_of
    if VERSION in rows.collect_schema():
        own = (pl.col(VERSION) == trained.version) | (pl.col(VERSION).is_null() & own)
    return rows.filter(own).drop(AS_OF).collect()
