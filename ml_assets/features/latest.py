"""The entity's last known row."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.features.expressions import evaluate
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.timeline import Timeline


def latest_features(view: FeatureViewSpec, timeline: Timeline) -> pl.DataFrame:
    """The view's `latest` features: one row per moment of the timeline, types as the expressions give them.

    The last row wins as a whole, nulls included. Among rows of one entity with the same known_at the largest
    in `order_by` wins, then the largest in the features themselves: the order in which rows are stored never
    matters.

    Raises:
        FeatureError: an expression fails.
    """
    if not view.latest:
        return pl.DataFrame()
    ranks = {f"__rank_{i}__": text for i, text in enumerate(view.order_by)}
    values = evaluate(view.name, timeline.events, {**ranks, **view.latest})
    values = order_ties(values, timeline.event_keys, by=values.columns).select(*view.latest)
    age = parse_duration(view.ttl) if view.ttl else None
    start, end = timeline.known_before(age), timeline.known_before(timedelta(0))
    last_row = pl.Series(end - 1).set(pl.Series(end <= start), None)
    return values.select(pl.all().gather(last_row))


def order_ties(values: pl.DataFrame, keys: np.ndarray, by: Sequence[str]) -> pl.DataFrame:
    """Sort each run of rows with equal `keys` (int64, sorted) by columns, nulls first; all else stays."""
    same = keys[1:] == keys[:-1]
    tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
    if not tied.size:
        return values
    ranked = values[tied].select(pl.col(by), __key__=pl.Series(keys[tied]), __row__=pl.Series(tied))
    rows = np.arange(values.height)
    rows[tied] = ranked.sort("__key__", *by, nulls_last=False)["__row__"].to_numpy()
    return values[rows]
