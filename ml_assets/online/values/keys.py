"""Entities as text: what the store finds them by."""

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

ENTITY = "__entity__"
"""Column with an entity's text, beside the columns of a view's table."""

_KEY_TYPES = (pl.String, pl.Categorical, pl.Enum)


def entity_key(values: Sequence[Any]) -> str:
    """Encode an entity as text: its key values, in the order of `view.spine_entity`, as a JSON list."""
    return orjson.dumps(values).decode()


def with_entity(view: FeatureViewSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the column ENTITY (String) to rows of the view's table; null where a key is null.

    Raises:
        FeatureError: a key has a type of which there is no text that a request's value would share.
    """
    return rows.with_columns(entity_text(view, rows.schema))


def entity_text(view: FeatureViewSpec, schema: pl.Schema) -> pl.Expr:
    """Return what computes ENTITY of rows of the view's table, the same text as `entity_key`; raises as `with_entity`.

    Args:
        schema: of the rows.
    """
    if not view.entity:
        return pl.lit(entity_key([])).alias(ENTITY)
    parts = [_key_text(view, key, schema[key]) for key in view.entity]
    listed = pl.concat_str(parts, separator=",")
    return pl.concat_str([pl.lit("["), listed, pl.lit("]")]).alias(ENTITY)


def _key_text(view: FeatureViewSpec, key: str, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer() or dtype == pl.Boolean:
        return pl.col(key).cast(pl.String)
    if dtype == pl.Date:
        return pl.concat_str([pl.lit('"'), pl.col(key).dt.to_string("%Y-%m-%d"), pl.lit('"')])
    if isinstance(dtype, _KEY_TYPES):
        return pl.col(key).cast(pl.String).map_batches(_quoted, return_dtype=pl.String, is_elementwise=True)
    raise FeatureError(
        f"feature view {view.name!r}: key {key!r} is {dtype} in table {view.table!r}; an entity that is kept "
        "ready for requests is known by integers, text, booleans or dates: cast it to String"
    )


def _quoted(texts: pl.Series) -> pl.Series:
    """Write texts as JSON; the few that have a character to escape one by one."""
    plain = pl.select(pl.concat_str([pl.lit('"'), texts, pl.lit('"')])).to_series()
    escaped = texts.str.contains(r'[\x00-\x1f"\\]')
    if not escaped.any():
        return plain
    written = texts.filter(escaped).map_elements(lambda text: orjson.dumps(text).decode(), return_dtype=pl.String)
    return plain.scatter(escaped.arg_true(), written)


def between(rows: pl.DataFrame, first: str, last: str) -> pl.DataFrame:
    """Select the rows of the entities from `first` to `last`, both inside; `rows` is sorted by ENTITY."""
    start, end = rows[ENTITY].search_sorted(first, "left"), rows[ENTITY].search_sorted(last, "right")
    return rows.slice(start, end - start)
