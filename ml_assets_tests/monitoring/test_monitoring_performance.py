import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from ml_assets.monitoring.performance.watch import estimate_performance, realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.metrics.payoff import Payoff

pytestmark = pytest.mark.slow

START = datetime(2021, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
COLUMNS = {"probability": "score", "prediction": "decided", "label": "bought", "time": "at"}


def scored(rows: int, seed: int, a: float = 1.2, b: float = 3.0, start: datetime = START) -> pl.DataFrame:
    """Outcomes drawn from the score itself: a perfectly calibrated model, over four weeks."""
    generator = np.random.default_rng(seed)
    score = generator.beta(a, b, rows)
    return pl.DataFrame(
        {
            "at": [start + 4 * WEEK * share for share in np.sort(generator.random(rows))],
            "score": score,
            "decided": score > 0.3,
            "bought": generator.random(rows) < score,
        }
    )


REFERENCE = scored(6000, seed=1, start=START - 5 * WEEK)
ANALYSIS = scored(8000, seed=2)


def estimated(analysis, reference=REFERENCE, **fields) -> pl.DataFrame:
    return estimate_performance(reference, analysis, **COLUMNS, spec=MonitoringSpec(**fields))


def realised(analysis, **fields) -> pl.DataFrame:
    return realise_performance(analysis, **COLUMNS, spec=MonitoringSpec(**fields))


def of_period(found: pl.DataFrame, metric: str) -> float | None:
    return found.filter(scope="period", metric=metric)["value"].item()


def week(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    start = START + number * WEEK
    return frame.filter(pl.col("at") >= start, pl.col("at") < start + WEEK)


@pytest.mark.parametrize(
    ("a", "b"), [(1.2, 3.0), (0.5, 3.0), (4.0, 6.0)], ids=["same scores", "more certain scores", "less certain scores"]
)
def test_estimates_of_a_calibrated_score_come_close_to_what_happens(a, b):
    # With 20,000 rows on either side the standard error of the difference in ROC AUC is about 0.005.
    reference, analysis = scored(20_000, seed=5, start=START - 5 * WEEK), scored(20_000, seed=6, a=a, b=b)
    found = estimated(analysis, reference, estimated_metrics=["roc_auc", "f1", "average_precision"])
    label, score, decided = (analysis[name].to_numpy() for name in ("bought", "score", "decided"))
    assert of_period(found, "roc_auc") == pytest.approx(metrics.roc_auc_score(label, score), abs=0.02)
    assert of_period(found, "f1") == pytest.approx(metrics.f1_score(label, decided), abs=0.02)
    precision = metrics.average_precision_score(label, score)
    assert of_period(found, "average_precision") == pytest.approx(precision, abs=0.03)


def test_estimates_calibrate_a_score_that_is_no_probability():
    squared = [frame.with_columns(pl.col("score") ** 3) for frame in (REFERENCE, ANALYSIS)]
    found = estimated(squared[1], reference=squared[0])
    auc = metrics.roc_auc_score(ANALYSIS["bought"].to_numpy(), ANALYSIS["score"].to_numpy())
    assert of_period(found, "roc_auc") == pytest.approx(auc, abs=0.02)


def test_estimates_have_a_band_a_limit_and_every_chunk():
    found = estimated(ANALYSIS, floors={"roc_auc": 0.99})
    assert dict(found.schema) == {
        "chunk_start": pl.Datetime("us", "UTC"),
        "chunk_end": pl.Datetime("us", "UTC"),
        "rows": pl.Int64,
        "scope": pl.String,
        "kind": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "lower": pl.Float64,
        "upper": pl.Float64,
        "threshold": pl.Float64,
        "missing": pl.Int64,
        "known_share": pl.Float64,
        "known_mean_score": pl.Float64,
        "unknown_mean_score": pl.Float64,
        "score_distance": pl.Float64,
        "without_payoff": pl.Int64,
        "past_errors": pl.Int64,
        "margin": pl.Float64,
        "alert": pl.Boolean,
        "horizon": pl.Int64,
    }
    assert found.filter(pl.col("lower") < pl.col("value"), pl.col("value") < pl.col("upper")).height == 10
    auc = found.filter(metric="roc_auc", scope="chunk").sort("chunk_start")
    assert auc["chunk_start"].to_list() == [START + i * WEEK for i in range(4)]
    assert auc["rows"].to_list() == [week(ANALYSIS, i).height for i in range(4)]
    assert auc["threshold"].to_list() == [0.99] * 4
    assert auc["alert"].all()
    f1 = found.filter(metric="f1")
    assert f1["threshold"].null_count() == f1.height
    assert not f1["alert"].any()


def test_a_band_narrows_with_the_square_root_of_rows():
    # Less what is added for errors known: that does not depend on the rows of this period.
    noise = pl.col("upper") - pl.col("lower") - 2 * pl.col("margin")
    found = estimated(ANALYSIS).filter(metric="roc_auc").with_columns(width=noise)
    narrowed = found["width"] * found["rows"].sqrt()
    assert narrowed.to_list() == pytest.approx([narrowed[0]] * 5, rel=1e-6)


def test_only_values_below_the_floor_alert():
    worse = ANALYSIS.with_columns(pl.when(pl.col("at") < START + WEEK).then(0.5).otherwise("score").alias("score"))
    found = realised(worse, floors={"roc_auc": 0.6}).filter(metric="roc_auc", scope="chunk").sort("chunk_start")
    assert found["value"][0] == pytest.approx(0.5)
    assert found["alert"].to_list() == [True, False, False, False]


def test_a_small_chunk_never_alerts():
    few = ANALYSIS.filter((pl.col("at") >= START + WEEK) | (pl.int_range(pl.len()) < 100))
    for found in (estimated(few, floors={"roc_auc": 0.99}), realised(few, floors={"roc_auc": 0.99})):
        chunks = found.filter(metric="roc_auc", scope="chunk").sort("chunk_start")
        assert chunks["rows"][0] == 100
        assert chunks["alert"].to_list() == [False, True, True, True]


def test_estimates_repeat_and_leave_the_global_generator_alone():
    np.random.seed(11)
    expected = np.random.random(3)
    np.random.seed(11)
    runs = [estimated(ANALYSIS, estimated_metrics=["average_precision"]) for _ in range(2)]
    assert np.random.random(3).tolist() == expected.tolist()
    assert runs[0].equals(runs[1])
    other = estimated(ANALYSIS, estimated_metrics=["average_precision"], seed=1)
    assert not runs[0]["upper"].equals(other["upper"])


def test_reference_rows_without_a_label_are_left_out():
    hidden = scored(3000, seed=9, a=9, b=1, start=START - 5 * WEEK).with_columns(bought=pl.lit(None, pl.Boolean))
    assert estimated(ANALYSIS, reference=pl.concat([REFERENCE, hidden])).equals(estimated(ANALYSIS))


@pytest.mark.parametrize("number", [None, 0, 3])
def test_realised_metrics_agree_with_scikit_learn(number):
    found = realised(ANALYSIS)
    if number is None:
        rows, found = ANALYSIS, found.filter(scope="period")
    else:
        rows, found = week(ANALYSIS, number), found.filter(scope="chunk", chunk_start=START + number * WEEK)
    label, score = rows["bought"].to_numpy(), rows["score"].to_numpy()
    values = dict(found.select("metric", "value").iter_rows())
    error = values.pop("calibration_error")
    assert values == pytest.approx(
        {
            "roc_auc": metrics.roc_auc_score(label, score),
            "average_precision": metrics.average_precision_score(label, score),
            "log_loss": metrics.log_loss(label, score),
            "brier": metrics.brier_score_loss(label, score),
            "f1": metrics.f1_score(label, rows["decided"].to_numpy()),
        }
    )
    tenths = np.array_split(np.argsort(score), 10)
    by_tenth = [abs(label[tenth].mean() - score[tenth].mean()) for tenth in tenths]
    assert error == pytest.approx(np.mean(by_tenth), abs=2e-3)
    assert found["rows"].unique().to_list() == [rows.height]


def test_rows_without_a_label_are_left_out_of_realised_performance():
    known = pl.int_range(pl.len()) % 3 > 0
    masked = realised(ANALYSIS.with_columns(bought=pl.when(known).then("bought")))
    dropped = realised(ANALYSIS.filter(known))
    own = ["chunk_end", "missing", "known_share", "known_mean_score", "unknown_mean_score", "score_distance"]
    assert masked.drop(own).equals(dropped.drop(own))
    hidden = masked.filter(scope="chunk", metric="roc_auc").sort("chunk_start")["missing"].to_list()
    expected = [week(ANALYSIS.filter(~known), i).height for i in range(4)]
    assert hidden == expected
    assert masked.filter(scope="period")["missing"].unique().to_list() == [sum(expected)]
    assert dropped["missing"].unique().to_list() == [0]
    assert masked.filter(scope="period")["rows"][0] == ANALYSIS.select(known.sum()).item()


def test_a_chunk_of_one_class_has_no_auc_and_raises_nothing():
    one = ANALYSIS.with_columns(bought=pl.when(pl.col("at") < START + WEEK).then(False).otherwise("bought"))
    first = realised(one, floors={"roc_auc": 0.9}).filter(chunk_start=START, scope="chunk")
    values = dict(first.select("metric", "value").iter_rows())
    assert values["roc_auc"] is None
    assert values["average_precision"] is None
    label, score = np.zeros(week(one, 0).height), week(one, 0)["score"].to_numpy()
    assert values["log_loss"] == pytest.approx(metrics.log_loss(label, score, labels=[0, 1]))
    assert not first["alert"].any()


def test_a_chunk_and_a_period_without_labels_have_no_values():
    late = ANALYSIS.with_columns(bought=pl.when(pl.col("at") < START + 3 * WEEK).then("bought"))
    found = realised(late)
    last = found.filter(chunk_start=START + 3 * WEEK)
    assert last["rows"].unique().to_list() == [0]
    assert last["value"].null_count() == last.height == 6
    nothing = realised(ANALYSIS.with_columns(bought=pl.lit(None, pl.Boolean)), floors={"roc_auc": 0.9})
    assert nothing["value"].null_count() == nothing.height == 6 * 5
    assert not nothing["alert"].any()


def test_ceilings_alert_above():
    found = realised(ANALYSIS, ceilings={"brier": 0.001, "log_loss": 10.0}).filter(scope="period")
    assert dict(found.filter("alert").select("metric", "threshold").iter_rows()) == {"brier": 0.001}


def test_labels_and_predictions_may_be_numbers():
    numbers = ANALYSIS.with_columns(pl.col("bought").cast(pl.Int8), pl.col("decided").cast(pl.Float64))
    assert realised(numbers).equals(realised(ANALYSIS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit(1.5).alias("score"), "8000 of 8000 values of 'score' are no probability"),
        (pl.lit(None, pl.Float64).alias("score"), "are no probability"),
        (pl.lit(float("nan")).alias("score"), "are no probability"),
        (pl.lit(2).alias("decided"), "values of 'decided' are neither 0 nor 1"),
        (pl.lit(0.5).alias("bought"), "values of 'bought' are neither 0 nor 1"),
    ],
)
def test_wrong_values_are_one_clear_error(change, message):
    wrong = ANALYSIS.with_columns(change)
    with pytest.raises(ValueError, match=message):
        realised(wrong)


@pytest.mark.parametrize("label", [True, None])
def test_a_reference_of_one_class_is_an_error(label):
    with pytest.raises(ValueError, match="fewer than two classes"):
        estimated(ANALYSIS, reference=REFERENCE.with_columns(bought=pl.lit(label, pl.Boolean)))


def test_other_tasks_are_refused_by_name():
    with pytest.raises(ValueError, match="unknown task 'ranking': known are binary, multiclass, regression"):
        realise_performance(ANALYSIS, **COLUMNS, spec=MonitoringSpec(), task="ranking")


def test_a_payoff_that_is_not_known_leaves_its_row_out_of_value_alone():
    payoff = Payoff(true_positive="amount", false_positive=-1.0, false_negative=0.0)
    numbered = ANALYSIS.with_row_index().with_columns(amount=pl.col("index") % 7 + 1.0)
    whole, unknown = numbered.drop("index"), pl.col("index").is_in([5, 11, 7_990])
    gaps = numbered.with_columns(amount=pl.when(~unknown).then("amount")).with_columns(
        amount=pl.when(pl.col("index") == 17).then(math.nan).otherwise("amount"),
        bought=pl.when(pl.col("index") != 5).then("bought"),
    )
    found = realise_performance(gaps.drop("index"), **COLUMNS, spec=MonitoringSpec(), payoff=payoff, more=["value"])
    whole = whole.with_columns(bought=gaps["bought"])
    expected = realise_performance(whole, **COLUMNS, spec=MonitoringSpec(), payoff=payoff, more=["value"])
    other = pl.col("metric") != "value"
    assert found.filter(other).equals(expected.filter(other))
    assert found.filter(other)["without_payoff"].null_count() == found.filter(other).height
    known = gaps.drop_nulls(["bought", "amount"]).filter(pl.col("amount").is_not_nan())
    decided = pl.col("decided")
    earned = pl.when(decided & pl.col("bought")).then("amount").when(decided).then(-1.0).otherwise(0.0)
    of_value = found.filter(metric="value", scope="period").row(0, named=True)
    assert of_value["value"] == pytest.approx(1_000 * known.select(earned.mean()).item())
    assert (of_value["without_payoff"], of_value["rows"]) == (3, 7_999)  # the fourth has no label
    assert found.filter(metric="value", scope="chunk")["without_payoff"].sum() == 3
    none = realise_performance(
        gaps.with_columns(amount=pl.lit(None, pl.Float64)), **COLUMNS, payoff=payoff, more=["value"],
        spec=MonitoringSpec(floors={"value": 1e9}),
    ).filter(metric="value", scope="period")  # fmt: skip
    assert none.select("value", "without_payoff", "alert").row(0) == (None, 7_999, False)
