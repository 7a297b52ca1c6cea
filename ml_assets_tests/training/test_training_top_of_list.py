"""Those who act on the rows with the highest scores, held against every order of tied rows."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.measure import measure, measure_weighted
from ml_assets.training.metrics.metric import TopOfList, top_names
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.spec import EvaluationSpec
from ml_assets.training.tasks import find_metric

SCORES = st.sampled_from([0.1, 0.4, 0.4000001, 0.9])


def brute_force(label, score, name) -> float:
    """The mean over all orders of the rows that fall by score; a row that is in the top in part counts in part."""
    top = TopOfList.parse(name)
    size = min(len(label), top.rows) if top.rows else top.share * len(label)
    values = []
    for order in permutations(range(len(label))):
        if any(score[a] < score[b] for a, b in pairwise(order)):
            continue
        parts = np.clip(size - np.arange(len(label)), 0, 1)
        hits = sum(part * label[row] for part, row in zip(parts, order, strict=True))
        precision = hits / size
        values.append(
            {
                "precision": precision,
                "recall": hits / label.sum() if label.sum() else np.nan,
                "lift": precision / label.mean() if label.sum() else np.nan,
            }[top.measure]
        )
    return float(np.mean(values))


NAMES = [name for at in (1, 2, 4, 9, 0.25, 0.5) for name in top_names(at)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SCORES), min_size=1, max_size=6))
def test_ties_at_the_cut_are_the_mean_of_all_orders(rows):
    label, score = np.array([y for y, _ in rows], dtype=float), np.array([s for _, s in rows])
    measured = measure(rank_scores(label, score), NAMES)
    for name in NAMES:
        assert measured[name] == pytest.approx(brute_force(label, score, name), nan_ok=True), name


def test_a_weight_of_n_is_the_row_n_times():
    rng = np.random.default_rng(0)
    label, score = rng.random(40) < 0.3, rng.choice([0.1, 0.3, 0.5, 0.8], 40)
    weights = rng.integers(0, 4, (3, 40))
    names = [*top_names(10), *top_names(0.1)]
    measured = measure_weighted(rank_scores(label, score), weights.astype(float), names)
    for row, weight in enumerate(weights):
        again = np.repeat(np.arange(40), weight)
        alone = measure(rank_scores(label[again], score[again]), names)
        assert {name: measured[name][row] for name in names} == pytest.approx(alone)


def test_the_top_of_a_list_by_hand():
    label = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 1])
    score = np.linspace(0.9, 0.1, 10)
    values = measure(rank_scores(label, score), [*top_names(4), *top_names(0.1)])
    assert values == pytest.approx(
        {
            "precision_at_4": 2 / 4,
            "recall_at_4": 2 / 3,
            "lift_at_4": (2 / 4) / (3 / 10),
            "precision_at_10pct": 1,
            "recall_at_10pct": 1 / 3,
            "lift_at_10pct": 1 / (3 / 10),
        }
    )


@pytest.mark.parametrize(
    ("at", "end"), [(100, "100"), (1, "1"), (0.05, "5pct"), (0.001, "0.1pct"), (0.125, "12.5pct"), (0.07, "7pct")]
)
def test_names_can_be_read_back_and_are_names_for_mlflow(at, end):
    from mlflow.utils.validation import _validate_metric_name

    for name in top_names(at):
        assert name.endswith(f"_at_{end}")
        top = TopOfList.parse(name)
        assert (top.rows, top.share) == ((at, None) if at >= 1 else (None, pytest.approx(at)))
        assert find_metric(name).greater_is_better
        _validate_metric_name(name)


@pytest.mark.parametrize("name", ["precision_at_0", "precision_at_", "recall_at_100pct", "lift_at_1.5", "f1_at_5"])
def test_other_names_are_no_metrics(name):
    with pytest.raises(ValueError, match="choose from roc_auc"):
        find_metric(name)


def test_differences_are_resampled_in_pairs():
    rng = np.random.default_rng(1)
    truth = rng.random(400) * 0.4
    label = rng.random(400) < truth
    subjects = {"good": rank_scores(label, truth), "blind": rank_scores(label, rng.random(400))}
    measured = bootstrap(subjects, resamples=200, seed=0, metrics=["precision_at_10pct"])
    better = measured.improvement("good", "blind", "precision_at_10pct", 0.95)
    assert better.low < better.estimate < better.high
    assert (
        better.estimate
        == measured.estimates["good", "precision_at_10pct"] - measured.estimates["blind", "precision_at_10pct"]
    )


@pytest.mark.parametrize("top", [[0], [1.5], [-3]])
def test_an_end_is_a_number_of_rows_or_a_share(top):
    with pytest.raises(ValueError, match="no ends of a list"):
        EvaluationSpec(top=top)
