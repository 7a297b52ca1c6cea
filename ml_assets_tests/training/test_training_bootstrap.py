import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score

from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.ranked_scores import rank_scores


@pytest.fixture
def scored():
    rng = np.random.default_rng(7)
    score = rng.beta(2, 5, 400)
    label = rng.random(400) < score
    worse = np.clip(score + rng.normal(0, 0.25, 400), 0, 1)
    return label, score, worse


def auc_of_ranks(label, score):
    """Mann and Whitney's count of pairs in order, without what scikit-learn checks in each of thousands of calls."""
    label = np.asarray(label, dtype=bool)
    positives = label.sum()
    ranked = stats.rankdata(score)[label].sum() - positives * (positives + 1) / 2
    return ranked / (positives * (len(label) - positives))


def mean_log_loss(label, score):
    kept = np.clip(score, np.finfo(float).eps, 1 - np.finfo(float).eps)
    return -np.log(np.where(np.asarray(label, dtype=bool), kept, 1 - kept)).mean()


def test_what_is_resampled_is_what_scikit_learn_measures(scored):
    label, score, worse = scored
    assert auc_of_ranks(label, score) == pytest.approx(roc_auc_score(label, score))
    for one in (score, worse):
        assert mean_log_loss(label, one) == pytest.approx(log_loss(label, one, labels=[0, 1]))


def test_the_interval_agrees_with_scipy(scored):
    label, score, _ = scored
    found = bootstrap({"m": rank_scores(label, score)}, resamples=4000, seed=0).interval("m", "roc_auc", 0.9)
    expected = stats.bootstrap(
        (label, score),
        auc_of_ranks,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert found.estimate == pytest.approx(roc_auc_score(label, score))
    assert found.low == pytest.approx(expected.low, abs=0.1 * width)
    assert found.high == pytest.approx(expected.high, abs=0.1 * width)
    assert found.resamples == 4000


def test_the_paired_difference_agrees_with_scipy_and_is_positive_for_the_better_model(scored):
    label, score, worse = scored
    subjects = {"good": rank_scores(label, score), "bad": rank_scores(label, worse)}
    found = bootstrap(subjects, resamples=4000, seed=0).improvement("good", "bad", "log_loss", 0.9)
    expected = stats.bootstrap(
        (label, score, worse),
        lambda y, a, b: mean_log_loss(y, b) - mean_log_loss(y, a),
        paired=True,
        vectorized=False,
        n_resamples=600,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = expected.high - expected.low
    assert found.estimate == pytest.approx(log_loss(label, worse) - log_loss(label, score))
    assert found.estimate > 0
    assert found.low == pytest.approx(expected.low, abs=0.1 * width)
    assert found.high == pytest.approx(expected.high, abs=0.1 * width)


def test_pairing_makes_the_difference_narrower_than_its_parts(scored):
    label, score, _ = scored
    near = np.clip(score + np.random.default_rng(0).normal(0, 0.01, 400), 0, 1)
    measured = bootstrap({"a": rank_scores(label, score), "b": rank_scores(label, near)}, resamples=500, seed=0)
    difference, alone = measured.improvement("a", "b", "roc_auc", 0.95), measured.interval("a", "roc_auc", 0.95)
    assert difference.high - difference.low < 0.2 * (alone.high - alone.low)


def test_equal_scores_differ_by_exactly_nothing(scored):
    label, score, _ = scored
    measured = bootstrap({"a": rank_scores(label, score), "b": rank_scores(label, score)}, resamples=100, seed=0)
    found = measured.improvement("a", "b", "roc_auc", 0.95)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


def test_one_seed_gives_one_result(scored):
    label, score, _ = scored
    runs = [bootstrap({"m": rank_scores(label, score)}, resamples=50, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (run.samples["m", "brier"] for run in runs)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_blocks_are_drawn_whole():
    # Two blocks of one class each: a resample holds one of them twice, or both, and the Brier score tells which.
    label, score = np.repeat([0.0, 1.0], 50), np.full(100, 0.2)
    blocks = np.repeat([10, 20], 50)
    measured = bootstrap({"m": rank_scores(label, score)}, resamples=200, seed=0, metrics=["brier"], blocks=blocks)
    found = np.unique(measured.samples["m", "brier"].round(9), return_counts=True)
    assert found[0].tolist() == pytest.approx([0.04, 0.34, 0.64])
    assert found[1][1] == pytest.approx(100, abs=30)


def test_blocks_widen_the_interval_of_rows_that_share_their_luck():
    rng = np.random.default_rng(0)
    luck = rng.random(40)
    label = (rng.random((40, 50)) < luck[:, None]).ravel()
    blocks = np.repeat(np.arange(40), 50)
    ranked = {"m": rank_scores(label, np.full(2000, 0.5 + 1e-3) - 0.4 * label.mean())}
    single = bootstrap(ranked, resamples=300, seed=0, metrics=["brier"]).interval("m", "brier", 0.95)
    whole = bootstrap(ranked, resamples=300, seed=0, metrics=["brier"], blocks=blocks).interval("m", "brier", 0.95)
    assert whole.high - whole.low > 2 * (single.high - single.low)


def test_many_rows_are_weighed_in_parts_without_a_seam():
    rng = np.random.default_rng(0)
    score = rng.random(300_000)
    measured = bootstrap(
        {"m": rank_scores(rng.random(300_000) < score, score)}, resamples=15, seed=0, metrics=["brier"]
    )
    samples = measured.samples["m", "brier"]
    assert len(np.unique(samples)) == 15
    assert samples == pytest.approx(np.full(15, 1 / 6), abs=0.003)


def test_too_few_of_a_class_is_an_error_not_a_number():
    ranked = rank_scores(np.array([0, 0, 0, 0]), np.array([0.1, 0.2, 0.3, 0.4]))
    with pytest.raises(ValueError, match="roc_auc of m is undefined in 100 of 100 resamples"):
        bootstrap({"m": ranked}, resamples=100, seed=0).interval("m", "roc_auc", 0.95)


def test_subjects_must_be_scored_on_the_same_rows(scored):
    label, score, worse = scored
    with pytest.raises(ValueError, match="not scored on the same rows"):
        bootstrap({"a": rank_scores(label, score), "b": rank_scores(~label, worse)}, resamples=2, seed=0)
