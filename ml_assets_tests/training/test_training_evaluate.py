from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from ml_assets.training.evaluation.baseline import fit_baseline, predict_baseline
from ml_assets.training.evaluation.evaluate import evaluate, measure_slices, read_interval, time_blocks
from ml_assets.training.spec import EvaluationSpec


def test_the_baseline_is_the_share_of_positives():
    train = pl.DataFrame({"y": [1, 0, 0, 0]})
    assert predict_baseline(fit_baseline(train, label="y"), pl.DataFrame({"x": [1, 2]})).tolist() == [0.25, 0.25]


def test_the_baseline_by_a_column_is_smoothed_towards_the_overall_rate():
    # Overall 50 of 100. "a": 30 of 40, so (30 + 20 * 0.5) / 60; "b": 20 of 60, so (20 + 10) / 80.
    train = pl.DataFrame({"k": ["a"] * 40 + ["b"] * 60, "y": [1] * 30 + [0] * 10 + [1] * 20 + [0] * 40})
    baseline = fit_baseline(train, label="y", by="k")
    scored = predict_baseline(baseline, pl.DataFrame({"k": ["b", "a", None, "unseen"]}))
    assert scored.tolist() == pytest.approx([0.375, 2 / 3, 0.5, 0.5])
    assert type(baseline).model_validate_json(baseline.model_dump_json()) == baseline


def test_a_baseline_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"baseline\.by names k"):
        fit_baseline(pl.DataFrame({"y": [0, 1]}), label="y", by="k")


@pytest.fixture(scope="module")
def holdout():
    rng = np.random.default_rng(0)
    score = rng.beta(2, 5, 600)
    frame = pl.DataFrame(
        {
            "at": [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(600)],
            "y": rng.random(600) < score,
            "site": rng.choice(["n", "s", None], 600, p=[0.6, 0.3, 0.1]),
            "code": rng.integers(1, 3, 600),
        }
    )
    return frame, score


def run(frame, score, **changes):
    spec = EvaluationSpec(resamples=200).model_copy(update=changes)
    naive = np.full(len(score), 0.3)
    return evaluate(
        frame, score, naive, label="y", time="at", threshold=0.35, slices=["site", "code"], evaluation=spec, seed=1
    )


def test_model_and_baseline_are_measured_as_scikit_learn_does(holdout):
    frame, score = holdout
    found, y, naive = run(frame, score), frame["y"].to_numpy(), np.full(600, 0.3)
    expected = {
        "roc_auc": roc_auc_score(y, score),
        "average_precision": average_precision_score(y, score),
        "log_loss": log_loss(y, score),
        "brier": brier_score_loss(y, score),
        "f1": f1_score(y, score >= 0.35),
    }
    assert {name: found.values[name] for name in expected} == pytest.approx(expected)
    assert read_interval(found.metrics, "baseline", "roc_auc").estimate == 0.5
    assert read_interval(found.metrics, "baseline", "log_loss").estimate == pytest.approx(log_loss(y, naive))
    assert (found.rows, found.prevalence) == (600, pytest.approx(y.mean()))


def test_improvement_is_positive_when_the_model_is_better_whichever_way_the_metric_points(holdout):
    frame, score = holdout
    found = run(frame, score)
    for metric in ("roc_auc", "log_loss", "brier"):
        model, naive = (read_interval(found.metrics, subject, metric).estimate for subject in ("model", "baseline"))
        improvement = read_interval(found.metrics, "improvement", metric)
        assert improvement.estimate == pytest.approx(abs(model - naive))
        assert 0 < improvement.low < improvement.estimate < improvement.high


def test_metrics_come_as_one_long_table(holdout):
    metrics = run(*holdout).metrics
    assert metrics.height == 3 * 6
    assert metrics.columns == ["subject", "metric", "value", "low", "high", "confidence", "resamples", "rows"]
    with pytest.raises(ValueError, match="there must be one"):
        read_interval(pl.concat([metrics, metrics]), "model", "roc_auc")


def test_slices_are_measured_one_by_one(holdout):
    frame, score = holdout
    found = run(frame, score).slices
    assert found.select("slice", "value").rows() == [
        ("site", None),
        ("site", "n"),
        ("site", "s"),
        ("code", "1"),
        ("code", "2"),
    ]
    assert found.filter(slice="site")["rows"].sum() == 600
    inside = (frame["site"] == "n").fill_null(False).to_numpy()
    row = found.filter(slice="site", value="n").row(0, named=True)
    y, s = frame["y"].to_numpy()[inside], score[inside]
    assert row["roc_auc"] == pytest.approx(roc_auc_score(y, s))
    assert row["brier"] == pytest.approx(brier_score_loss(y, s))
    assert (row["prevalence"], row["mean_score"]) == pytest.approx((y.mean(), s.mean()))


def test_a_slice_of_one_class_has_no_roc_auc():
    frame = pl.DataFrame({"y": [1, 1, 0, 1], "k": ["a", "a", "b", "b"]})
    found = measure_slices(frame, np.array([0.2, 0.4, 0.5, 0.5]), label="y", slices=["k"])
    assert found["roc_auc"].to_list() == [None, 0.5]


def test_a_missing_slice_column_is_named():
    with pytest.raises(ValueError, match=r"slices \['k'\] are not columns"):
        measure_slices(pl.DataFrame({"y": [0, 1]}), np.array([0.1, 0.2]), label="y", slices=["k"])


def test_blocks_are_cut_on_the_clock():
    time = pl.Series([datetime(1970, 1, 2, 0), datetime(1970, 1, 2, 23, 59), datetime(1970, 1, 3)])
    assert time_blocks(time, "1d").tolist() == [1, 1, 2]
    assert time_blocks(time, None) is None


def test_blocks_change_the_interval_but_not_the_estimate(holdout):
    single, daily = run(*holdout).metrics, run(*holdout, block="1d").metrics
    assert single["value"].equals(daily["value"])
    assert not single["low"].equals(daily["low"])
