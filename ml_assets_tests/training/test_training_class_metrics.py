import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.ranked_classes import rank_classes
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.tasks import find_task

NAMES = [name for name in find_task("multiclass").measured if name != "calibration_error"]


def drawn(seed, rows=80, classes=4):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(classes, 0.6), rows).round(2)
    probability /= probability.sum(axis=1, keepdims=True)
    return np.array([rng.choice(classes, p=row) for row in probability]), probability


def oracle(label, probability, weight=None):
    called = probability.argmax(axis=1)
    return {
        "log_loss": log_loss(label, probability, labels=range(probability.shape[1]), sample_weight=weight),
        "roc_auc_ovr": roc_auc_score(label, probability, multi_class="ovr", average="weighted", sample_weight=weight),
        "macro_f1": f1_score(label, called, average="macro", sample_weight=weight),
        "accuracy": accuracy_score(label, called, sample_weight=weight),
    }


@pytest.mark.parametrize("seed", range(8))
def test_metrics_agree_with_scikit_learn(seed):
    label, probability = drawn(seed)
    found = measure(rank_classes(label, probability), NAMES)
    assert found == pytest.approx(oracle(label, probability))


@pytest.mark.parametrize("seed", range(8))
def test_a_weight_of_n_is_the_row_n_times(seed):
    label, probability = drawn(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (2, 80))
    found = rank_classes(label, probability).weigh(weights.astype(float), NAMES)
    for row, weight in enumerate(weights):
        repeated = np.repeat(np.arange(80), weight)
        expected = oracle(label[repeated], probability[repeated])
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_a_class_without_rows_leaves_the_other_classes_standing():
    label, probability = drawn(0, classes=3)
    with_empty = np.column_stack([probability, np.zeros(80)])
    found = measure(rank_classes(label, with_empty), NAMES)
    assert found == pytest.approx(measure(rank_classes(label, probability), NAMES))


def test_two_classes_are_measured_as_the_binary_task_is():
    rng = np.random.default_rng(1)
    score = rng.random(200)
    label = (rng.random(200) < score).astype(int)
    binary = measure(rank_scores(label, score, threshold=0.5))
    found = measure(rank_classes(label, np.column_stack([1 - score, score])), NAMES)
    assert found["roc_auc_ovr"] == pytest.approx(binary["roc_auc"])
    assert found["log_loss"] == pytest.approx(binary["log_loss"])


def test_calibration_error_is_that_of_the_call_that_is_made():
    label, probability = drawn(3, rows=200)
    top = probability.max(axis=1)
    right = probability.argmax(axis=1) == label
    found = measure(rank_classes(label, probability), ["calibration_error"])
    assert found == pytest.approx(measure(rank_scores(right, top), ["calibration_error"]))


def test_the_better_of_two_is_told_by_a_paired_interval():
    label, probability = drawn(5, rows=400)
    blurred = 0.5 * probability + 0.5 / 4
    subjects = {"sharp": rank_classes(label, probability), "blurred": rank_classes(label, blurred)}
    measured = bootstrap(subjects, resamples=200, seed=0, metrics=["log_loss"])
    found = measured.improvement("sharp", "blurred", "log_loss", 0.95)
    expected = log_loss(label, blurred, labels=range(4)) - log_loss(label, probability, labels=range(4))
    assert found.estimate == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "0 to 1"),
        ([0, 1], [[0.5, 0.4], [0.5, 0.5]], "sum to one"),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]], "sum to one"),
        ([0], [[0.5, 0.5], [0.5, 0.5]], r"\(n, k\)"),
    ],
)
def test_bad_input_is_refused(label, probability, message):
    with pytest.raises(ValueError, match=message):
        rank_classes(np.array(label), np.array(probability))
