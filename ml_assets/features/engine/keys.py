"""Entity keys of a spine and a table, made comparable."""

from dataclasses import dataclass

import polars as pl

from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec


@dataclass(frozen=True)
class ComparedKeys:
    """Key columns of both sides in one type, under names of their own: expressions may read the originals.

    Attributes:
        names: the columns to join on.
        of_spine: what computes them from the spine.
        of_table: what computes them from the table.
    """

    names: list[str]
    of_spine: list[pl.Expr]
    of_table: list[pl.Expr]


def compare_keys(view: FeatureViewSpec, spine: pl.Schema, table: pl.Schema) -> ComparedKeys:
    """Find a common type for each key.

    Integers of any width compare as Int64; String, Categorical and Enum as String; other types must be equal.

    Raises:
        FeatureError: the two sides cannot be equal, or a key is a floating-point number.
    """
    pairs = list(zip(view.entity, view.spine_entity, strict=True))
    types = [_common_type(view, key, spine[named], table[key]) for key, named in pairs]
    names = [f"__key__{key}" for key in view.entity]
    return ComparedKeys(
        names,
        [pl.col(named).cast(kind).alias(n) for n, (_, named), kind in zip(names, pairs, types, strict=True)],
        [pl.col(key).cast(kind).alias(n) for n, (key, _), kind in zip(names, pairs, types, strict=True)],
    )


def _common_type(view: FeatureViewSpec, key: str, spine: pl.DataType, table: pl.DataType) -> pl.DataType:
    types = [kind for kind in (spine, table) if kind != pl.Null]
    if any(kind.is_float() for kind in types):
        raise FeatureError(
            f"feature view {view.name!r}: key {key!r} is a floating-point number (spine {spine}, table "
            f"{table}), which does not compare reliably: cast it to Int64 or String"
        )
    if all(kind.is_integer() for kind in types):
        return pl.Int64()
    if all(kind in (pl.String, pl.Categorical, pl.Enum) for kind in types):
        return pl.String()
    if len(set(types)) == 1:
        return types[0]
    raise FeatureError(
        f"feature view {view.name!r}: key {key!r} is {table} in table {view.table!r} but {spine} in the "
        "spine; cast one of them"
    )
