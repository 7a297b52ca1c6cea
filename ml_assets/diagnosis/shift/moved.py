"""Features that moved: how far, with what harm, and whether their unit changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.diagnosis.rows import ComparedRows, PeriodRows
from ml_assets.diagnosis.shift.harm import Harm
from ml_assets.diagnosis.shift.units import UnitChange, recognise_unit
from ml_assets.monitoring.drift.statistics.numbers import KOLMOGOROV_SMIRNOV
from ml_assets.monitoring.drift.statistics.psi import measure_psi
from ml_assets.monitoring.inputs import Features

BINS, FLOOR = 10, 1e-4
"""Of the population stability index."""
MORE_MISSING = 0.05
"""Rise in the share of missing values from which a feature has moved, whatever its other values do."""
NOISE = 3.0
"""A feature has moved by more than so many times what chance gives in as many rows."""
_NOTHING_IN_COMMON = 1.0
_BY = "__all__"
_PARTS = (1.0, 0.5, 0.25)
"""Last parts of the period in which a change of units is looked for, in turn."""


class MovedFeature(BaseModel):
    """A feature whose values are distributed otherwise than in the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str = Field(description="Name.")
    psi: float = Field(description="Population stability index.")
    distance: float | None = Field(description="Greatest difference of the two distribution functions; null for text.")
    missing: float = Field(description="Share of rows without a value, 0 to 1.")
    reference_missing: float = Field(description="The same of the reference.")
    importance: float | None = Field(
        default=None,
        description="How much the model listens to it, 0 to 1: share of the mean absolute contributions to the score,"
        " or of the scores' variance that goes with it alone; null if not known.",
    )
    harm: float = Field(description="Change of the mean loss that comes with the shift; above 0 is worse.")
    harm_error: float = Field(description="Standard error of harm.")
    unit: UnitChange | None = Field(default=None, description="The change of units that it has gone through, if any.")

    @property
    def is_harmful(self) -> bool:
        """Whether the loss is surely greater with the shift: by three standard errors, as many features are tried."""
        return Harm(self.harm, self.harm_error).is_sure(3.0)

    @property
    def may_be_harmful(self) -> bool:
        """Whether it is by two standard errors: enough of a feature that there is another reason to suspect."""
        return Harm(self.harm, self.harm_error).is_sure(2.0)

    @property
    def text(self) -> str:
        """How it moved, in words."""
        if self.unit is not None:
            return f"{self.feature} is as if its unit had gone from {self.unit.name} (fit {self.unit.fit:.3f})"
        if self.missing - self.reference_missing > MORE_MISSING:
            return f"{self.feature} is missing in {self.missing:.0%} of rows, before in {self.reference_missing:.0%}"
        return f"{self.feature} moved (PSI {self.psi:.2f})"


@dataclass(frozen=True)
class Shift:
    """How far one feature is from the reference: PSI and Kolmogorov-Smirnov's distance, None for text."""

    feature: str
    psi: float
    distance: float | None


def shifts(before: pl.DataFrame, now: pl.DataFrame, features: Features, threshold: float) -> list[Shift]:
    """Return the features that moved by more than the threshold and more than chance, the farthest first.

    Without any drift PSI is about ``(bins - 1) * (1 / n + 1 / m)`` for n and m rows (B. Yurdakul, 2018).
    """
    if before.is_empty() or now.is_empty():
        return []
    marked = now.with_columns(pl.lit(0, pl.Int64).alias(_BY))
    psi = measure_psi(before, marked, features=features, by=_BY, bins=BINS, floor=FLOOR).filter(pl.col(_BY).is_null())
    found = []
    for name, value in psi.select("feature", "value").iter_rows():
        bins = BINS if name in features.numeric else pl.concat([before[name], now[name]]).n_unique()
        by_chance = (bins - 1) * (1 / before.height + 1 / now.height)
        more_missing = _missing(now[name]) - _missing(before[name]) > MORE_MISSING
        if more_missing or value > max(threshold, NOISE * by_chance):
            found.append(Shift(name, value, _distance(before[name], now[name])))
    return sorted(found, key=lambda shift: (-shift.psi, shift.feature))


def moved_features(
    rows: ComparedRows,
    *,
    threshold: float,
    harms: Mapping[str, Harm],
    importance: Mapping[str, float] | None,
) -> list[MovedFeature]:
    """Return the features that moved, those first whose shift does most harm.

    Args:
        threshold: population stability index above which a feature has moved.
        harms: feature -> what its shift does to the loss.
        importance: feature -> how much the model listens to it; None if that is not known.
    """
    found = []
    for shift in shifts(rows.reference.frame, rows.current.frame, rows.features, threshold):
        name, harm = shift.feature, harms[shift.feature]
        found.append(
            MovedFeature(
                feature=name,
                psi=shift.psi,
                distance=shift.distance,
                missing=_missing(rows.current.frame[name]),
                reference_missing=_missing(rows.reference.frame[name]),
                importance=None if importance is None else importance.get(name, 0.0),
                harm=harm.value,
                harm_error=harm.error,
                unit=_unit(rows, name) if name in rows.features.numeric else None,
            )
        )
    return sorted(found, key=lambda moved: (-moved.harm, -moved.psi, moved.feature))


def without_unit_changes(frame: pl.DataFrame, moved: Sequence[MovedFeature]) -> pl.DataFrame:
    """Return rows with the values of changed units in the unit of before."""
    undone = [
        ((pl.col(each.feature).cast(pl.Float64) - each.unit.offset) / each.unit.slope).alias(each.feature)
        for each in moved
        if each.unit is not None
    ]
    return frame.with_columns(undone)


def _unit(rows: ComparedRows, name: str) -> UnitChange | None:
    """Return the change of units of the whole period, or of its last part."""
    before, current = _values(rows.reference, name, 0.0), rows.current
    for part in _PARTS:
        change = recognise_unit(before, _values(current, name, 1 - part))
        if change is not None:
            return change
    return None


def _values(part: PeriodRows, name: str, since: float) -> np.ndarray:
    """Return the values of a column from a share of the period's blocks on."""
    late = part.block >= since * part.blocks
    return part.frame[name].filter(pl.Series(late)).drop_nulls().to_numpy()


def _distance(before: pl.Series, now: pl.Series) -> float | None:
    if before.dtype == pl.String:
        return None
    distance = KOLMOGOROV_SMIRNOV.compare_columns(before.alias("x"), now.alias("x")).value
    return _NOTHING_IN_COMMON if distance is None else distance


def _missing(column: pl.Series) -> float:
    return column.null_count() / len(column)
