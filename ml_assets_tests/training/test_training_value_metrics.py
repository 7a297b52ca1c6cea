from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, r2_score, root_mean_squared_error

from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.compared_values import compare_values
from ml_assets.training.metrics.measure import measure

ORACLE = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "r2": r2_score,
    "pinball_0.1": lambda y, p, **w: mean_pinball_loss(y, p, alpha=0.1, **w),
    "pinball_0.9": lambda y, p, **w: mean_pinball_loss(y, p, alpha=0.9, **w),
}


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (3, 25), elements=st.integers(0, 3)), st.integers(0, 10_000), st.sampled_from([0.0, 1e6]))
def test_metrics_agree_with_scikit_learn_under_weights(weights, seed, offset):
    rng = np.random.default_rng(seed)
    label = rng.normal(offset, 3, 25)
    value = label + rng.normal(1, 2, 25)
    found = compare_values(label, value).weigh(weights.astype(float), list(ORACLE))
    for row, weight in enumerate(weights):
        if (weight > 0).sum() < 2:
            continue
        for name, oracle in ORACLE.items():
            assert found[name][row] == pytest.approx(oracle(label, value, sample_weight=weight), rel=1e-6), name


def test_by_hand():
    # Errors 1, -2, 0: the first is too low by 1, the second too high by 2.
    found = measure(compare_values(np.array([3.0, 0.0, 5.0]), np.array([2.0, 2.0, 5.0])), list(ORACLE))
    assert found["mae"] == pytest.approx(1)
    assert found["rmse"] == pytest.approx((5 / 3) ** 0.5)
    assert found["pinball_0.9"] == pytest.approx((0.9 * 1 + 0.1 * 2) / 3)
    assert found["pinball_0.1"] == pytest.approx((0.1 * 1 + 0.9 * 2) / 3)
    # Around the mean 8/3: 1/9 + 64/9 + 49/9 = 38/3.
    assert found["r2"] == pytest.approx(1 - 5 / (38 / 3))


def test_a_label_that_does_not_vary_has_no_r2():
    assert np.isnan(measure(compare_values(np.full(5, 1e9 + 0.1), np.arange(5.0)), ["r2"])["r2"])


def test_the_paired_difference_is_positive_for_the_better_model_whichever_way_the_metric_points():
    rng = np.random.default_rng(0)
    label = rng.normal(size=300)
    good, bad = label + rng.normal(0, 0.5, 300), label + rng.normal(0, 1, 300)
    subjects = {"good": compare_values(label, good), "bad": compare_values(label, bad)}
    measured = bootstrap(subjects, resamples=200, seed=0, metrics=["mae", "rmse", "r2"])
    for metric, oracle in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error), ("r2", r2_score)):
        found = measured.improvement("good", "bad", metric, 0.95)
        assert found.estimate == pytest.approx(abs(oracle(label, good) - oracle(label, bad)))
        assert 0 < found.low < found.estimate < found.high


def test_forecast_metrics_by_hand():
    # Errors 1, -2, 0, 3; scales 2, 1, unknown, 3: (1/4 + 4 + 1) / 3 of the three rows that have one.
    label, value = np.array([3.0, 0.0, 5.0, 4.0]), np.array([2.0, 2.0, 5.0, 1.0])
    scores = replace(compare_values(label, value), scale=np.array([2.0, 1.0, np.nan, 3.0]))
    found = scores.weigh(np.array([[1.0, 1, 1, 1], [2.0, 0, 1, 0], [0.0, 0, 1, 0]]), ["wape", "rmsse"])
    assert found["wape"] == pytest.approx([6 / 12, 2 * 1 / (2 * 3 + 5), 0])
    assert found["rmsse"][:2] == pytest.approx([(5.25 / 3) ** 0.5, 0.5])
    assert np.isnan(found["rmsse"][2])


def test_forecast_metrics_that_are_undefined_are_not_a_number():
    found = measure(compare_values(np.zeros(2), np.ones(2)), ["wape", "rmsse"])
    assert np.isnan(found["wape"])
    assert np.isnan(found["rmsse"])


@pytest.mark.parametrize(
    ("label", "value", "message"),
    [([1.0], [1.0, 2.0], "one shape"), ([np.nan, 1.0], [1.0, 1.0], "1 labels are not finite"), ([], [], "n > 0")],
)
def test_bad_input_is_refused(label, value, message):
    with pytest.raises(ValueError, match=message):
        compare_values(np.array(label), np.array(value))
    with pytest.raises(ValueError, match=r"unknown metrics \['roc_auc'\]"):
        measure(compare_values(np.ones(2), np.ones(2)), ["roc_auc"])
