"""A view's values as rows that hold until the next one: what a tool that knows nothing of windows can serve.

Between two moments at which a fact comes or leaves a window, the values of an entity are constant. A join with the last
row therefore gives what the engine gives, at any time of the period.
"""

from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.engine.checks import MOMENT
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features, stored_view
from ml_assets.online.values.keys import ENTITY, with_entity
from ml_assets.online.values.moments import SINCE, VALID_FROM, build_moments
from ml_assets.online.values.record import microseconds

EVENT_TIME = "event_timestamp"
EVERYTHING = "everything"
"""Key of a view without entity, always 1: Feast's DuckDB store cannot put a view without keys into an online store."""

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


class NothingKnown(ValueError):
    """A view of which there is nothing to hand over."""


def values_over(
    view: FeatureViewSpec, table: pl.LazyFrame, *, since: datetime, as_of: datetime, until: datetime
) -> tuple[pl.DataFrame, timedelta | None]:
    """Return the values of every entity of the table at every moment of a period at which they may change.

    Facts known after ``as_of`` are left out; at ``until`` every value becomes null. A static table has one row an
    entity, at ``since``.

    Returns:
        The rows: `key_columns(view)`, EVENT_TIME and the stored features, by entity and time, no two alike in both.
        And how old a row can be and still hold: of an entity no two rows lie further apart, for which values are said
        again where nothing changes for long. None for a static table, whose rows always hold.

    Raises:
        NothingKnown: the table has no row for any entity.
        FeatureError: as the engine does.
    """
    kept = stored_view(view)
    begin, end = microseconds(since), microseconds(until)
    facts = with_entity(kept, _known(kept, table, as_of)).filter(pl.col(ENTITY).is_not_null())
    keys = facts.group_by(ENTITY).agg(pl.col(kept.entity).first()).sort(ENTITY)
    if kept.look_back is not None:
        facts = facts.filter(pl.col(kept.known_at_column) > since - kept.look_back)
    starts = keys.select(ENTITY, pl.lit(begin, pl.Int64).alias(SINCE))
    parts = list(build_moments(kept, facts, starts, None if kept.known_at is None else end))
    if not parts:
        raise NothingKnown(f"its table holds no row that was known by {as_of.isoformat()}")
    rows = pl.concat(parts).select(ENTITY, VALID_FROM, *stored_features(kept))
    step = None
    if kept.known_at is not None:
        step = _mean_gap(rows, until - since)
        rows = _closed(_repeated(rows, begin, end, step), end)
    named = dict(zip(kept.entity, kept.spine_entity, strict=True))
    time = pl.col(VALID_FROM).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT).alias(EVENT_TIME)
    beside = rows.join(keys, on=ENTITY, how="left", maintain_order="left").rename(named)
    if not kept.entity:
        beside = beside.with_columns(pl.lit(1, pl.Int64).alias(EVERYTHING))
    return beside.select(*key_columns(kept), time, *stored_features(kept)), step


def key_columns(view: FeatureViewSpec) -> list[str]:
    """Return the columns that identify an entity's rows."""
    return view.spine_entity or [EVERYTHING]


def _known(view: FeatureViewSpec, table: pl.LazyFrame, as_of: datetime) -> pl.DataFrame:
    rows = table.select(view.table_columns)
    return (rows if view.known_at is None else rows.filter(pl.col(view.known_at) <= as_of)).collect()


def _mean_gap(rows: pl.DataFrame, period: timedelta) -> timedelta:
    """Return how far the rows of an entity lie apart on average: repeating values so often at most doubles the rows.

    The distance is whole seconds below a day, or whole days: Feast's DuckDB store takes no others.
    """
    gap = period * rows[ENTITY].n_unique() / rows.height
    return timedelta(days=gap.days + 1) if gap >= _DAY else min(timedelta(seconds=gap // _SECOND + 1), _DAY)


def _repeated(rows: pl.DataFrame, begin: int, end: int, step: timedelta) -> pl.DataFrame:
    """Add rows with the values that hold at each step from the beginning of the period."""
    times = pl.int_range(begin, end, step // timedelta(microseconds=1), eager=True).alias(VALID_FROM)
    grid = rows.select(pl.col(ENTITY).unique()).join(times.to_frame(), how="cross").sort(VALID_FROM)
    rows = rows.sort(VALID_FROM)
    again = grid.join_asof(rows, on=VALID_FROM, by=ENTITY, check_sortedness=False)
    return pl.concat([rows, again]).unique([ENTITY, VALID_FROM], keep="any")


def _closed(rows: pl.DataFrame, end: int) -> pl.DataFrame:
    last = rows.select(pl.col(ENTITY).unique()).with_columns(pl.lit(end, pl.Int64).alias(VALID_FROM))
    return pl.concat([rows, last], how="diagonal").sort(ENTITY, VALID_FROM)
