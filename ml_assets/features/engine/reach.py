"""Which rows of a table can matter to predictions."""

from datetime import datetime

import polars as pl

from ml_assets.features.spec import FeatureViewSpec


def reachable(
    view: FeatureViewSpec, table: pl.LazyFrame, first: datetime | None, last: datetime | None
) -> pl.LazyFrame:
    """The rows and columns of a view's table that can matter to predictions from `first` to `last`, both included.

    Rows known later, or longer ago than the view's look-back, are left out, as are those never known. Without any
    prediction (None) no row matters. A static table is taken whole.
    """
    table = table.select(view.table_columns)
    if view.known_at is None:
        return table
    if first is None or last is None:
        return table.head(0)
    known_at = pl.col(view.known_at)
    table = table.filter(known_at.is_not_null(), known_at <= last)
    return table if view.look_back is None else table.filter(known_at > first - view.look_back)
