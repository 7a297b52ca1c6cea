import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp

from ml_assets.monitoring.drift.error_rates.corrections import holm
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES

EXPECTED, ACTUAL = np.array([40, 0, 30, 30, 7, 3]), np.array([10, 6, 3, 1, 0, 5])
STARTS = np.array([0, 4])


def measured(statistic: str, floor: float = 0.01) -> list[float]:
    distance = DISTANCES[statistic]
    return distance.shown(distance.of_counts(EXPECTED, ACTUAL, STARTS, floor)).tolist()


def by_feature() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(EXPECTED[:4], ACTUAL[:4]), (EXPECTED[4:], ACTUAL[4:])]


def test_psi_of_counts_is_its_sum_over_floored_shares():
    r, a = np.maximum(EXPECTED[:4] / 100, 0.01), np.maximum(ACTUAL[:4] / 20, 0.01)
    assert measured("psi")[0] == pytest.approx(sum((a - r) * np.log(a / r)))
    r, a = np.array([0.7, 0.3]), np.array([0.01, 1.0])
    assert measured("psi")[1] == pytest.approx(sum((a - r) * np.log(a / r)))


def test_the_other_statistics_of_counts_are_scipys():
    assert measured("jensen_shannon") == pytest.approx([jensenshannon(e, a, base=2) for e, a in by_feature()])
    tables = [np.stack(pair) for pair in by_feature()]
    assert measured("chi2") == pytest.approx([chi2_contingency(table).statistic for table in tables])
    rows = [[np.repeat(np.arange(len(c)), c) for c in pair] for pair in by_feature()]
    assert measured("kolmogorov_smirnov") == pytest.approx([ks_2samp(*pair).statistic for pair in rows])
    shares = [(e / e.sum(), a / a.sum()) for e, a in by_feature()]
    assert measured("l_infinity") == pytest.approx([abs(e - a).max() for e, a in shares])
    assert measured("hellinger") == pytest.approx([np.sqrt(1 - np.sqrt(e * a).sum()) for e, a in shares])


def test_holms_correction_steps_down_from_the_smallest():
    assert holm(np.array([0.04, 0.01, 0.03, 0.005])) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm(np.array([0.6, 0.5])) == pytest.approx([1.0, 1.0])
