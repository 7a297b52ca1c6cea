import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, chi2_contingency, false_discovery_control, ks_2samp

from ml_assets.monitoring.drift.error_rates.corrections import CORRECTIONS, holm
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES
from ml_assets.monitoring.drift.error_rates.two_samples import CountedFeature, compare_with_chance

RNG = np.random.default_rng(5)
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


@pytest.mark.parametrize("tests", [1, 7, 40])
def test_corrections_for_the_share_of_false_alarms_are_scipys(tests):
    p_values = RNG.random(tests) ** 3
    assert CORRECTIONS["benjamini_hochberg"](p_values) == pytest.approx(false_discovery_control(p_values, method="bh"))
    assert CORRECTIONS["benjamini_yekutieli"](p_values) == pytest.approx(false_discovery_control(p_values, method="by"))


def test_holms_correction_steps_down_from_the_smallest():
    assert holm(np.array([0.04, 0.01, 0.03, 0.005])) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm(np.array([0.6, 0.5])) == pytest.approx([1.0, 1.0])


def counts(rows: int, bins: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(rows, np.full(bins, 1 / bins))


def test_p_values_are_those_of_a_chi_squared_test_in_large_samples():
    for shift in (0.0, 0.004, 0.01):
        reference, current = (RNG.multinomial(20_000, [0.3 + s, 0.5, 0.2 - s]) for s in (0.0, shift))
        test = compare_with_chance([CountedFeature("a", "chi2", reference, current)], draws=4000)[0]
        exact = chi2_contingency(np.stack([reference, current])).pvalue
        assert test.p_value == pytest.approx(exact, rel=0.2, abs=0.02)


@pytest.mark.parametrize("sizes", [(2000, 300), (400, 5000)])
def test_any_feature_of_two_samples_of_one_kind_alarms_as_seldom_as_declared(sizes):
    rng, worlds, alarmed = np.random.default_rng(1), 150, 0
    for world in range(worlds):
        pairs = {f"f{i}": [counts(rows, 4 + 4 * (i % 4), rng) for rows in sizes] for i in range(6)}
        counted = [
            CountedFeature(name, statistic, *pair)
            for name, pair in pairs.items()
            for statistic in ("psi", "kolmogorov_smirnov")
        ]
        alarmed += any(test.drifted for test in compare_with_chance(counted, false_alarms=0.1, draws=100, seed=world))
    # Two statistics of one feature go together, so that the rate is reached from below.
    assert binomtest(alarmed, worlds, 0.1, "greater").pvalue > 1e-3
    assert binomtest(alarmed, worlds, 0.02, "less").pvalue > 1e-3


def test_a_category_that_moved_is_named_and_the_others_are_not():
    rng = np.random.default_rng(2)
    counted = [CountedFeature(f"f{i}", "psi", *(counts(3000, 10, rng) for _ in "ab")) for i in range(30)]
    moved = CountedFeature("moved", "psi", rng.multinomial(3000, [0.5, 0.5]), rng.multinomial(3000, [0.58, 0.42]))
    tests = compare_with_chance([*counted, moved], draws=100)
    assert [test.feature for test in tests if test.drifted] == ["moved"]
    assert tests[-1].value > tests[-1].limit
    assert tests[0].value < tests[0].limit
    # The expectation that Yurdakul gives.
    assert np.mean([test.without_drift for test in tests[:-1]]) == pytest.approx(9 * 2 / 3000, rel=0.05)


def test_a_feature_of_one_value_never_drifts():
    assert not compare_with_chance([CountedFeature("constant", "psi", np.array([90]), np.array([40]))])[0].drifted


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        ([1, 2], [1, 2, 3], "feature 'a': 2 bins and 3: count both in the same"),
        ([1, 2], [0, 0], r"feature 'a': a sample has no rows to compare \(3 and 0\)"),
        ([10**9, 0], [0, 1], "feature 'a': 1,000,000,001 rows are more than 999,999,999: compare a sample"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(reference, current, message):
    with pytest.raises(ValueError, match=message):
        compare_with_chance([CountedFeature("a", "psi", np.array(reference), np.array(current))])
