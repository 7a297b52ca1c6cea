"""Columns of numbers, compared by counts on the cuts of the reference's grid."""

import math
from collections.abc import Sequence

import polars as pl

from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.column import ColumnComparison, Side
from ml_assets.comparing.drift.limits import PSI
from ml_assets.comparing.drift.population import FLOOR
from ml_assets.comparing.drift.shape import shape_of_numbers
from ml_assets.comparing.rows.facts import ColumnFacts
from ml_assets.comparing.rows.table import Table
from ml_assets.monitoring.drift.statistics.numbers import KOLMOGOROV_SMIRNOV
from ml_assets.monitoring.drift.statistics.psi import compare_psi
from ml_assets.monitoring.drift.statistics.shares import HELLINGER, JENSEN_SHANNON
from ml_assets.profiles import Grid, NumberGrid, NumberProfile, Profile, profile

BY_WIDTH = (JENSEN_SHANNON, HELLINGER)
"""Methods that compare in bins of equal width, which numbers that are too close to one another have not."""


def compare_numbers(reference: Table, current: Table, names: Sequence[str]) -> dict[str, ColumnComparison]:
    """Compare all rows of columns of numbers, in bins made of the reference's rows that are kept.

    PSI in quantile bins, Jensen-Shannon and Hellinger in bins of equal width are exact for these bins.
    Kolmogorov-Smirnov is measured at the cuts of the grid, and too small by the greatest share that lies between two of
    them at most.

    Returns:
        Column -> how far it has moved; one of infinite numbers alone is left out.
    """
    kept = [_finite(table.kept, names) for table in (reference, current)]
    grid = Grid.of(kept[0])
    before, now = (
        profile(frame if table.complete else (_finite(part, names) for part in table.frames(names)), grid)
        for table, frame in zip((reference, current), kept, strict=True)
    )
    compared = {}
    for name, cuts in grid.columns.items():
        sides = _of_numbers(before, now, name)
        if isinstance(cuts, NumberGrid) and sides[0].present and sides[1].present:
            columns = (kept[0][name].drop_nulls(), kept[1][name].drop_nulls())
            psi, _ = compare_psi(name, before, now, grid, FLOOR)
            facts = (reference.facts[name], current.facts[name])
            compared[name] = _compare(psi, cuts, sides, columns, facts)
    return compared


def _compare(
    psi: float,
    grid: NumberGrid,
    sides: tuple[NumberProfile, NumberProfile],
    kept: tuple[pl.Series, pl.Series],
    facts: tuple[ColumnFacts, ColumnFacts],
) -> ColumnComparison:
    before, now = sides
    values = {
        statistic.name: statistic.of_numbers(before, now, grid).value
        for statistic in (KOLMOGOROV_SMIRNOV, *(BY_WIDTH if grid.widths is not None else ()))
    }
    distance = values[KOLMOGOROV_SMIRNOV.name] or 0.0
    return ColumnComparison(
        {PSI: psi, **values},
        chance.of_distance(distance, before.present, now.present),
        shape_of_numbers(kept[0].to_numpy(), kept[1].to_numpy()),
        (_side(before, facts[0], kept[0]), _side(now, facts[1], kept[1])),
    )


def _finite(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return columns with infinite numbers as missing."""
    return rows.select(pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in names)


def _of_numbers(before: Profile, now: Profile, name: str) -> tuple[NumberProfile, NumberProfile]:
    sides = before.columns[name], now.columns[name]
    if not (isinstance(sides[0], NumberProfile) and isinstance(sides[1], NumberProfile)):
        raise TypeError(f"column {name!r} was counted as text")
    return sides[0], sides[1]


def _side(counted: NumberProfile, facts: ColumnFacts, kept: pl.Series) -> Side:
    moments, median = counted.moments, _finite_or_none(kept.median())
    if moments is None or moments.count == 0:
        return Side(facts.rows, facts.missing)
    deviation = (moments.second / (moments.count - 1)) ** 0.5 if moments.count > 1 else None
    return Side(facts.rows, facts.missing, None, _finite_or_none(moments.mean), median, _finite_or_none(deviation))


def _finite_or_none(value: object) -> float | None:
    """Return a statistic; None where the numbers are too large for it."""
    return value if isinstance(value, float) and math.isfinite(value) else None
