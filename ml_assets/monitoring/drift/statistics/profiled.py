"""Statistics of one feature that need no rows: they compare the profile of a chunk with that of the reference."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.monitoring.drift.statistics.categories import PairedCategories
from ml_assets.monitoring.drift.statistics.profiles import ReferenceProfiles
from ml_assets.monitoring.drift.statistics.statistic import ERROR, MEASURED, DriftFrames, DriftStatistic
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.nml import MonitoringError
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.profiles import Grid, NumberGrid, NumberProfile, Profile, TextGrid, TextProfile, profile

SPREADS = 3
"""Standard deviations above the mean of the reference's own chunks at which a threshold lies that is not declared."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Distance:
    """How far a chunk is from the reference.

    Attributes:
        value: None where that is undefined.
        error: the true value lies at most this far from ``value``; 0 where it is exact but for rounding.
        significant: whether it alerts; None where a threshold decides.
    """

    value: float | None
    error: float = 0.0
    significant: bool | None = None

    @classmethod
    def between(cls, low: float, value: float, high: float) -> "Distance":
        """Return ``value``, which lies between the bounds, with its error."""
        error = max(high - value, value - low)
        return cls(value, error if error > _ROUNDING * max(1.0, abs(value)) else 0.0)


class ProfileStatistic(DriftStatistic):
    """A distance of one feature's values, null for a chunk that has none.

    It is computed of profiles alone, those of weeks that were merged into a month too.

    Attributes:
        greatest: the greatest value it can take, if there is one.
    """

    greatest: float | None = None

    def of_numbers(self, reference: NumberProfile, now: NumberProfile, grid: NumberGrid) -> Distance:
        """Compare profiles on one grid, both with values.

        Raises:
            ValueError: the reference cannot be compared with, for the reason that the message gives.
        """
        raise NotImplementedError(f"{self.name} compares no numbers")

    def of_categories(self, paired: PairedCategories) -> Distance:
        """Compare rows by category, some on both sides."""
        raise NotImplementedError(f"{self.name} compares no text")

    def compare(self, name: str, reference: Profile, now: Profile, grid: Grid) -> Distance:
        """Compare a column of two profiles that were counted on ``grid``.

        Raises:
            ValueError: they were counted on another grid.
            MonitoringError: the reference cannot be compared with by this statistic.
        """
        one, other, at = reference.columns[name], now.columns[name], grid.columns[name]
        if not one.grid == other.grid == at.digest:
            raise ValueError(
                f"profiles of column {name!r} were counted on different grids, so their bins say nothing about one "
                "another: profile the rows again on the grid of the reference"
            )
        if not one.present or not other.present:
            return Distance(None)
        if isinstance(one, NumberProfile) and isinstance(other, NumberProfile) and isinstance(at, NumberGrid):
            try:
                return self.of_numbers(one, other, at)
            except ValueError as error:
                raise MonitoringError(
                    f"univariate drift: {self.name} of feature {name!r} cannot be learned, as {error}: make such "
                    "values null, or exclude the feature"
                ) from error
        if isinstance(one, TextProfile) and isinstance(other, TextProfile) and isinstance(at, TextGrid):
            return self.of_categories(PairedCategories.of(one, other))
        raise ValueError(f"column {name!r} is {one.kind} in one profile and {other.kind} in the other")

    def compare_columns(self, reference: pl.Series, now: pl.Series) -> Distance:
        """Compare two columns of one name, both of numbers or both of text."""
        grid = Grid.of(reference.to_frame())
        one, other = (profile(column.to_frame(), grid) for column in (reference, now))
        return self.compare(reference.name, one, other, grid)

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare chunk by chunk; skip a feature without any value in the reference."""
        profiles = frames.profiles
        rows = []
        for name in features.all:
            if not profiles.reference.columns[name].present:
                continue
            compared = [
                (chunk, self.compare(name, profiles.reference, now, profiles.grid))
                for chunk, now in profiles.chunks.items()
            ]
            threshold = self._threshold(frames.spec, name, profiles.known) if self.takes_threshold else None
            rows += [
                (chunk, name, away.value, threshold, _alerts(away, threshold), away.error) for chunk, away in compared
            ]
        return pl.DataFrame(rows, schema={**MEASURED, ERROR: pl.Float64}, orient="row")

    def _threshold(self, spec: MonitoringSpec, name: str, known: ReferenceProfiles) -> float:
        """Return the declared threshold, or one learned from the reference's own chunks."""
        value = spec.method_thresholds.get(self.name)
        if value is None:
            compared = [self.compare(name, known.whole, own, known.grid).value for own in known.chunks.values()]
            own = np.array([each for each in compared if each is not None])
            value = float(own.mean() + own.std() * SPREADS) if own.size else np.nan
        return value if self.greatest is None else min(value, self.greatest)


def _alerts(away: Distance, threshold: float | None) -> bool:
    if away.significant is not None:
        return away.significant
    return away.value is not None and threshold is not None and away.value > threshold
