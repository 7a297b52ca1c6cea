"""Which rows of a table can matter to predictions."""

from datetime import datetime
from typing import cast

import polars as pl

from ml_assets.features.spec import FeatureViewSpec


def reachable(
    view: FeatureViewSpec, table: pl.LazyFrame, first: datetime | None, last: datetime | None
) -> pl.LazyFrame:
    """Select the rows and columns of a table that can matter to predictions from `first` to `last`, both included.

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


def first_and_last(times: pl.Series) -> tuple[datetime | None, datetime | None]:
    """Return the first and the last of some moments; None without any."""
    return cast("datetime | None", times.min()), cast("datetime | None", times.max())
