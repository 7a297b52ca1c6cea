"""What a drift statistic is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.profiles import DriftProfiles
from ml_assets.monitoring.inputs import Features

if TYPE_CHECKING:
    from ml_assets.monitoring.spec import MonitoringSpec

MEASURED = {
    CHUNK: pl.Int64,
    "feature": pl.String,
    "value": pl.Float64,
    "threshold": pl.Float64,
    "alert": pl.Boolean,
}
"""Columns of what a statistic gives; a null CHUNK is the whole period."""

ERROR = "error"
"""Column that a statistic may give too: the true value lies at most this far from ``value``, 0 where it is exact."""

ALL_FEATURES = "(all)"
"""What stands for a feature where a statistic looks at all of them at once."""


@dataclass(frozen=True)
class DriftFrames:
    """The rows that statistics compare; numeric features are Float64 without NaN, those of text String.

    Attributes:
        reference: every row of the reference, sorted by CHUNK.
        sample: at most ``spec.reference_rows`` of them, for what is slow.
        analysis: the rows to judge, sorted by CHUNK.
        features: those that any statistic compares.
        known: the profiles of these rows, where they are there already.
    """

    reference: pl.DataFrame
    sample: pl.DataFrame
    analysis: pl.DataFrame
    features: Features
    spec: "MonitoringSpec"
    known: DriftProfiles | None = None
    _shared: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def shared(self, name: str, compute: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Return what ``compute`` gives, computed once for all statistics that name it."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]

    @cached_property
    def profiles(self) -> DriftProfiles:
        """The profiles of the same rows, made when first asked for unless they are ``known``."""
        if self.known is not None:
            return self.known
        return DriftProfiles.of(self.reference, self.analysis, self.features, self.spec.psi_bins)


class DriftStatistic(ABC):
    """How far the rows of a chunk are from the reference.

    A new statistic is a module with a subclass and an instance of it, registered under its name: by an entry point of
    the group ``ml_assets.drift_statistics``, or in the process by ``DRIFT_STATISTICS.register``. What compares one
    feature at a time extends ``FeatureStatistic`` and needs a single method. It is then declared under
    ``monitoring.continuous_methods`` or ``monitoring.categorical_methods``.

    Attributes:
        name: what declarations and the drift table call it.
        numeric, text: whether it can be declared for numeric features, and for features of text.
        takes_threshold: whether ``monitoring.method_thresholds`` may give the value above which it alerts.
    """

    name: str
    numeric: bool = False
    text: bool = False
    takes_threshold: bool = True

    @abstractmethod
    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare every chunk of the analysis with the reference.

        Args:
            features: those for which this statistic is declared.

        Returns:
            The columns ``MEASURED``, and ``ERROR`` where that is known; a feature without any value in the reference
            may be left out.
        """


class FeatureStatistic(DriftStatistic):
    """A statistic of one feature's values, greater the further they have moved.

    It alerts above the declared threshold, and never where none is declared.
    """

    @abstractmethod
    def compare(self, reference: pl.Series, chunk: pl.Series) -> float | None:
        """Return how far the values of a chunk are from the reference's, both without nulls; None if that is
        undefined."""

    def measure(self, frames: DriftFrames, features: Features) -> pl.DataFrame:
        """Compare feature by feature and chunk by chunk."""
        threshold = frames.spec.method_thresholds.get(self.name)
        rows = []
        for name in features.all:
            known = frames.sample[name].drop_nulls()
            for (chunk,), part in frames.analysis.select(CHUNK, name).group_by(CHUNK, maintain_order=True):
                values = part[name].drop_nulls()
                value = self.compare(known, values) if len(known) and len(values) else None
                alert = value is not None and threshold is not None and value > threshold
                rows.append((chunk, name, value, threshold, alert))
        return pl.DataFrame(rows, schema=MEASURED, orient="row")
