"""Entities as text: what the store finds them by."""

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

ENTITY = "__entity__"
"""Column with an entity's text, beside the columns of a view's table."""

_KEY_TYPES = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date)


def entity_key(values: Sequence[Any]) -> str:
    """Encode an entity as text: its key values, in the order of `view.spine_entity`, as a JSON list."""
    return orjson.dumps(values).decode()


def with_entity(view: FeatureViewSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the column ENTITY (String) to rows of the view's table; null where a key is null.

    Raises:
        FeatureError: a key has a type of which there is no text that a request's value would share.
    """
    if not view.entity:
        return rows.with_columns(pl.lit(entity_key([])).alias(ENTITY))
    for key in view.entity:
        dtype = rows.schema[key]
        if not (dtype.is_integer() or isinstance(dtype, _KEY_TYPES)):
            raise FeatureError(
                f"feature view {view.name!r}: key {key!r} is {dtype} in table {view.table!r}; an entity that is kept "
                "ready for requests is known by integers, text, booleans or dates: cast it to String"
            )
    known = rows.select(view.entity).unique().drop_nulls()
    named = known.with_columns(pl.Series(ENTITY, [entity_key(row) for row in known.rows()], pl.String))
    return rows.join(named, on=view.entity, how="left", maintain_order="left")


def between(rows: pl.DataFrame, first: str, last: str) -> pl.DataFrame:
    """Select the rows of the entities from `first` to `last`, both inside; `rows` is sorted by ENTITY."""
    start, end = rows[ENTITY].search_sorted(first, "left"), rows[ENTITY].search_sorted(last, "right")
    return rows.slice(start, end - start)
