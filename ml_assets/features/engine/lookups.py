"""Facts that do not change: one row per entity."""

import polars as pl

from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.errors import FeatureError
from ml_assets.features.expressions import evaluate
from ml_assets.features.spec import FeatureViewSpec


def lookup_features(view: FeatureViewSpec, spine: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Look up the view's static features: one row per spine row, null for entities that the table does not have.

    Args:
        view: a view without `known_at`, with lookups.
        spine: the keys; checked already.
        table: rows with the view's `table_columns`, at most one per entity; rows with a null key are left out.

    Raises:
        FeatureError: an expression fails, key types do not fit, or an entity has several rows.
    """
    keys = compare_keys(view, spine.schema, table.schema)
    values = evaluate(view.name, table, view.lookups)
    rows = pl.concat([table.select(keys.of_table), values], how="horizontal").drop_nulls(keys.names)
    _refuse_repeated_entities(view, rows, keys.names)
    wanted = spine.select(keys.of_spine)
    return wanted.join(rows, on=keys.names, how="left", maintain_order="left").select(*view.lookups)


def _refuse_repeated_entities(view: FeatureViewSpec, rows: pl.DataFrame, keys: list[str]) -> None:
    repeated = rows.group_by(keys).len("__rows__").filter(pl.col("__rows__") > 1).select(keys)
    if repeated.height:
        first = dict(zip(view.entity, repeated.sort(keys).row(0), strict=True))
        raise FeatureError(
            f"feature view {view.name!r}: table {view.table!r} has several rows for {repeated.height} "
            f"entities, such as {first}; a static table has one row per {', '.join(view.entity)}: remove the "
            "others, or declare `known_at` and use latest"
        )
