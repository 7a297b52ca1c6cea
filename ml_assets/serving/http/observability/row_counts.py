"""What is counted of rows: where they are predicted, and added up where it is scraped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ml_assets.online.lookup import FetchedRows
from ml_assets.serving.http.observability.counts import Buckets, BucketsBy, Counts
from ml_assets.serving.prediction.messages import PredictionResponse

AGE = (1.0, 10.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 86400.0, 7 * 86400.0, 28 * 86400.0)
"""Bounds in seconds of how long ago the newest fact behind a feature was known."""

AGES = "feature_age_seconds"


@dataclass
class RowCounts:
    """Counts of rows.

    Attributes:
        rows: (model, version) -> rows predicted.
        fallbacks: (model, version that answered in its place) -> rows.
        missing: model -> feature values that were null.
        states: (model, view, state) -> rows whose stored features were in this state.
        ages: view -> how old features were, seconds.
    """

    rows: Counts = field(default_factory=Counts)
    fallbacks: Counts = field(default_factory=Counts)
    missing: Counts = field(default_factory=Counts)
    states: Counts = field(default_factory=Counts)
    ages: BucketsBy = field(default_factory=lambda: BucketsBy(AGES, AGE))

    def count(self, model: str, response: PredictionResponse) -> None:
        """Count the rows of a response."""
        for part in response.parts:
            self.rows[part.served.name, part.served.version] += len(part.matrix)
            if response.fallback:
                self.fallbacks[model, part.served.version] += len(part.matrix)
            missing = int(np.count_nonzero(part.matrix != part.matrix))
            if missing:
                self.missing[(model,)] += missing
        rows = response.fetched
        if isinstance(rows, FetchedRows):
            for (view, state, _, known_at, *_), times in rows.counted():
                self._count(model, view, state, None if known_at is None else response.at - known_at, times)
            return
        for row in rows:
            for view, state in row.states.items():
                known_at = row.known_at[view]
                self._count(model, view, state, None if known_at is None else response.at - known_at, 1)

    def _count(self, model: str, view: str, state: str, age: int | None, times: int) -> None:
        self.states[model, view, state] += times
        if age is not None:
            self.ages[(view,)].add(age / 1e6, times)

    def add(self, others: "RowCounts") -> None:
        """Add what another process has counted."""
        for name in _COUNTED:
            own: Counts = getattr(self, name)
            for labels, count in getattr(others, name).items():
                own[labels] += count
        for labels, buckets in others.ages.items():
            self.ages[labels].merge(buckets)

    def plain(self) -> dict[str, list]:
        """Return the counts as JSON has them: pairs of labels and what is counted."""
        counts = {name: [[*each] for each in getattr(self, name).items()] for name in _COUNTED}
        return counts | {"ages": [[labels, list(buckets.cells)] for labels, buckets in self.ages.items()]}

    @classmethod
    def of_plain(cls, plain: Mapping[str, list]) -> Self:
        """Read what `plain` returns."""
        rows, fallbacks, missing, states = (
            Counts({tuple(labels): count for labels, count in plain[name]}) for name in _COUNTED
        )
        read = cls(rows, fallbacks, missing, states)
        for labels, cells in plain["ages"]:
            read.ages[tuple(labels)] = Buckets(AGE, cells)
        return read


_COUNTED = ("rows", "fallbacks", "missing", "states")
