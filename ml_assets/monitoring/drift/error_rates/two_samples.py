"""Whether two samples without time differ by more than chance, over all features and statistics together.

Rows count as independent. Where they are not, as rows of a day that share their luck, alarms are more frequent than
stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.monitoring.drift.error_rates.corrections import CORRECTIONS
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES, BinnedDistance

DRAWS = 200
"""Random divisions of the rows that a p-value is learned from."""
LEAST_BEYOND = 10
"""Draws as far out as the value from which their share is its p-value."""
MOST_ROWS = 10**9 - 1
"""Rows of both samples together that can be divided at random."""
METHOD = "permutation of rows, which count as independent, with a gamma tail"


@dataclass(frozen=True, eq=False)
class CountedFeature:
    """Rows of one feature by bin, in two samples that are counted in the same bins.

    Attributes:
        statistic: which one compares them, a name of ``DISTANCES``.
        reference, current: whole numbers, shape (bins,).
    """

    feature: str
    statistic: str
    reference: np.ndarray
    current: np.ndarray


@dataclass(frozen=True)
class TwoSampleTest:
    """How one statistic of one feature compares with chance.

    Attributes:
        p_value: chance of a value as great where both samples are of one kind.
        adjusted: the same for the report: below the declared rate the feature counts as drifted.
        without_drift: mean of the statistic where both samples are of one kind.
        limit: value above which chance alone comes with the declared rate divided by the number of tests.
    """

    feature: str
    statistic: str
    value: float
    p_value: float
    adjusted: float
    without_drift: float
    limit: float
    drifted: bool


def compare_with_chance(
    counted: Sequence[CountedFeature],
    *,
    false_alarms: float = 0.05,
    correction: str = "holm",
    floor: float = 1e-4,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[TwoSampleTest]:
    """Test every feature and statistic, so that about ``false_alarms`` of the reports raise any false alarm.

    The rows of both samples are divided at random into two of the same sizes; by bins that is a draw from a
    multivariate hypergeometric distribution. A p-value is the share of draws as far out (R. A. Fisher, The Design of
    Experiments, 1935), or, further out than draws reach, the tail of a gamma distribution with their mean and variance
    (T. A. Knijnenburg and others, Fewer Permutations, More Accurate P-values, Bioinformatics 25, 2009), which is what
    the statistics tend to in large samples.

    The rate is met roughly, as that tail is fitted to few draws, and is not that of the greatest of differences: of 60
    reports of 60 features each, 10 or 30 bins and 60 to 2,000 rows without drift, 2 to 15 % alarmed by PSI, chi-squared
    or Jensen-Shannon, and 10 to 27 % by Kolmogorov-Smirnov or l-infinity, where 5 % were declared.

    Args:
        correction: a name of ``CORRECTIONS``; with one that is not ``holm`` the rate is the expected share of false
            alarms among alarms.
        floor: least share of rows that a bin of PSI counts with.

    Raises:
        ValueError: a sample has no rows, both have more than ``MOST_ROWS``, or they differ in their bins.
    """
    if not counted:
        return []
    rng = np.random.default_rng(seed)
    drawn = [_Chance.of(each, floor, draws, rng) for each in counted]
    p_values = np.array([each.p_value for each in drawn])
    adjusted = CORRECTIONS[correction](p_values)
    tests = zip(counted, drawn, adjusted, strict=True)
    return [
        TwoSampleTest(
            feature=each.feature,
            statistic=each.statistic,
            value=chance.shown(chance.value),
            p_value=chance.p_value,
            adjusted=float(of_report),
            without_drift=float(chance.distance.shown(chance.drawn).mean()),
            limit=chance.shown(chance.beyond(false_alarms / len(counted))),
            drifted=bool(of_report < false_alarms),
        )
        for each, chance, of_report in tests
    ]


@dataclass(frozen=True, eq=False)
class _Chance:
    """A value and what random divisions of the rows give."""

    distance: BinnedDistance
    value: float
    drawn: np.ndarray

    @classmethod
    def of(cls, counted: CountedFeature, floor: float, draws: int, rng: np.random.Generator) -> "_Chance":
        reference, current = (np.asarray(counts).astype(np.int64) for counts in (counted.reference, counted.current))
        _check(counted, reference, current)
        both = reference + current
        distance, starts = DISTANCES[counted.statistic], np.array([0])
        actual = rng.multivariate_hypergeometric(both, int(current.sum()), size=draws, method="marginals")
        drawn = distance.of_counts(both - actual, actual, starts, floor)[:, 0]
        return cls(distance, float(distance.of_counts(reference, current, starts, floor)[0]), drawn)

    @property
    def p_value(self) -> float:
        # Divisions that give what was observed may differ from it in the last digit.
        beyond = int(np.count_nonzero(self.drawn >= self.value * (1 - 1e-9)))
        if beyond >= LEAST_BEYOND or not self.drawn.var():
            return (beyond + 1) / (len(self.drawn) + 1)
        from scipy.special import gammaincc

        shape, scale = self._gamma
        return float(gammaincc(shape, self.value / scale))

    def beyond(self, chance: float) -> float:
        """Return the value that is passed with this chance."""
        if chance * len(self.drawn) >= LEAST_BEYOND or not self.drawn.var():
            return float(np.quantile(self.drawn, 1 - chance))
        from scipy.special import gammainccinv

        shape, scale = self._gamma
        return float(gammainccinv(shape, chance) * scale)

    @property
    def _gamma(self) -> tuple[float, float]:
        mean, variance = self.drawn.mean(), self.drawn.var()
        return mean**2 / variance, variance / mean

    def shown(self, compared: float) -> float:
        return float(self.distance.shown(np.array(compared)))


def _check(counted: CountedFeature, reference: np.ndarray, current: np.ndarray) -> None:
    about = f"feature {counted.feature!r}"
    if reference.shape != current.shape:
        raise ValueError(f"{about}: {reference.size} bins and {current.size}: count both in the same")
    rows = int(reference.sum()), int(current.sum())
    if not min(rows):
        raise ValueError(f"{about}: a sample has no rows to compare ({rows[0]:,} and {rows[1]:,})")
    if sum(rows) > MOST_ROWS:
        raise ValueError(f"{about}: {sum(rows):,} rows are more than {MOST_ROWS:,}: compare a sample")
