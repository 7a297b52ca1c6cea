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
from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.counts import CHI2, L_INFINITY
from ml_assets.monitoring.drift.statistics.numbers import KOLMOGOROV_SMIRNOV
from ml_assets.monitoring.drift.statistics.psi import compare_psi
from ml_assets.monitoring.drift.statistics.shares import HELLINGER, JENSEN_SHANNON
from ml_assets.profiles import Grid, profile

PSI_BINS, PSI_FLOOR = 10, 1e-4
"""As `monitoring` has them by default."""

NUMERIC = (KOLMOGOROV_SMIRNOV, JENSEN_SHANNON, HELLINGER)
CATEGORICAL = (CHI2, JENSEN_SHANNON, HELLINGER, L_INFINITY)
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
    grid = Grid.of(frames[0], quantiles=PSI_BINS)
    before, now = (profile(frame, grid) for frame in frames)
    measured = {}
    for name in names:
        if name in numeric:
            away = {statistic.name: statistic.compare(name, before, now, grid).value for statistic in NUMERIC}
            values, chances, shape = _of_numbers(away, frames[0][name], frames[1][name])
        else:
            values, chances, shape = _of_categories(frames[0][name], frames[1][name])
        counts = [(table.facts[name].rows, table.facts[name].missing) for table in (reference, current)]
        values = {PSI: compare_psi(name, before, now, grid, PSI_FLOOR)[0], **values}
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


Column = tuple[dict[str, float | None], tuple[float, ...], DistributionShape]


def _of_numbers(values: dict[str, float | None], reference: pl.Series, current: pl.Series) -> Column:
    before, now = (side.drop_nulls().to_numpy() for side in (reference, current))
    distance = values[KOLMOGOROV_SMIRNOV.name] or 0.0
    likely = chance.of_distance(distance, before.size, now.size)
    return values, (likely,), shape_of_numbers(before, now)


def _of_categories(reference: pl.Series, current: pl.Series) -> Column:
    vocabulary = pl.concat([reference, current]).drop_nulls().unique().sort()
    codes = [side.drop_nulls().cast(pl.Enum(vocabulary)).to_physical().to_numpy() for side in (reference, current)]
    before, now = (np.bincount(side, minlength=len(vocabulary)) for side in codes)
    paired = PairedCategories(before, now, 0, 0)
    values: dict[str, float | None] = {
        statistic.name: statistic.of_categories(paired).value for statistic in CATEGORICAL
    }
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
