"""Columns of categories, compared by the rows of each."""

from collections import Counter

import numpy as np

from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.column import ColumnComparison, Side
from ml_assets.comparing.drift.limits import PSI, UNSEEN
from ml_assets.comparing.drift.population import population_stability
from ml_assets.comparing.drift.shape import shape_of_categories
from ml_assets.comparing.rows.table import Table
from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.counts import CHI2, L_INFINITY
from ml_assets.monitoring.drift.statistics.shares import HELLINGER, JENSEN_SHANNON

CATEGORICAL = (CHI2, JENSEN_SHANNON, HELLINGER, L_INFINITY)


def compare_categories(reference: Table, current: Table, name: str) -> ColumnComparison:
    """Compare all rows of a column, or those that are kept of one with too many categories to be counted."""
    counted = [_counted(table, name) for table in (reference, current)]
    vocabulary = sorted({*counted[0], *counted[1]})
    before, now = (np.array([side[category] for category in vocabulary]) for side in counted)
    without = [table.facts[name].missing + table.facts[name].misfits for table in (reference, current)]
    values: dict[str, float | None] = {
        PSI: population_stability(np.append(before, without[0]), np.append(now, without[1]))
    }
    paired = PairedCategories(before, now, 0, 0)
    values |= {statistic.name: statistic.of_categories(paired).value for statistic in CATEGORICAL}
    values[UNSEEN] = float(now[before == 0].sum() / now.sum())
    sides = [
        Side(table.facts[name].rows, table.facts[name].missing, len(side))
        for table, side in zip((reference, current), counted, strict=True)
    ]
    return ColumnComparison(
        values, chance.of_categories(before, now), shape_of_categories(*counted), (sides[0], sides[1])
    )


def _counted(table: Table, name: str) -> Counter[str]:
    counts = table.facts[name].counts
    if counts is not None:
        return counts
    return Counter(dict(table.kept_of(name).drop_nulls().alias("text").value_counts(name="rows").iter_rows()))
