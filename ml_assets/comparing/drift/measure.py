"""Drift of all columns that have a distribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.column import ColumnDrift, Measure, Side
from ml_assets.comparing.drift.limits import MISSING, PSI, UNSEEN, DriftLimits
from ml_assets.comparing.drift.shape import DistributionShape, shape_of_categories, shape_of_numbers
from ml_assets.comparing.rows.table import Table
from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics import univariate
from ml_assets.monitoring.drift.statistics.psi import measure_psi
from ml_assets.monitoring.inputs import Features

PSI_BINS, PSI_FLOOR = 10, 1e-4
"""As `monitoring` has them by default."""

NUMERIC = (univariate.KOLMOGOROV_SMIRNOV, univariate.JENSEN_SHANNON, univariate.HELLINGER)
CATEGORICAL = (univariate.CHI2, univariate.JENSEN_SHANNON, univariate.HELLINGER, univariate.L_INFINITY)
METHODS = tuple(dict.fromkeys([PSI, *(statistic.name for statistic in (*NUMERIC, *CATEGORICAL)), MISSING, UNSEEN]))


@dataclass(frozen=True)
class MeasuredColumn:
    """One column before all chances are taken together."""

    measures: tuple[Measure, ...]
    chances: tuple[float, ...]
    shape: DistributionShape
    sides: tuple[Side, Side]


def measure_columns(
    reference: Table, current: Table, names: Sequence[str], limits: DriftLimits
) -> dict[str, MeasuredColumn]:
    """Measure columns of numbers and of categories, of which both sides have values."""
    frames = [_plain(table.kept, reference, names) for table in (reference, current)]
    numeric = [name for name in names if reference.facts[name].kind.numeric]
    text = [name for name in names if name not in numeric]
    psi = _psi(frames[0], frames[1], Features(tuple(numeric), tuple(text)))
    measured = {}
    for name in names:
        column = _of_numbers if name in numeric else _of_categories
        values, chances, shape = column(frames[0][name], frames[1][name])
        counts = [(table.facts[name].rows, table.facts[name].missing) for table in (reference, current)]
        values = {PSI: psi[name], **values}
        if counts[0][1] or counts[1][1]:
            values[MISSING] = abs(counts[1][1] / counts[1][0] - counts[0][1] / counts[0][0])
            present = [np.array([rows - missing, missing]) for rows, missing in counts]
            chances = (*chances, chance.of_counts(present[0], present[1]))
        measured[name] = MeasuredColumn(
            tuple(Measure(method, value, limits.of(method)) for method, value in values.items()),
            chances,
            shape,
            (_side(frames[0][name], *counts[0]), _side(frames[1][name], *counts[1])),
        )
    return measured


def judge(name: str, kind: str, measured: MeasuredColumn, joint: float, limits: DriftLimits) -> ColumnDrift:
    """Return a column's drift, its least chance taken together with all others of the report."""
    return ColumnDrift(
        name, kind, *measured.sides, measured.measures, joint, joint > limits.false_alarms, measured.shape
    )


def _plain(kept: pl.DataFrame, reference: Table, names: Sequence[str]) -> pl.DataFrame:
    """Return numbers as Float64, infinite ones as missing, and categories as String."""
    return kept.select(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
        if reference.facts[name].kind.numeric
        else pl.col(name).cast(pl.String)
        for name in names
    )


def _psi(reference: pl.DataFrame, current: pl.DataFrame, features: Features) -> dict[str, float]:
    if not features.all:
        return {}
    chunk = current.with_columns(pl.lit(0, pl.Int64).alias(CHUNK))
    values = measure_psi(reference, chunk, features=features, by=CHUNK, bins=PSI_BINS, floor=PSI_FLOOR)
    return dict(values.filter(pl.col(CHUNK).is_null()).select("feature", "value").iter_rows())


Column = tuple[dict[str, float | None], tuple[float, ...], DistributionShape]


def _of_numbers(reference: pl.Series, current: pl.Series) -> Column:
    before, now = (side.drop_nulls().to_numpy() for side in (reference, current))
    values: dict[str, float | None] = {statistic.name: statistic.of_numbers(before)(now)[0] for statistic in NUMERIC}
    distance = values[univariate.KOLMOGOROV_SMIRNOV.name] or 0.0
    likely = chance.of_distance(distance, before.size, now.size)
    return values, (likely,), shape_of_numbers(before, now)


def _of_categories(reference: pl.Series, current: pl.Series) -> Column:
    vocabulary = pl.concat([reference, current]).drop_nulls().unique().sort()
    codes = [side.drop_nulls().cast(pl.Enum(vocabulary)).to_physical().to_numpy() for side in (reference, current)]
    before, now = (np.bincount(side, minlength=len(vocabulary)) for side in codes)
    values: dict[str, float | None] = {statistic.name: statistic.of_counts(before)(now)[0] for statistic in CATEGORICAL}
    values[UNSEEN] = float(now[before == 0].sum() / now.sum())
    return values, (chance.of_counts(before, now),), shape_of_categories(reference, current)


def _side(values: pl.Series, rows: int, missing: int) -> Side:
    known = values.drop_nulls()
    if not known.dtype.is_numeric():
        return Side(rows, missing, known.n_unique())
    mean, median, deviation = (
        known.to_frame("x").select(mean=pl.mean("x"), median=pl.median("x"), std=pl.std("x")).row(0)
    )
    return Side(rows, missing, known.n_unique(), mean, median, deviation)
