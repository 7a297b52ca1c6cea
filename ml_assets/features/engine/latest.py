"""The entity's last known row, at the prediction time or some time before."""

from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.engine.timeline import Timeline
from ml_assets.features.expressions import evaluate
from ml_assets.features.spec import FeatureViewSpec


def last_row_features(view: FeatureViewSpec, timeline: Timeline) -> pl.DataFrame:
    """Compute the view's `latest` features and lags: one row per spine row, types as the expressions give them.

    The last row wins as a whole, nulls included. Among rows of one entity with the same known_at the largest
    in `order_by` wins, then the largest in the features themselves: the order in which rows are stored never
    matters.

    Raises:
        FeatureError: an expression fails.
    """
    if not view.latest and not view.lags:
        return pl.DataFrame()
    ranks = {f"__rank_{i}__": text for i, text in enumerate(view.order_by)}
    lags = {name: spec.of for name, spec in view.lags.items()}
    values = evaluate(view.name, timeline.events, {**ranks, **view.latest, **lags})
    order = order_ties(values, timeline.order, timeline.event_keys)
    parts = []
    if view.latest:
        parts.append(_last_row(values.select(*view.latest), order, timeline, timedelta(0), view.ttl))
    for name, spec in view.lags.items():
        parts.append(_last_row(values.select(name), order, timeline, spec.ends_before, spec.ttl))
    return pl.concat(parts, how="horizontal")


def _last_row(
    values: pl.DataFrame, order: pl.Series, timeline: Timeline, before: timedelta, ttl: str | None
) -> pl.DataFrame:
    """Take the values of each spine row's last event that was known `before` its time."""
    start = timeline.known_before(before + parse_duration(ttl) if ttl else None)
    end = timeline.known_before(before)
    # Row numbers are gathered all the way to the spine, so that the values move only once.
    last = pl.Series(end - 1).set(pl.Series(end <= start), None)
    of_spine = order.gather(last).gather(timeline.moment_of_row)
    return values.select(pl.all().gather(of_spine))


def order_ties(values: pl.DataFrame, order: pl.Series, keys: np.ndarray) -> pl.Series:
    """Sort each run of equal `keys` by all columns of `values`, nulls first; all else stays.

    Args:
        values: rows in any order.
        order: row numbers of `values`, UInt32.
        keys: int64, sorted: the key of each row in `order`.

    Returns:
        Row numbers of `values`, UInt32.
    """
    same = keys[1:] == keys[:-1]
    if not same.any():
        return order
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    rows = order.gather(tied)
    ranked = values.select(pl.all().gather(rows)).with_columns(__key__=pl.Series(keys[tied]), __row__=rows)
    sorted_rows = order.to_numpy().copy()
    sorted_rows[tied] = ranked.sort("__key__", *values.columns, nulls_last=False)["__row__"].to_numpy()
    return pl.Series(sorted_rows)
