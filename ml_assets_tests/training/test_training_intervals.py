import numpy as np
import polars as pl
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from ml_assets.scoring_core.answers import interval_ends
from ml_assets.training.calibration.intervals import Intervals, covered_share, fit_intervals, least_coverage
from ml_assets.training.calibration.probabilities import (
    Calibration,
    calibrate,
    chance_error,
    fit_calibration,
    trusted_scores,
)
from ml_assets.training.fit import fit_model, predict
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.spec import IntervalSpec, TrainingSpec


def skewed(seed, rows):
    """Errors grow with the prediction and lean upwards."""
    rng = np.random.default_rng(seed)
    value = rng.uniform(1, 10, rows)
    return value + value * (rng.exponential(1, rows) - 1), value


def test_ends_of_one_group_are_those_of_mapie():
    from mapie.conformity_scores import AbsoluteConformityScore
    from mapie.regression import SplitConformalRegressor
    from sklearn.linear_model import LinearRegression

    label, value = skewed(0, 500)
    identity = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    oracle = SplitConformalRegressor(
        identity, confidence_level=0.9, conformity_score=AbsoluteConformityScore(sym=False), prefit=True
    ).conformalize(value[:, None], label)
    fresh = np.array([2.0, 5.0, 9.0])
    expected = oracle.predict_interval(fresh[:, None])[1][:, :, 0]
    lower, upper = interval_ends(fit_intervals(label, value, coverage=0.9, groups=1), fresh)
    np.testing.assert_allclose(np.stack([lower, upper], axis=1), expected)


def test_ends_by_hand():
    # 19 errors -9..9: (19 + 1) * 0.05 = 1, so the first from each side.
    value = np.zeros(19)
    found = fit_intervals(np.arange(-9.0, 10.0), value, coverage=0.9, groups=10)
    assert (found.edges, found.below, found.above) == ((), (-9.0,), (9.0,))
    with pytest.raises(ValueError, match=r"18 rows are too few .* 19 are needed"):
        fit_intervals(np.arange(18.0), np.zeros(18), coverage=0.9, groups=10)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_later_rows_are_covered_as_declared(coverage):
    intervals = fit_intervals(*skewed(1, 4_000), coverage=coverage, groups=10)
    label, value = skewed(2, 20_000)
    assert covered_share(label, *interval_ends(intervals, value)) == pytest.approx(coverage, abs=0.02)
    assert Intervals.model_validate_json(intervals.model_dump_json()) == intervals


def test_intervals_hold_for_a_model_that_knows_its_validation_rows_by_heart():
    # What is chosen by rows fits them better than rows to come. Here validation repeats the training rows, which deep
    # trees learn by heart: errors on them say nothing, those on rows kept apart say all.
    def drawn(seed, rows):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=rows)
        return pl.DataFrame({"x": x, "y": x + rng.normal(size=rows)})

    train, later = drawn(0, 300), drawn(2, 5_000)
    model = fit_model(
        train, train, drawn(1, 2_000), features=["x"], label="y", metric="rmse", task="regression", seed=0,
        parameters={"max_depth": 12, "min_child_weight": 0, "learning_rate": 0.3},
        training=TrainingSpec(threads=1, max_rounds=60), intervals=IntervalSpec(coverage=0.8, groups=1),
    )  # fmt: skip
    seen = fit_intervals(train["y"].to_numpy(), predict(model, train), coverage=0.8, groups=1)
    label, value = later["y"].to_numpy(), predict(model, later)
    assert covered_share(label, *interval_ends(seen, value)) < 0.7
    assert covered_share(label, *interval_ends(model.intervals, value)) == pytest.approx(0.8, abs=0.03)


def test_intervals_without_rows_of_their_own_are_refused():
    rows = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="give them as unseen"):
        fit_model(
            rows, rows, features=["x"], label="y", parameters={}, training=TrainingSpec(threads=1), metric="mae",
            seed=0, task="regression", intervals=IntervalSpec(),
        )  # fmt: skip


