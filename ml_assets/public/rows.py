"""Rows and moments as people write them: frames of any library, dictionaries, ISO texts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

Rows = pl.DataFrame | pl.LazyFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A frame; a row, or some, as dictionaries; or columns as one dictionary of lists. A pandas frame is taken too."""

Moment = str | date | datetime
"""A moment; without a zone it is UTC, as on the command line."""


def as_frame(rows: Any) -> pl.DataFrame:
    """Return rows as a frame.

    Raises:
        TypeError: they are something else.
    """
    if isinstance(rows, pl.DataFrame):
        return rows
    if isinstance(rows, pl.LazyFrame):
        return rows.collect()
    if isinstance(rows, Mapping):
        columns = any(isinstance(value, list | tuple | pl.Series) for value in rows.values())
        return pl.DataFrame(rows) if columns else pl.DataFrame([rows])
    if isinstance(rows, str) or not (isinstance(rows, Sequence) or hasattr(rows, "columns")):
        raise TypeError(f"rows must be a frame, or dictionaries, not {type(rows).__name__}")
    return pl.DataFrame(rows, infer_schema_length=None)


def as_moment(moment: Moment) -> datetime:
    """Return a moment in UTC.

    Raises:
        ValueError: a text that is no ISO date or time.
    """
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise ValueError(
                f"{moment!r} must be an ISO date or time, such as 2024-02-29 or 2024-02-29T12:00"
            ) from None
    elif not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def with_moments(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the frame with a column of moments as ``Datetime("us", "UTC")``: texts and other zones are converted.

    A time without a zone stays as it is: what it means is for whoever wrote it down to say.
    """
    dtype = frame.schema.get(column)
    if dtype == pl.String:
        return frame.with_columns(
            pl.Series(column, [_or_none(text) for text in frame[column]], pl.Datetime("us", "UTC"))
        )
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return frame.with_columns(pl.col(column).dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
    return frame


def _or_none(text: str | None) -> datetime | None:
    return None if text is None else as_moment(text)
