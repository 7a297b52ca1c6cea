"""Features of any rows, as of each row's own time."""

from collections.abc import Sequence

import polars as pl

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.lake import Lake
from ml_assets.public.rows import with_moments


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

    rows = with_moments(rows, spine.time)
    for view in views:
        check_spine_columns(view, rows.schema, spine.time)
    taken = [
        name for view in views for name in view.feature_names if name in rows.columns and view.request.get(name) != name
    ]
    if taken:
        raise ValueError(f"the rows hold {', '.join(taken)}, which are features to compute: drop or rename them first")
    tables = [ViewTables(view, stored=None, facts=view.facts(lake), computed=True) for view in views]
    return join_features(rows, tables, time=spine.time)
