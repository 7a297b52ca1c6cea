"""A few facts, read one by one: columns of them take longer to make than all that is done with them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.facts.values import value_type

PlainFact = Mapping[str, Any]
"""The columns of a view's table, in their order: a number, text or Boolean each, moments as microseconds."""

MOST = 16
"""Facts from which on columns are cheaper."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PlainReader:
    """Reads JSON objects as facts of a view whose columns are all numbers, texts, Booleans and moments with a zone.

    Args:
        types: of `view.table_columns`, each of which `is_plain`.
    """

    def __init__(self, view: FeatureViewSpec, types: Mapping[str, pl.DataType]) -> None:
        needed = {*view.entity, view.known_at}
        self._columns = [(name, _reader(dtype), name in needed) for name, dtype in types.items()]

    def read(self, rows: Sequence[Mapping[str, Any]], *, more: bool = False) -> list[PlainFact] | None:
        """Return rows as facts; None where one of them is not as `read_rows` wants it, who says what is wrong with it.

        Args:
            more: whether rows may have other columns beside.
        """
        facts = []
        for row in rows:
            if not more and len(row) != len(self._columns):
                return None
            fact = {}
            for name, read, needed in self._columns:
                value = row.get(name, _ABSENT)
                if value is None:
                    if needed:
                        return None
                elif value is _ABSENT:
                    return None
                else:
                    try:
                        value = read(value)
                    except (ValueError, TypeError, OverflowError):
                        return None
                fact[name] = value
            facts.append(fact)
        return facts


_ABSENT = object()


def is_plain(dtype: pl.DataType) -> bool:
    """Return whether a column gives back a value of the type as it is read, or a moment as microseconds."""
    return dtype in (pl.String, pl.Boolean, pl.Float64, pl.Int64, pl.Int32, pl.Int16, pl.Int8) or _is_moment(dtype)


def from_columns(facts: pl.DataFrame) -> list[PlainFact] | None:
    """Make plain facts of columns whose types all are; None where a number is not finite."""
    columns = [(column.to_physical() if column.dtype.is_temporal() else column).to_list() for column in facts]
    if any(isinstance(value, float) and not isfinite(value) for column in columns for value in column):
        return None
    return [dict(zip(facts.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def as_columns(facts: Sequence[PlainFact], types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Make columns of facts after all."""
    return pl.DataFrame(
        [
            pl.Series(name, [fact[name] for fact in facts], pl.Int64 if _is_moment(dtype) else dtype).cast(dtype)
            for name, dtype in types.items()
        ]
    )


def _is_moment(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_unit == "us" and dtype.time_zone is not None


def _reader(dtype: pl.DataType) -> Callable[[Any], Any]:
    read = value_type(dtype).read
    if _is_moment(dtype):
        return lambda value: (read(value) - _EPOCH) // _MICROSECOND
    return read