def test_groups_cover_small_and_large_predictions_alike():
    label, value = skewed(2, 20_000)
    gaps = {}
    for groups in (1, 10):
        lower, upper = interval_ends(fit_intervals(*skewed(1, 4_000), coverage=0.9, groups=groups), value)
        shares = [covered_share(label[at], lower[at], upper[at]) for at in (value < 2.5, value > 8.5)]
        gaps[groups] = abs(shares[0] - shares[1])
    assert gaps[10] < 0.04 < 0.1 < gaps[1]


def test_coverage_has_failed_only_beyond_tolerance_and_chance():
    from scipy.stats import binom

    assert least_coverage(0.9, 0.03, 1_000_000) == pytest.approx(0.87)
    assert least_coverage(0.9, 0.0, 100) == binom.ppf(0.025, 100, 0.9) / 100


# Calibration


def overconfident(seed, rows):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.98, rows)
    odds = np.log(truth / (1 - truth))
    return (rng.random(rows) < truth).astype(float), 1 / (1 + np.exp(-(2.5 * odds + 0.5))), truth


@pytest.mark.parametrize(("method", "error"), [("isotonic", 0.05), ("sigmoid", 0.03)])
def test_corrected_scores_are_near_the_true_probabilities(method, error):
    label, score, _ = overconfident(0, 3_000)
    calibration = fit_calibration(method, label, score)
    fresh_label, fresh, truth = overconfident(1, 5_000)
    corrected = calibrate(calibration, fresh)
    assert np.abs(corrected - truth).mean() < error < np.abs(fresh - truth).mean()
    before, after = (measure(rank_scores(fresh_label, s), ["calibration_error"]) for s in (fresh, corrected))
    assert after["calibration_error"] < before["calibration_error"] / 3
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_isotonic_is_scikit_learns():
    label, score, _ = overconfident(0, 500)
    _, fresh, _ = overconfident(1, 200)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(score, label).predict(fresh)
    found = calibrate(fit_calibration("isotonic", label, score), fresh)
    np.testing.assert_allclose(found, oracle, atol=1e-12)


def test_sigmoid_is_platts_on_the_log_odds():
    from sklearn.calibration import _SigmoidCalibration

    label, score, _ = overconfident(0, 500)
    _, fresh, _ = overconfident(1, 200)
    odds = [np.log(s / (1 - s)) for s in (score, fresh)]
    oracle = _SigmoidCalibration().fit(odds[0], label).predict(odds[1])
    found = calibrate(fit_calibration("sigmoid", label, score), fresh)
    np.testing.assert_allclose(found, oracle, atol=1e-4)


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_several_classes_sum_to_one_and_get_better(method):
    def drawn(seed):
        rng = np.random.default_rng(seed)
        truth = rng.dirichlet([1, 1, 2], 3_000)
        sharp = truth**2.5 / (truth**2.5).sum(axis=1, keepdims=True)
        return np.array([rng.choice(3, p=row) for row in truth]), sharp

    calibration = fit_calibration(method, *drawn(0))
    label, score = drawn(1)
    corrected = calibrate(calibration, score)
    np.testing.assert_allclose(corrected.sum(axis=1), 1)
    assert log_loss(label, corrected) < log_loss(label, score) - 0.02


def test_a_row_in_which_no_class_is_left_likely_gets_equal_shares():
    never = {"x": (0.0, 1.0), "y": (0.0, 0.0)}
    calibration = Calibration.model_validate({"method": "isotonic", "curves": [never, never]})
    np.testing.assert_allclose(calibrate(calibration, np.array([[0.3, 0.7]])), [[0.5, 0.5]])


def test_right_scores_have_an_error_by_chance_and_wrong_ones_a_larger():
    label, score, truth = overconfident(0, 400)
    right, wrong = trusted_scores(label, truth), trusted_scores(label, score)
    for scores, is_right in ((right, True), (wrong, False)):
        chance = chance_error(scores, seed=0)
        assert (measure(scores, ["calibration_error"])["calibration_error"] <= chance) == is_right
    # Ten bins of 40 rows: the mean gap is about 0.8 * sqrt(p (1 - p) / 40).
    assert chance_error(right, seed=0) == pytest.approx(0.065, abs=0.02)
