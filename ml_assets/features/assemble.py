"""Spine rows with the stored features of several views beside them: what a model trains on and scores."""

from collections.abc import Sequence

import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec


def join_features(
    spine: pl.DataFrame, views: Sequence[tuple[FeatureViewSpec, pl.LazyFrame]], *, time: str
) -> pl.DataFrame:
    """Put the stored features of each view beside the spine's rows, in the spine's order.

    Args:
        spine: rows with every view's `spine_entity` columns and the time column.
        views: each view with its table: entity keys, time, features; at most one row per entity and time.
        time: the spine's time column.

    Returns:
        The spine's columns, then the features of each view that are no column of the spine.

    Raises:
        FeatureError: a feature is in two views or is another thing than the spine's column of that name, or a
            spine row has no row in a view's table.
    """
    refuse_twins([view for view, _ in views])
    joined = spine.lazy()
    for view, table in views:
        refuse_homonyms(view, spine.columns)
        joined = _beside(joined, spine.columns, view, table, time)
    complete = joined.collect()
    for view, _ in views:
        _refuse_gaps(complete, view, time)
    return complete.drop(_found(view) for view, _ in views)


def _beside(
    rows: pl.LazyFrame, of_spine: Sequence[str], view: FeatureViewSpec, table: pl.LazyFrame, time: str
) -> pl.LazyFrame:
    on = [*view.spine_entity, time]
    added = [name for name in view.feature_names if name not in of_spine]
    stored = table.select(*on, *added, pl.lit(True).alias(_found(view))).unique(on, keep="any")
    return rows.join(stored, on=on, how="left", nulls_equal=True, maintain_order="left")


def _found(view: FeatureViewSpec) -> str:
    return f"__found_{view.name}"


def _refuse_gaps(joined: pl.DataFrame, view: FeatureViewSpec, time: str) -> None:
    missing = joined.filter(pl.col(_found(view)).is_null())
    if missing.height:
        raise FeatureError(
            f"feature view {view.name!r} holds nothing for {missing.height} of {joined.height} rows, the first at "
            f"{missing[time].min()}: materialize features/{view.name} for that drop first"
        )


def refuse_homonyms(view: FeatureViewSpec, columns: Sequence[str]) -> None:
    """Raise FeatureError if a feature bears the name of one of the spine's columns and is something else."""
    for name in view.feature_names:
        if name in columns and view.request.get(name) != name:
            raise FeatureError(
                f"feature view {view.name!r}: feature {name!r} bears the name of a spine column and is something else: "
                "rename the feature"
            )


def refuse_twins(views: Sequence[FeatureViewSpec]) -> None:
    """Raise FeatureError if two views have a feature of the same name."""
    owner: dict[str, str] = {}
    for view in views:
        for name in view.feature_names:
            if owner.setdefault(name, view.name) != view.name:
                raise FeatureError(
                    f"feature {name!r} is in views {owner[name]!r} and {view.name!r}: rename it in one of them"
                )
