"""Features of any rows, as of each row's own time."""

import warnings
from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.lake import Lake
from ml_assets.public.rows import with_moments
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP


class IncompleteFacts(UserWarning):
    """Rows lie at times up to which the lake does not hold every fact."""


def warn_if_incomplete(
    lake: Lake, views: Sequence[DeclaredView], rows: pl.DataFrame, time: str, cut: Mapping[str, Drops]
) -> None:
    """Warn of rows that are later than the newest drop of a table which their features are made of.

    Args:
        cut: table -> its drops, of the tables that are cut into drops. Of another table nothing says up to when it is
            complete.
    """
    for table in dict.fromkeys(view.table for view in views if view.known_at is not None):
        drops = cut.get(table or "")
        newest = max(lake.partitions(table, DROP), default=None) if table is not None and drops is not None else None
        if drops is None or newest is None or not isinstance(rows.schema.get(time), pl.Datetime):
            continue
        end = drop_end(newest, drops)
        later = rows.select((pl.col(time) > end).sum()).item()
        if later:
            message = (
                f"{later} of {rows.height} rows lie after {end:%Y-%m-%d %H:%M} UTC, the end of the newest drop of "
                f"{table}: not everything that was known at their times is in the lake"
            )
            warnings.warn(message, IncompleteFacts, stacklevel=4)


def _check_given(spine: DeclaredSpine, views: Sequence[DeclaredView], rows: pl.DataFrame) -> None:
    """Raise FeatureError with every column that the rows lack, what each is for, and those they must have."""
    from ml_assets.features.errors import FeatureError

    readers: dict[str, list[str]] = {spine.time: ["the time of the prediction"]}
    for view in views:
        for column in view.spine_columns:
            readers.setdefault(column, []).append(f"feature view {view.name}")
    missing = [f"{name} ({', '.join(of)})" for name, of in readers.items() if name not in rows.columns]
    if missing:
        raise FeatureError(f"the rows lack {', '.join(missing)}; they need the columns {', '.join(readers)}")


def features_of(lake: Lake, spine: DeclaredSpine, views: Sequence[DeclaredView], rows: pl.DataFrame) -> pl.DataFrame:
    """Compute the features of some views for rows, from what was known at each row's time.

    Args:
        rows: the spine's time column and what the views read of a row.

    Returns:
        The rows in their order and with all their columns, then the features that are no column of theirs.

    Raises:
        ValueError: a column of the rows has the name of a feature.
        FeatureError: a column is missing or of another type, or an expression fails.
        TableMissing: the table of a view is not in the lake.
    """
    from ml_assets.features.assemble import ViewTables, join_features
    from ml_assets.features.engine.checks import check_spine_columns

    _check_given(spine, views, rows)
    rows = with_moments(rows, spine.time)
    for view in views:
        check_spine_columns(view, rows.schema, spine.time)
    taken = [
        name
        for view in views
        for name in view.computed_features
        if name in rows.columns and view.request.get(name) != name
    ]
    if taken:
        raise ValueError(f"the rows hold {', '.join(taken)}, which are features to compute: drop or rename them first")
    tables = [ViewTables(view, stored=None, facts=view.facts(lake), computed=True) for view in views]
    return join_features(rows, tables, time=spine.time)
