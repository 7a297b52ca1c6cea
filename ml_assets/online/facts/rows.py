"""Facts as they are pushed: JSON objects or a frame, checked against the view's table, and kept as JSON objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.values import column_of, exact_cast, value_type

Schema = Mapping[str, pl.DataType]

_AS_INTEGERS = {pl.Datetime: pl.Int64, pl.Date: pl.Int32, pl.Time: pl.Int64, pl.Duration: pl.Int64}


class PushError(ValueError):
    """Rows cannot be pushed; the message says which row and column, and what it must be."""


def read_rows(view: FeatureViewSpec, rows: Sequence[Mapping[str, Any]], schema: Schema) -> pl.DataFrame:
    """Read JSON objects as rows of the view's table.

    Args:
        rows: column -> value, for every column of `view.table_columns` and no other. A moment is ISO 8601 text with
            its zone or a datetime with one, a date ISO 8601 text or a date, a decimal text or a Decimal, a duration a
            whole number of the units of its column or a timedelta.
        schema: of the table.

    Raises:
        PushError: names the row (counted from 0), the column, and what it must be.
    """
    wanted = {name: schema[name] for name in view.table_columns}
    for number, row in enumerate(rows):
        missing, strange = [n for n in wanted if n not in row], [n for n in row if n not in wanted]
        if missing:
            raise _wrong(view, number, missing[0], "is missing", wanted[missing[0]])
        if strange:
            raise PushError(
                f"feature view {view.name!r}, row {number}: {strange[0]!r} is no column that the view reads; it reads "
                f"{', '.join(wanted)}"
            )
    columns = []
    for name, dtype in wanted.items():
        values = [_read(view, number, name, row[name], dtype) for number, row in enumerate(rows)]
        if name in (*view.entity, view.known_at) and None in values:
            raise _wrong(view, values.index(None), name, "is null", dtype)
        columns.append(column_of(name, values, dtype))
    return pl.DataFrame(columns)


def check_rows(view: FeatureViewSpec, rows: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Cast a frame to rows of the view's table: `view.table_columns`, in the table's types.

    Raises:
        PushError: a column is missing, or a value is not of the table's type; a key or known_at is null, or a number
            is not finite.
    """
    columns = []
    for name in view.table_columns:
        dtype = schema[name]
        if name not in rows.columns:
            must_be = value_type(dtype).must_be
            raise PushError(f"feature view {view.name!r}: the rows have no column {name!r}: {must_be}")
        cast, misfit = exact_cast(rows[name], dtype)
        _refuse(view, rows[name], misfit, dtype)
        if dtype.is_float():
            _refuse(view, rows[name], ~cast.is_finite(), dtype)
        if name in (*view.entity, view.known_at):
            _refuse(view, rows[name], cast.is_null(), dtype)
        columns.append(cast)
    return pl.DataFrame(columns)


def encode_facts_as_json(rows: pl.DataFrame) -> list[str]:
    """Encode each row as a JSON object: moments, dates and durations as whole numbers, decimals as text."""
    columns = [_plain(column).to_list() for column in rows.get_columns()]
    names = rows.columns
    return [orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in zip(*columns, strict=True)]


def decode_facts_from_json(rows: Sequence[str], schema: Schema) -> pl.DataFrame:
    """Decode the rows of `encode_facts_as_json` to the types of `schema`; null where a row lacks a column, as one does
    that was pushed before the view read that column."""
    values = [orjson.loads(row) for row in rows]
    return pl.DataFrame(
        [
            pl.Series(name, [row.get(name) for row in values], _kept_as(dtype)).cast(dtype)
            for name, dtype in schema.items()
        ]
    )


def _plain(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype.is_temporal():
        return column.cast(_AS_INTEGERS[type(dtype)])
    return column.cast(pl.String) if dtype.is_decimal() else column


def _kept_as(dtype: pl.DataType) -> Any:
    if dtype.is_temporal():
        return _AS_INTEGERS[type(dtype)]
    return pl.String if dtype.is_decimal() else dtype


def _read(view: FeatureViewSpec, number: int, name: str, value: Any, dtype: pl.DataType) -> Any:
    if value is None:
        return None
    try:
        return value_type(dtype).read(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(view, number, name, f"is {_shown(value)}", dtype) from None


def _refuse(view: FeatureViewSpec, column: pl.Series, wrong: pl.Series, dtype: pl.DataType) -> None:
    places = wrong.arg_true()
    if len(places):
        raise _wrong(view, places[0], column.name, f"is {_shown(column[places[0]])}", dtype)


def _shown(value: Any) -> str:
    return "null" if value is None else " ".join(repr(value).split())[:60]


def _wrong(view: FeatureViewSpec, number: int, name: str, what: str, dtype: pl.DataType) -> PushError:
    of_type = value_type(dtype)
    must_be = of_type.must_be if name in (*view.entity, view.known_at) else of_type.or_null
    return PushError(f"feature view {view.name!r}, row {number}: {name!r} {what}; {must_be}")
