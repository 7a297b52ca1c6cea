"""Whether stored features keep the point-in-time rule."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from ml_assets.features.audit.recompute import EntityHistory, PlainFeatures, recompute
from ml_assets.features.engine.checks import check_spine, check_table
from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.engine.reach import first_and_last, reachable
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

# What a plain float sum may be off by, relative to the sum of its terms' sizes: some tens of roundings.
_ROUNDING = 1e-14
_ROWS_AT_ONCE = 4_000_000


AUDITED_ROWS = 50
"""Stored rows that are recomputed by hand at each materialization; a leak shows in far fewer."""


def find_leaks(
    view: FeatureViewSpec,
    stored: pl.DataFrame,
    events: pl.LazyFrame | pl.DataFrame | None,
    *,
    time: str,
    spine: pl.DataFrame | None = None,
    rows: int = 200,
    seed: int = 0,
    tolerance: float = 1e-9,
) -> pl.DataFrame:
    """Recompute a sample of stored features from the rows known at each row's time; return those that differ.

    A feature that used the future differs from what can be computed without it. So does one whose table has
    changed since: audit against the table version that the features were computed from.

    Args:
        view: the declaration.
        stored: the features of rows of the spine, `view.computed_features`.
        events: the view's table; None for a view without a table.
        time: the spine's time column.
        spine: these rows, in the same order: `view.spine_columns` and the time column; by default `stored` holds them
            too.
        rows: how many stored rows to draw.
        seed: of the draw.
        tolerance: accepted relative difference of a floating-point feature; all others must be equal.

    Returns:
        One row per stored value that differs: the entity keys, the time, `feature`, `stored` and `recomputed`
        (both String; null for null). Empty if all is well.

    Raises:
        FeatureError: a column is missing or has the wrong type.
    """
    spine = stored if spine is None else spine
    check_spine(view, spine, time)
    if missing := [name for name in view.computed_features if name not in stored.columns]:
        raise FeatureError(f"feature view {view.name!r}: no stored values of {missing}: compute the view again")
    drawn = pl.int_range(stored.height, eager=True).sample(min(rows, stored.height), seed=seed)
    stored, sample = stored[drawn], spine[drawn]
    moments = sample[time].to_physical()
    recomputed = {
        row: recompute(view, sample[row], history, moments[row], stored.schema)
        for mine, history in _histories(view, sample, events)
        for row in mine
    }
    plain = [recomputed[row] for row in range(sample.height)]
    where = sample.select(*view.spine_entity, time)
    return pl.concat(
        where.hstack(_compare(name, stored[name], plain, tolerance)).filter(~pl.col("equal")).drop("equal")
        for name in view.computed_features
    )


def differing_features(
    view: FeatureViewSpec, features: pl.DataFrame, rows: pl.DataFrame, events: pl.LazyFrame | None, time: str
) -> pl.DataFrame:
    """Recompute all features of some rows of a spine, and return those that differ as ``find_leaks`` does."""
    if events is not None:
        events = reachable(view, events, *first_and_last(rows[time]))
    return find_leaks(view, features, events, time=time, spine=rows, rows=rows.height)


def _histories(
    view: FeatureViewSpec, sample: pl.DataFrame, events: pl.LazyFrame | pl.DataFrame | None
) -> Iterator[tuple[list[int], EntityHistory]]:
    """Yield the history of each sampled entity with the sample's rows of it; never of too many entities at once."""
    everything = list(range(sample.height))
    if view.table is None:
        yield everything, EntityHistory(pl.DataFrame(), None)
        return
    if events is None:
        raise FeatureError(f"feature view {view.name!r}: it reads table {view.table!r}, but was given no rows")
    schema = events.lazy().collect_schema()
    check_table(view, schema)
    table = events.lazy().select(view.table_columns)
    if not view.entity:
        yield everything, EntityHistory.of(table.collect(), view.known_at)
        return
    keys = compare_keys(view, sample.schema, schema)
    table = table.with_columns(keys.of_table)
    wanted = sample.select(keys.of_spine)
    places = wanted.with_row_index("row").group_by(keys.names).agg("row")
    rows_of = {tuple(key): rows for *key, rows in places.iter_rows()}
    for entities in _batches(table, wanted.unique(), keys.names):
        seen = table.join(entities.lazy(), on=keys.names, how="semi").collect(engine="streaming")
        groups = seen.partition_by(keys.names, as_dict=True, include_key=False)
        for key, rows in groups.items():
            yield rows_of.pop(key), EntityHistory.of(rows, view.known_at)
    unseen = EntityHistory.of(table.drop(keys.names).head(0).collect(), view.known_at)
    yield [row for rows in rows_of.values() for row in rows], unseen


def _batches(table: pl.LazyFrame, entities: pl.DataFrame, keys: list[str]) -> list[pl.DataFrame]:
    """Divide the entities that the table has so that those of a batch have few enough rows, or are one."""
    counts = table.join(entities.lazy(), on=keys, how="semi").group_by(keys).len("rows").collect(engine="streaming")
    batch = (pl.col("rows").cum_sum() - 1) // _ROWS_AT_ONCE
    return counts.sort("rows").with_columns(batch=batch).partition_by("batch", include_key=False)


def _compare(name: str, stored: pl.Series, plain: list[PlainFeatures], tolerance: float) -> pl.DataFrame:
    stored, recomputed = _comparable(stored, [row.values[name] for row in plain])
    equal = stored.eq_missing(recomputed)
    if stored.dtype.is_float():
        magnitude = pl.Series([row.magnitudes.get(name, 0.0) for row in plain], dtype=pl.Float64)
        allowed = recomputed.abs() * tolerance + magnitude * _ROUNDING
        equal |= ((stored - recomputed).abs() <= allowed).fill_null(False)
    return pl.DataFrame(
        {"stored": stored.cast(pl.String), "recomputed": recomputed.cast(pl.String), "equal": equal}
    ).insert_column(0, pl.Series("feature", [name], pl.String).new_from_index(0, len(stored)))


def _comparable(stored: pl.Series, values: list[Any]) -> tuple[pl.Series, pl.Series]:
    """Cast both sides to the same type: Int64 for whole numbers, Float64 for other numbers, String for all else."""
    recomputed = pl.Series(values, strict=False)
    kinds = {_kind(stored.dtype), _kind(recomputed.dtype)}
    common = pl.String if pl.String in kinds else pl.Float64 if pl.Float64 in kinds else pl.Int64
    return stored.cast(common), recomputed.cast(common)


def _kind(dtype: pl.DataType) -> type[pl.DataType]:
    if dtype.is_float() or dtype.is_decimal():
        return pl.Float64
    return pl.Int64 if dtype.is_integer() or dtype in (pl.Boolean, pl.Null) else pl.String
