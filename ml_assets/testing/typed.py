"""Rows as a test writes them, in the types that a table has."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ml_assets.public.rows import as_frame, with_moments

MOMENT = pl.Datetime("us", "UTC")


def typed(rows: Any, types: Mapping[str, pl.DataType], *, what: str, fill: bool) -> pl.DataFrame:
    """Return rows in declared types: texts are read as dates and moments, numbers and nulls as what is declared.

    Args:
        rows: a frame or dictionaries.
        types: column -> its declared type.
        what: what the rows are, for messages.
        fill: add the declared columns that the rows lack, without values.

    Raises:
        ValueError: a value does not fit its column's type.
    """
    frame = as_frame(rows)
    for name, dtype in types.items():
        if name in frame.columns:
            frame = _cast(frame, name, dtype, what)
        elif fill:
            frame = frame.with_columns(pl.lit(None, dtype).alias(name))
    return frame


def with_moments_in(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the frame with some columns as moments, where it has them; a time without a zone is taken as UTC."""
    for name in columns:
        frame = with_moments(frame, name)
        dtype = frame.schema.get(name)
        if (isinstance(dtype, pl.Datetime) and dtype.time_zone is None) or dtype in (pl.Date, pl.Null):
            frame = frame.with_columns(pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    return frame


def _cast(frame: pl.DataFrame, name: str, dtype: pl.DataType, what: str) -> pl.DataFrame:
    try:
        if dtype == MOMENT:
            return with_moments_in(frame, [name])
        if frame.schema[name] == pl.String and isinstance(dtype, pl.Datetime | pl.Date):
            return frame.with_columns(pl.col(name).str.to_datetime(time_unit="us").cast(dtype))
        return frame.with_columns(pl.col(name).cast(dtype))
    except (pl.exceptions.PolarsError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{what}: column {name!r} must be {dtype}, and is {frame.schema[name]}: {reason}") from None
