"""Measures of groups, held against scikit-learn, SciPy and formulas written out by hand."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, mean_absolute_error, precision_score

from ml_assets.fairness.measure import FAIRNESS, IntervalRule, measure_fairness, wilson
from ml_assets.training.tasks import find_task

GROUPS = ["f", "m", "x"]


def scored(rows, seed=1):
    rng = np.random.default_rng(seed)
    group = rng.choice(GROUPS, rows, p=[0.45, 0.45, 0.1])
    score = rng.beta(2, 3, rows) * np.where(group == "f", 0.9, 1.0)
    outcome = rng.random(rows) < score
    known = rng.random(rows) < 0.9
    return pl.DataFrame(
        {
            "sex": group,
            "score": score,
            "prediction": score >= 0.5,
            "bought": pl.Series([int(y) if k else None for y, k in zip(outcome, known, strict=True)], dtype=pl.Int64),
        }
    )


def measured(frame, task="binary", classes=None, label="bought", min_rows=20, **intervals):
    views = find_task(task).fairness_views(label, classes)
    return measure_fairness(frame, ["sex"], views, min_rows=min_rows, intervals=IntervalRule(**intervals))


def value(table, group, measure, of=""):
    return table.filter(pl.col("group").eq_missing(group), pl.col("class") == of, measure=measure)["value"].item()


def test_rates_and_calibration_of_a_decision_are_those_of_scikit_learn():
    frame = scored(400)
    table = measured(frame)
    assert dict(table.schema) == FAIRNESS
    for group in GROUPS:
        own = frame.filter(sex=group)
        known = own.drop_nulls("bought")
        y, called = known["bought"].to_numpy(), known["prediction"].to_numpy().astype(int)
        tn, fp, fn, tp = confusion_matrix(y, called, labels=[0, 1]).ravel()
        expected = {
            "selection_rate": own["prediction"].mean(),
            "tpr": tp / (tp + fn),
            "fpr": fp / (fp + tn),
            "precision": precision_score(y, called),
            "mean_outcome": y.mean(),
            "mean_score": known["score"].mean(),
            "calibration_gap": known["score"].mean() - y.mean(),
            "calibration_error": _binned_error(known["score"].to_list(), y.tolist()),
        }
        assert {name: value(table, group, name) for name in expected} == pytest.approx(expected, abs=1e-12)
        counts = table.filter(group=group).select("rows", "known").unique().row(0)
        assert counts == (own.height, known.height)


def _binned_error(scores, outcomes):
    bins = {}
    for score, outcome in zip(scores, outcomes, strict=True):
        bins.setdefault(min(int(score * 10), 9), []).append((score, outcome))
    of_bins = [
        len(rows) * abs(sum(s for s, _ in rows) / len(rows) - sum(y for _, y in rows) / len(rows))
        for rows in bins.values()
    ]
    return sum(of_bins) / len(scores)


def test_a_group_is_compared_with_all_others():
    frame = scored(400)
    table = measured(frame)
    own, rest = frame.filter(sex="f"), frame.filter(pl.col("sex") != "f")
    rates = [part["prediction"].mean() for part in (own, rest)]
    assert value(table, "f", "selection_rate_difference") == pytest.approx(rates[0] - rates[1])
    assert value(table, "f", "selection_rate_ratio") == pytest.approx(rates[0] / rates[1])
    tpr = [part.filter(bought=1)["prediction"].mean() for part in (own, rest)]
    assert value(table, "f", "tpr_difference") == pytest.approx(tpr[0] - tpr[1])


@pytest.mark.parametrize(("hits", "of"), [(0, 5), (3, 7), (50, 50), (199, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_intervals_of_shares_are_wilsons(hits, of, confidence):
    expected = binomtest(hits, of).proportion_ci(confidence, method="wilson")
    assert wilson(hits, of, confidence) == (
        pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12), "wilson",
    )  # fmt: skip


@pytest.mark.parametrize("rows", [800, 8_000])  # groups below and above the number of blocks
def test_intervals_of_comparisons_are_as_wide_as_theory_says(rows):
    frame = scored(rows)
    table = measured(frame, resamples=2_000).filter(group="f", measure="selection_rate_difference")
    own, rest = frame.filter(sex="f"), frame.filter(pl.col("sex") != "f")
    variances = [p * (1 - p) / n for p, n in ((part["prediction"].mean(), part.height) for part in (own, rest))]
    half = 1.96 * math.sqrt(sum(variances))
    low, middle, high = table.select("low", "value", "high").row(0)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert low < middle < high


def test_the_seed_settles_the_intervals():
    frame = scored(300)
    assert measured(frame, seed=3).equals(measured(frame, seed=3))
    assert not measured(frame, seed=3).equals(measured(frame, seed=4))


def test_errors_of_numbers():
    frame = pl.DataFrame(
        {
            "sex": ["f", "f", "f", "m", "m", "m"],
            "score": [1.0, 2.0, 9.0, 4.0, 6.0, 8.0],
            "bought": [3.0, 2.0, None, 1.0, 6.0, 9.0],
        }
    )
    table = measured(frame, "regression", min_rows=1)
    assert [value(table, "f", name) for name in ("bias", "mae", "mean_prediction", "mean_outcome")] == [-1, 1, 4, 2.5]
    assert value(table, "m", "mae") == pytest.approx(mean_absolute_error([1, 6, 9], [4, 6, 8]))
    assert value(table, "m", "bias_difference") == pytest.approx(2 / 3 + 1)
    assert value(table, "f", "mae_ratio") == pytest.approx(1 / (4 / 3))


def test_each_class_is_looked_at_against_the_rest():
    frame = pl.DataFrame(
        {
            "sex": ["f", "f", "m", "m"],
            "prediction": ["a", "b", "c", "a"],
            "bought": ["a", "a", "c", None],
            "probability_a": [0.6, 0.2, 0.1, 0.5],
            "probability_b": [0.3, 0.5, 0.2, 0.3],
            "probability_c": [0.1, 0.3, 0.7, 0.2],
        }
    )
    table = measured(frame, "multiclass", ("a", "b", "c"), min_rows=1)
    assert table["class"].unique(maintain_order=True).to_list() == ["a", "b", "c"]
    assert [value(table, "f", "selection_rate", of) for of in "abc"] == [0.5, 0.5, 0.0]
    assert [value(table, "f", "tpr", of) for of in "abc"] == [0.5, None, None]
    assert value(table, "f", "calibration_gap", "a") == pytest.approx(0.4 - 1)
    assert value(table, "m", "selection_rate", "c") == 0.5


def test_small_groups_and_rows_of_no_group_are_counted_and_not_judged():
    frame = pl.DataFrame(
        {
            "sex": ["f"] * 30 + ["x"] * 3 + [None] * 40,
            "score": [0.5] * 73,
            "prediction": [True] * 15 + [False] * 58,
            "bought": [1, 0, None] * 24 + [1],
        }
    )
    table = measured(frame, min_rows=20)
    judged = dict(table.select("group", "judged").unique().iter_rows())
    assert judged == {"f": True, "x": False, None: False}
    small = table.filter(group="x", measure="calibration_gap").row(0, named=True)
    assert (small["rows"], small["low"], small["interval"]) == (3, None, None)
    assert table.filter(group="x", measure="selection_rate")["interval"].item() == "wilson"
    # Rows of no known group are in no rest.
    assert value(table, "x", "selection_rate_difference") == pytest.approx(0 - 15 / 30)
    assert table.filter(pl.col("group").is_null(), pl.col("measure").str.ends_with("_difference")).is_empty()
    assert table.filter(pl.col("group").is_null())["rows"].unique().to_list() == [40]


def test_a_column_with_one_group_has_nothing_to_be_compared_with():
    table = measured(scored(50).with_columns(sex=pl.lit(1)))
    assert table["group"].unique().to_list() == ["1"]
    assert table.filter(pl.col("measure").str.contains("_difference|_ratio")).is_empty()
