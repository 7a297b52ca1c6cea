"""What a replay is given and what comes of it: periods and their history, and each policy as it was lived."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.spec import ModelSpec

CONFIDENCE = 0.95
"""Of every interval in what is lived."""


@dataclass(frozen=True)
class Period:
    """One drop: its name, and the moments at which it begins and ends (UTC)."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class History:
    """Everything that will have been known, of which each step of a replay sees only its past.

    Attributes:
        rows: every spine row with its features, label and the time the label was known.
        partition: column that names a row's drop.
        sampled: whether the spine declares a sample: then a row counts as all that it stands for.
    """

    rows: pl.DataFrame
    partition: str
    model: ModelSpec
    features: list[str]
    monitoring: MonitoringSpec
    sampled: bool = False


@dataclass(frozen=True)
class LivedPeriod:
    """One period under one policy.

    ``value`` is the metric once every label was known, with a bootstrap interval over days; ``version`` is the training
    cut-off of the champion that scored it; ``decision`` is what was decided at its end; ``missed`` says that the
    champion lost more than ``max_drop`` against its own holdout. ``missing`` counts rows whose label has never become
    known, which the value leaves out.
    """

    period: str
    value: float
    low: float
    high: float
    version: str
    decision: str
    retrained: bool
    promoted: bool
    missed: bool
    missing: int = 0


@dataclass(frozen=True)
class LivedPolicy:
    """What one policy came to. ``mean`` is that of the periods' values; lower ``regret`` is better."""

    policy: str
    periods: tuple[LivedPeriod, ...]
    mean: float
    low: float
    high: float
    training_seconds: float
    regret: float = 0.0

    @property
    def retrains(self) -> int:
        return sum(period.retrained for period in self.periods)

    @property
    def detection_delay(self) -> float | None:
        """Periods from a champion's loss of more than ``max_drop`` to the decision to retrain; 0 is at once.

        The mean over such losses; None if there was none, or none that a decision followed.
        """
        delays, fell = [], None
        for number, lived in enumerate(self.periods):
            if lived.missed and fell is None:
                fell = number
            if lived.retrained:
                if fell is not None:
                    delays.append(number - fell)
                fell = None
        return float(np.mean(delays)) if delays else None
