"""Drift of all columns that have a distribution, over all rows of both sides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.categories import CATEGORICAL, compare_categories
from ml_assets.comparing.drift.column import ColumnComparison, ColumnDrift, Measure
from ml_assets.comparing.drift.limits import MISSING, PSI, UNSEEN, DriftLimits
from ml_assets.comparing.drift.numbers import compare_numbers
from ml_assets.comparing.rows.facts import ColumnFacts
from ml_assets.comparing.rows.table import Table
from ml_assets.monitoring.drift.statistics.numbers import KOLMOGOROV_SMIRNOV

METHODS = (PSI, KOLMOGOROV_SMIRNOV.name, *(statistic.name for statistic in CATEGORICAL), MISSING, UNSEEN)
"""All methods; those with a limit decide."""


@dataclass(frozen=True)
class MeasuredColumn:
    """One column before all chances are taken together."""

    compared: ColumnComparison
    missing: float | None
    chances: tuple[float, ...]

    def measures(self, limits: DriftLimits) -> tuple[Measure, ...]:
        """Return the values of all methods beside their limits."""
        values = self.compared.values | ({} if self.missing is None else {MISSING: self.missing})
        return tuple(Measure(method, value, limits.of(method)) for method, value in values.items())


def measure_columns(reference: Table, current: Table, names: Sequence[str]) -> dict[str, MeasuredColumn]:
    """Measure columns of numbers and of categories, of which both sides have values."""
    numeric = [name for name in names if reference.facts[name].kind.numeric]
    compared = compare_numbers(reference, current, numeric)
    compared |= {name: compare_categories(reference, current, name) for name in names if name not in numeric}
    return {
        name: _with_missing(compared[name], reference.facts[name], current.facts[name])
        for name in names
        if name in compared
    }


def judge(name: str, kind: str, measured: MeasuredColumn, joint: float, limits: DriftLimits) -> ColumnDrift:
    """Return a column's drift, its least chance taken together with all others of the report."""
    compared = measured.compared
    may_be_chance = joint > limits.false_alarms
    return ColumnDrift(name, kind, *compared.sides, measured.measures(limits), joint, may_be_chance, compared.shape)


def _with_missing(compared: ColumnComparison, before: ColumnFacts, now: ColumnFacts) -> MeasuredColumn:
    if not (before.missing or now.missing):
        return MeasuredColumn(compared, None, (compared.chance,))
    change = abs(now.missing / now.rows - before.missing / before.rows)
    present = [np.array([facts.rows - facts.missing, facts.missing]) for facts in (before, now)]
    return MeasuredColumn(compared, change, (compared.chance, chance.of_counts(present[0], present[1])))
