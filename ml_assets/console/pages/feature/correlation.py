"""How far a feature goes with the outcome, by itself."""

from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Association:
    """A coefficient between a feature and the outcome.

    Attributes:
        coefficient: its name.
        value: None where it is undefined, as of a feature that never varies.
        rows: with both.
        left_out: rows in which one is missing.
    """

    coefficient: str
    value: float | None
    rows: int
    left_out: int


def associate(feature: pl.Series, outcome: pl.Series) -> list[Association]:
    """Measure how far a feature goes with the outcome; booleans count as 0 and 1, NaN as missing.

    Of two numbers Pearson's and Spearman's coefficient, -1 to 1; of a text and a number the correlation ratio, 0 to 1
    (Fisher, "Statistical Methods for Research Workers", 1925: the share of the spread that lies between groups, its
    root); of two texts Cramér's V, 0 to 1 (Cramér, "Mathematical Methods of Statistics", 1946).
    """
    both = pl.DataFrame([_plain(feature).alias("feature"), _plain(outcome).alias("outcome")]).drop_nulls()
    x, y = both["feature"], both["outcome"]
    texts = [column.dtype == pl.String for column in (x, y)]
    if not any(texts):
        measured = {"Pearson": _pearson(x, y), "Spearman": _pearson(x.rank(), y.rank())}
    elif all(texts):
        measured = {"Cramér's V": _cramers_v(both)}
    else:
        measured = {"correlation ratio": _ratio(*((x, y) if texts[0] else (y, x)))}
    left_out = len(feature) - both.height
    return [Association(name, value, both.height, left_out) for name, value in measured.items()]


def _plain(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean or column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None)
    return column.cast(pl.String)


def _pearson(x: pl.Series, y: pl.Series) -> float | None:
    if len(x) < 2 or x.n_unique() < 2 or y.n_unique() < 2:
        return None
    return float(np.corrcoef(x.to_numpy(), y.to_numpy())[0, 1])


def _ratio(groups: pl.Series, values: pl.Series) -> float | None:
    if len(values) < 2 or values.n_unique() < 2 or groups.n_unique() < 2:
        return None
    mean = values.mean()
    of_groups = pl.DataFrame([groups.alias("group"), values.alias("value")]).group_by("group").agg(
        pl.len(), pl.col("value").mean().alias("mean")
    )  # fmt: skip
    between = of_groups.select((pl.col("len") * (pl.col("mean") - mean).pow(2)).sum()).item()
    spread = ((values - mean) ** 2).sum()
    return min(float(between / spread), 1.0) ** 0.5


def _cramers_v(both: pl.DataFrame) -> float | None:
    counts = both.group_by("feature", "outcome").len()
    rows, columns = both["feature"].n_unique(), both["outcome"].n_unique()
    if min(rows, columns) < 2:
        return None
    total = both.height
    share = pl.col("len").cast(pl.Float64)
    of_row, of_column = share.sum().over("feature"), share.sum().over("outcome")
    # Cells without rows add their expected counts, so that the statistic is this sum less the total.
    chi2 = counts.select((share.pow(2) / (of_row * of_column)).sum()).item() * total - total
    return float(max(chi2, 0.0) / (total * (min(rows, columns) - 1))) ** 0.5
