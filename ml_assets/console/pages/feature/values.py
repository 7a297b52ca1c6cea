"""A feature's values, drop by drop: how many there are, how many are missing, and how they are spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.expressions import evaluate
from ml_assets.features.made_of import made_of
from ml_assets.features.row.calendar import calendar_features
from ml_assets.lake import Lake

DROPS = 24
"""Newest drops whose values are read."""

ROWS = 1_000_000
"""Rows that are read at most, but for those of the newest drop, which are read in any case."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TOP = 8


@dataclass(frozen=True)
class DropValues:
    """The values of a feature in one drop.

    Attributes:
        rows: that were read; of a table's features one for each entity and moment.
        distinct: different values.
        mean, quantiles: of numbers, booleans as 0 and 1; empty and None of texts, and where every value is missing.
        top: of texts the most frequent ones, each with its share of the values that are not missing.
    """

    drop: str
    rows: int
    missing: int
    distinct: int
    mean: float | None
    quantiles: tuple[float, ...]
    top: tuple[tuple[str, float], ...]

    @property
    def missing_share(self) -> float | None:
        return self.missing / self.rows if self.rows else None


@dataclass(frozen=True)
class ValuesByDrop:
    """Values of a feature by drop, the oldest first.

    Attributes:
        of: what was read, in words.
        left_out: older drops that were not read.
    """

    of: str
    drops: tuple[DropValues, ...]
    left_out: int


def values_by_drop(
    lake: Lake, view: DeclaredView, spine: DeclaredSpine, feature: str, most: int = DROPS
) -> ValuesByDrop | None:
    """Read how a feature's values are spread in the newest drops; None where they are kept nowhere by drop.

    Of the table's features the stored rows are read; those of the row are computed of the spine's rows. Derived
    features are kept only where a model was trained.
    """
    made = made_of(view, feature)
    table = view.key if made.of_table else spine.table
    if made.field == "derived" or not lake.exists(table):
        return None
    counts = _rows_by_drop(lake, table, spine.partition)
    shown = _newest(counts, most)
    rows = lake.scan(table).filter(pl.col(spine.partition).is_in(shown))
    if not shown or (made.of_table and feature not in rows.collect_schema()):
        return None
    values = _values(rows, view, spine, feature)
    parts = values.partition_by(spine.partition, as_dict=True)
    drops = [summarise(drop, parts[(drop,)][feature]) for drop in shown if (drop,) in parts]
    of = f"stored features of {view.name}" if made.of_table else f"rows of {table}"
    return ValuesByDrop(of, tuple(drops), len(counts) - len(shown))


def without_values(values: ValuesByDrop) -> ValuesByDrop:
    """Return how many values there are, and nothing of what they are."""
    return replace(values, drops=tuple(replace(drop, mean=None, quantiles=(), top=()) for drop in values.drops))


def _rows_by_drop(lake: Lake, table: str, partition: str) -> Mapping[str, int]:
    """Count the rows of each drop, from the table's log where it is cut by drop."""
    if partition in lake.cut_by(table):
        return lake.rows_by(table, partition)
    return dict(lake.scan(table).group_by(partition).len().collect().iter_rows())


def _newest(counts: Mapping[str, int], most: int) -> list[str]:
    """Return the newest drops, as many as have no more rows than are read, the newest in any case."""
    newest, total = [], 0
    for drop in sorted(counts, reverse=True)[:most]:
        total += counts[drop]
        if newest and total > ROWS:
            break
        newest.append(drop)
    return newest[::-1]


def _values(rows: pl.LazyFrame, view: DeclaredView, spine: DeclaredSpine, feature: str) -> pl.DataFrame:
    """Return a feature's values with the drop of each."""
    made = made_of(view, feature)
    if made.of_table:
        return rows.select(spine.partition, feature).collect()
    read = spine.rows_ahead(rows).select(*dict.fromkeys([spine.partition, spine.time, *made.columns])).collect()
    if made.field == "request":
        return read.select(spine.partition).hstack(evaluate(view.name, read, {feature: made.expression}))
    one = view.model_copy(update={"calendar": {made.base: view.calendar[made.base]}})
    return read.select(spine.partition).hstack(calendar_features(one, read, spine.time).select(feature))


def summarise(drop: str, values: pl.Series) -> DropValues:
    """Summarise the values of one drop; NaN counts as missing."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    about = (drop, len(values), values.null_count(), values.drop_nulls().n_unique())
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        numbers = values.cast(pl.Float64).drop_nulls()
        spread = [] if numbers.is_empty() else [numbers.quantile(q, "linear") for q in QUANTILES]
        mean = None if numbers.is_empty() else float(numbers.sum()) / len(numbers)
        return DropValues(*about, mean, tuple(q for q in spread if q is not None), ())
    return DropValues(*about, None, (), tuple(_top(values)))


def _top(values: pl.Series) -> Sequence[tuple[str, float]]:
    texts = values.cast(pl.String).drop_nulls()
    counts = pl.DataFrame({"text": texts}).group_by("text").len().sort("len", "text", descending=[True, False])
    return [(text, rows / len(texts)) for text, rows in counts.head(_TOP).iter_rows()]
