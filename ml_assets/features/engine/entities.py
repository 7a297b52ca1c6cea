"""Small whole numbers for the entities of a spine, the same in its table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.features.engine.keys import ComparedKeys


@dataclass(frozen=True)
class NumberedEntities:
    """The entities that a spine has, numbered.

    Attributes:
        count: how many there are; their numbers are 0 to `count` - 1.
        of_spine: int64, the number of each spine row; `count`, which no table row has, where a key is null.
        code: adds the number, Int64 under the given name, to the rows of a table, and leaves out the rows of other
            entities.
    """

    count: int
    of_spine: np.ndarray
    code: Callable[[pl.LazyFrame, str], pl.LazyFrame]


def number_entities(keys: ComparedKeys, spine: pl.DataFrame) -> NumberedEntities:
    """Number the entities of a spine."""
    if not keys.names:
        return NumberedEntities(1, np.zeros(spine.height, np.int64), lambda rows, name: rows.with_columns(_zero(name)))
    of_spine = spine.select(keys.of_spine)
    if of_spine.schema.dtypes() == [pl.String]:
        return _by_dictionary(keys, of_spine.to_series())
    return _by_join(keys, of_spine)


def _zero(name: str) -> pl.Expr:
    return pl.lit(0, pl.Int64).alias(name)


def _by_dictionary(keys: ComparedKeys, of_spine: pl.Series) -> NumberedEntities:
    """Number a single text key by Polars' own dictionary of an Enum, several times cheaper than a join."""
    kind = pl.Enum(of_spine.unique().drop_nulls())
    count = len(kind.categories)

    def code(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
        number = keys.of_table[0].cast(kind, strict=False).to_physical().cast(pl.Int64).alias(name)
        return rows.with_columns(number).filter(pl.col(name).is_not_null())

    return NumberedEntities(count, _numbers(of_spine.cast(kind).to_physical().cast(pl.Int64), count), code)


def _by_join(keys: ComparedKeys, of_spine: pl.DataFrame) -> NumberedEntities:
    number = "__number__"
    numbered = of_spine.unique().drop_nulls().with_row_index(number).cast({number: pl.Int64})
    joined = of_spine.join(numbered, on=keys.names, how="left", maintain_order="left")

    def code(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
        coded = rows.with_columns(keys.of_table).join(numbered.lazy(), on=keys.names, how="inner")
        return coded.rename({number: name})

    return NumberedEntities(numbered.height, _numbers(joined[number], numbered.height), code)


def _numbers(numbers: pl.Series, count: int) -> np.ndarray:
    return numbers.fill_null(count).to_numpy()
