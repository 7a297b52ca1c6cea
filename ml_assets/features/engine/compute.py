"""Features of a view for the rows of a spine, as of each row's own time."""

import polars as pl

from ml_assets.features.engine.checks import check_spine, check_table
from ml_assets.features.engine.latest import last_row_features
from ml_assets.features.engine.lookups import lookup_features
from ml_assets.features.engine.plans.features import planned_features
from ml_assets.features.engine.timeline import build_timeline
from ml_assets.features.engine.windows.summaries import window_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.row.features import row_features
from ml_assets.features.spec import FeatureViewSpec


def compute_features(
    view: FeatureViewSpec,
    spine: pl.DataFrame,
    events: pl.LazyFrame | pl.DataFrame | None,
    *,
    time: str,
) -> pl.DataFrame:
    """Compute a view's features for every row of a spine, from nothing that was not known at the row's time.

    `latest` sees the last row with known_at <= t (and known_at > t - ttl), a window of length w the rows with
    t - w < known_at <= t; both as of t - offset where an offset is declared. Planned
    facts are seen as `PlanSpec` says. Rows with a null known_at or key are
    ignored. An entity that is null or never seen gets nulls, and 0 where rows or values are counted. The result does
    not depend on the order of the rows of `events`, nor on rows that are out of reach: any scan that holds
    `known_at > first time - view.look_back` gives the same.

    Args:
        view: what to compute.
        spine: the rows to predict: `view.spine_columns` and the time column; rows may repeat.
        events: the view's table with `view.table_columns`, in any order; None for a view without a table.
        time: the spine's time column, Datetime("us", "UTC") without nulls.

    Returns:
        The spine's rows in the spine's order: its entity keys, its time column, then `view.computed_features`. A
        Decimal is the nearest Float64, as a model takes it.

    Raises:
        FeatureError: a column is missing or has the wrong type, an expression fails or reaches across rows,
            or a static table has several rows for an entity.
    """
    check_spine(view, spine, time)
    of_table = _as_taken(_beside(_table_features(view, spine, events, time)))
    own = _as_taken(row_features(view, spine, of_table, time))
    return _beside([spine.select(*view.spine_entity, time), of_table, own]).select(
        *view.spine_entity, time, *view.computed_features
    )


def _beside(parts: list[pl.DataFrame]) -> pl.DataFrame:
    there = [part for part in parts if part.width]
    return pl.concat(there, how="horizontal") if there else pl.DataFrame()


def _as_taken(features: pl.DataFrame) -> pl.DataFrame:
    return features.with_columns(pl.col(n).cast(pl.Float64) for n, kind in features.schema.items() if kind.is_decimal())


def _table_features(
    view: FeatureViewSpec, spine: pl.DataFrame, events: pl.LazyFrame | pl.DataFrame | None, time: str
) -> list[pl.DataFrame]:
    if view.table is None:
        return []
    if events is None:
        raise FeatureError(f"feature view {view.name!r}: it reads table {view.table!r}, but was given no rows")
    table = events.lazy()
    check_table(view, table.collect_schema())
    if view.known_at is None:
        return [lookup_features(view, spine, table.select(view.table_columns).collect())]
    timeline = build_timeline(view, spine, table, time)
    return [
        last_row_features(view, timeline),
        timeline.to_spine(window_features(view, timeline)),
        planned_features(view, spine, timeline, time),
    ]
