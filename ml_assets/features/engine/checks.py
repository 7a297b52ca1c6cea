"""What the engine demands of the frames it is given, checked before anything is computed."""

import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

MOMENT = pl.Datetime("us", "UTC")


def check_spine(view: FeatureViewSpec, spine: pl.DataFrame, time: str) -> None:
    """Check the spine: its key, request and time columns, and that every row has a time.

    Raises:
        FeatureError: names the view, the column and what to do.
    """
    check_spine_columns(view, spine.schema, time)
    check_times(view, time, missing=spine[time].null_count(), rows=spine.height)


def check_spine_columns(view: FeatureViewSpec, spine: pl.Schema, time: str) -> None:
    """Check the spine's key, request and time columns.

    Raises:
        FeatureError: names the view, the column and what to do.
    """
    _require(view, "spine", spine, [*view.spine_columns, time], "add it, or map a key with `spine_keys`")
    _require_moment(view, "spine", time, spine[time])
    for moment in view.planned.moments if view.planned else ():
        _require_moment(view, "spine", moment, spine[moment])
    if taken := sorted({time} & {*view.computed_features, *view.spine_entity}):
        raise FeatureError(f"feature view {view.name!r}: {taken[0]!r} is also the spine's time column: rename it")


def check_times(view: FeatureViewSpec, time: str, *, missing: int, rows: int) -> None:
    """Check that none of the spine's `rows` rows is `missing` its time.

    Raises:
        FeatureError: names the view, the column and what to do.
    """
    if missing:
        raise FeatureError(
            f"feature view {view.name!r}: the spine's time column {time!r} is null in {missing} of "
            f"{rows} rows; a row without a prediction time has no features: drop it or give it one"
        )


def check_table(view: FeatureViewSpec, table: pl.Schema) -> None:
    """Check the table's columns: keys, known_at and what the expressions read.

    Raises:
        FeatureError: names the view, the column and what to do.
    """
    where = f"table {view.table!r}"
    _require(view, where, table, view.table_columns, "add it to the table or correct the view")
    if view.known_at is not None:
        _require_moment(view, where, view.known_at, table[view.known_at])
    if view.planned is not None:
        for column in (view.planned.valid_at, view.planned.valid_until):
            if column is not None:
                _require_moment(view, where, column, table[column])


def _require(view: FeatureViewSpec, where: str, schema: pl.Schema, columns: list[str], remedy: str) -> None:
    if missing := [column for column in columns if column not in schema]:
        raise FeatureError(
            f"feature view {view.name!r}: {where} has no column {', '.join(map(repr, missing))} "
            f"(it has {', '.join(schema)}); {remedy}"
        )


def _require_moment(view: FeatureViewSpec, where: str, column: str, dtype: pl.DataType) -> None:
    if dtype != MOMENT:
        raise FeatureError(
            f"feature view {view.name!r}: {where} column {column!r} is {dtype}, not {MOMENT}; cast it to "
            "Datetime('us') and give it its zone with `.dt.replace_time_zone` or `.dt.convert_time_zone`"
        )
