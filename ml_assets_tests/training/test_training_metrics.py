import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.measure import measure, measure_weighted
from ml_assets.training.metrics.ranked_scores import rank_scores

ORACLE = {
    "roc_auc": sklearn_metrics.roc_auc_score,
    "average_precision": sklearn_metrics.average_precision_score,
    "log_loss": sklearn_metrics.log_loss,
    "brier": sklearn_metrics.brier_score_loss,
    "f1": lambda label, score: sklearn_metrics.f1_score(label, score >= 0.3),
}
# Few distinct scores, so that ties are the rule.
SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.30000001, 0.7, 1.0])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SCORES), min_size=2, max_size=40))
def test_metrics_agree_with_scikit_learn(rows):
    label, score = np.array([y for y, _ in rows]), np.array([s for _, s in rows])
    assume(0 < label.sum() < len(label))
    found = measure(rank_scores(label, score, threshold=0.3), list(ORACLE))
    for name, oracle in ORACLE.items():
        assert found[name] == pytest.approx(oracle(label, score), rel=1e-9, abs=1e-12), name


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (3, 30), elements=st.integers(0, 3)), st.integers(0, 10_000))
def test_a_weight_of_n_is_the_row_n_times(weights, seed):
    rng = np.random.default_rng(seed)
    label, score = rng.random(30) < 0.5, rng.choice([0.05, 0.2, 0.3, 0.5, 0.9], 30)
    ranked = rank_scores(label, score, threshold=0.3)
    found = measure_weighted(ranked, weights.astype(float), list(ORACLE))
    for row, weight in enumerate(weights):
        repeated = np.repeat(np.arange(30), weight)
        if len(set(label[repeated])) < 2:
            continue
        for name, oracle in ORACLE.items():
            assert found[name][row] == pytest.approx(oracle(label[repeated], score[repeated]), rel=1e-9), name


def binned_error(label, score):
    order = np.argsort(score)
    parts = np.split(order, 10)
    return np.mean([abs(label[part].mean() - score[part].mean()) for part in parts])


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_the_mean_gap_over_ten_equal_bins(seed):
    rng = np.random.default_rng(seed)
    score = rng.random(200)
    label = (rng.random(200) < score**2).astype(float)
    found = measure(rank_scores(label, score), ["calibration_error"])
    assert found["calibration_error"] == pytest.approx(binned_error(label, score))


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_of_resampled_rows(seed):
    rng = np.random.default_rng(seed)
    score, label = rng.random(200), rng.integers(0, 2, 200).astype(float)
    weights = np.bincount(rng.integers(0, 200, 200), minlength=200)
    repeated = np.repeat(np.arange(200), weights)
    found = measure_weighted(rank_scores(label, score), weights[None].astype(float), ["calibration_error"])
    assert found["calibration_error"][0] == pytest.approx(binned_error(label[repeated], score[repeated]))


def test_calibration_error_by_hand_when_ties_straddle_the_edges():
    # One score, 0.25, and 3 of 10 rows positive: every bin holds a tenth of that group, off by 0.05.
    label = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    assert measure(rank_scores(label, np.full(10, 0.25)))["calibration_error"] == pytest.approx(0.05)


def test_a_metric_that_needs_both_classes_is_nan_without():
    found = measure(rank_scores(np.zeros(4), np.array([0.1, 0.2, 0.3, 0.4])))
    assert np.isnan(found["roc_auc"])
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.16) / 4)


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([0, 1], [0.5], "one shape"),
        ([], [], "one shape"),
        ([0, 2], [0.5, 0.5], "0 or 1"),
        ([0, 1], [0.5, 1.5], "probabilities"),
        ([0, 1], [0.5, np.nan], "probabilities"),
    ],
)
def test_bad_input_is_refused(label, score, message):
    with pytest.raises(ValueError, match=message):
        rank_scores(np.array(label), np.array(score))


def test_an_unknown_metric_is_named():
    ranked = rank_scores(np.array([0, 1]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match=r"unknown metrics \['auc'\]"):
        bootstrap({"model": ranked}, resamples=2, seed=0, metrics=["auc"])
