"""Derived features of requests: what the engine computes from the other features of a row."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from ml_assets.features.derived import derived_from, finite, nan_as_null, parse_derived
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.serving.errors import BadRequest


class DerivedFeatures:
    """The derived features of some views, evaluated by Polars as in training.

    Attributes:
        names: of the features.
    """

    names: list[str]

    def __init__(self, views: Iterable[FeatureViewSpec], types: Mapping[str, pl.DataType]) -> None:
        """Parse the expressions.

        Args:
            types: of the features that they read; of those without one the values tell.
        """
        parsed = [(view.name, name, text) for view in views for name, text in view.derived.items()]
        self.names = [name for _, name, _ in parsed]
        self._expressions = [parse_derived(view, text).alias(name) for view, name, text in parsed]
        read = [column for view, name, text in parsed for column in derived_from(view, {name: text})[name]]
        self._types = {column: types.get(column) for column in read}

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add the derived features to rows of all other features.

        Raises:
            BadRequest: an expression cannot be evaluated on the rows.
        """
        if not self.names:
            return
        frame = pl.DataFrame(
            [pl.Series(name, [row.get(name) for row in rows], dtype) for name, dtype in self._types.items()]
        )
        try:
            computed = finite(nan_as_null(frame).select(self._expressions))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise BadRequest(f"features {', '.join(self.names)} cannot be computed: {error}") from error
        for row, values in zip(rows, computed.iter_rows(named=True), strict=True):
            row.update(values)
