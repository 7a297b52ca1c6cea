"""Features of the request itself: what the engine computes from a spine row, remembered by what the row holds."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.expressions import parse
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.values.record import moment_of
from ml_assets.serving.errors import BadRequest

REMEMBERED = 65_536
"""Rows whose values are kept of each group of expressions: about 20 MB."""


class RequestFeatures:
    """The request features of some views, for rows of their spine.

    An expression sees one row and nothing else, so equal inputs have equal values. Columns that are handed on are
    copied; the other expressions are evaluated by Polars, as in training, once for each combination of the columns
    that they read. What reads the time column is evaluated for every request.
    """

    def __init__(self, views: Iterable[FeatureViewSpec], schema: Mapping[str, pl.DataType], time: str) -> None:
        """Parse the expressions.

        Args:
            schema: types of the rows' columns in the spine's table.
            time: the spine's time column, which rows do not hold.

        Raises:
            FeatureError: an expression is no Polars SQL.
        """
        self._time = time
        self._copied: dict[str, str] = {}
        groups: dict[tuple[str, ...], dict[str, pl.Expr]] = {}
        for view in views:
            for name, text in view.request.items():
                expression = parse(view.name, text)
                read = tuple(sorted({*expression.meta.root_names()}))
                if expression.meta.is_column() and read[0] != time:
                    self._copied[name] = read[0]
                else:
                    groups.setdefault(read, {})[name] = expression
        types = {**schema, time: MOMENT}
        self._groups = [_Group({column: types[column] for column in read}, named) for read, named in groups.items()]
        self._types = types
        self.names = [*self._copied, *(name for group in self._groups for name in group.names)]

    def types(self) -> dict[str, pl.DataType]:
        """Return the Polars types of the features, by name."""
        copied = {name: self._types[column] for name, column in self._copied.items()}
        return copied | {name: dtype for group in self._groups for name, dtype in group.types().items()}

    def compute(self, rows: Sequence[Mapping[str, Any]], at: int) -> list[dict[str, Any]]:
        """Compute the features of each row.

        Args:
            rows: the spine's columns, as `RowReader.read` gives them.
            at: the moment of the request, microseconds.

        Raises:
            BadRequest: an expression cannot be evaluated on a row.
        """
        computed = [{name: row[column] for name, column in self._copied.items()} for row in rows]
        for group in self._groups:
            requested = [{**row, self._time: moment_of(at)} for row in rows] if self._time in group.columns else rows
            for row, values in zip(computed, group.values(requested), strict=True):
                row.update(values)
        return computed


class _Group:
    """Expressions that read the same columns, and their values by what these hold."""

    def __init__(self, columns: Mapping[str, pl.DataType], expressions: Mapping[str, pl.Expr]) -> None:
        self.columns = list(columns)
        self.names = list(expressions)
        self._types = columns
        self._expressions = [expression.alias(name) for name, expression in expressions.items()]
        self._signed = any(dtype.is_float() for dtype in columns.values())
        self._remembered: dict[tuple, dict[str, Any]] = {}
        self._writing = threading.Lock()

    def types(self) -> dict[str, pl.DataType]:
        return dict(pl.DataFrame(schema=dict(self._types)).select(self._expressions).schema)

    def values(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        keys = [self._key(row) for row in rows]
        remembered = [self._remembered.get(key) for key in keys]
        known = [values for values in remembered if values is not None]
        if len(known) == len(remembered):
            return known
        new = {key: row for key, row, values in zip(keys, rows, remembered, strict=True) if values is None}
        computed = dict(zip(new, self._compute(list(new.values())), strict=True))
        self._remember(computed)
        return [computed[key] if values is None else values for key, values in zip(keys, remembered, strict=True)]

    def _key(self, row: Mapping[str, Any]) -> tuple:
        if self._signed:
            # Both zeros are equal, and 1 / x tells them apart.
            return tuple(str(row[name]) if row[name] == 0 else row[name] for name in self.columns)
        return tuple(row[name] for name in self.columns)

    def _compute(self, rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        # A row at a time: Polars divides a column by another way than a single value, which moves the last bit, and
        # what is remembered must not depend on the rows beside it.
        return [self._compute_row(row) for row in rows]

    def _compute_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        frame = pl.DataFrame({name: [row[name]] for name in self.columns}, schema=self._types)
        try:
            return frame.select(self._expressions).row(0, named=True)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            shown = ", ".join(f"{name} = {row[name]!r}" for name in self.columns)
            raise BadRequest(f"features {', '.join(self.names)} cannot be computed of {shown}: {error}") from error

    def _remember(self, computed: Mapping[tuple, dict[str, Any]]) -> None:
        with self._writing:
            for key, values in computed.items():
                while len(self._remembered) >= REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[key] = values
