"""Features that name a row or its place in time instead of saying something about it."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.sampling.seeded import sample_rows
from ml_assets.training.spec import LeakSpec

_ROWS = 5_000
_LEAST_ROWS = 100
_LEAST_VALUES = 20


def identifiers(
    train: pl.DataFrame, features: Sequence[str], time: str, spec: LeakSpec, seed: int
) -> Iterator[Finding]:
    """Name numbers that grow or fall with the prediction time, and texts that differ in nearly every row."""
    rows = sample_rows(train, _ROWS, seed)
    for name in features:
        column = rows[name]
        present = rows.filter(column.is_not_null()).select(name, time)
        values = present[name].n_unique()
        if present.height < _LEAST_ROWS or values < _LEAST_VALUES:
            continue
        if column.dtype.is_numeric():
            order = _rank_correlation(present[name], present[time])
            if order >= spec.identifier:
                yield _grows(name, order, spec)
        elif values / present.height >= spec.identifier:
            yield Finding(
                "identifier",
                name,
                values / present.height,
                spec.identifier,
                f"differs in nearly every row ({values:,} texts in {present.height:,} rows): it names a row",
                f"leave it out, or take from it what rows have in common, {TRUST}",
            )


def _grows(name: str, order: float, spec: LeakSpec) -> Finding:
    return Finding(
        "identifier",
        name,
        order,
        spec.identifier,
        f"follows the prediction time (rank correlation {order:.3f}): it is a number of the row or a clock, and tells "
        "a model when a row was, not what it is",
        f"leave it out, or take the difference to the prediction time, {TRUST}",
    )


def _rank_correlation(values: pl.Series, times: pl.Series) -> float:
    """Return Spearman's rank correlation, without its sign."""
    one, other = (side.rank("average").to_numpy() for side in (values, times))
    if min(one.std(), other.std()) == 0:
        return 0.0
    return float(abs(np.corrcoef(one, other)[0, 1]))
