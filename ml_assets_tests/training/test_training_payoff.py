"""What decisions are worth, by hand and by brute force."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.monitoring.performance.realised import realise_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.limits import tolerance
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.training.evaluation.evaluate import BASELINE, MODEL, evaluate, read_interval
from ml_assets.training.fit import fit_model
from ml_assets.training.metrics.bootstrap import bootstrap
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.metrics.payoffs import NEVER, best_value_threshold
from ml_assets.training.promotion.comparison import compare_on_same_rows
from ml_assets.training.spec import EvaluationSpec, ModelSpec, PromotionSpec, TrainingSpec
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import decided_from

PAYOFF = Payoff(true_positive=80, false_positive=-5, false_negative=-80)
OF_ROWS = Payoff(true_positive="saved", false_positive=-5, false_negative="lost", true_negative=0)


def declared(**changes) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "fraud",
            "description": "Which payments are fraud.",
            "spine": {"table": "payments", "key": ["payment"], "time": "at"},
            "label": {"column": "fraud", "known_at": "known_at"},
            "features": ["payments"],
            "split": {"validation": "14d", "holdout": "30d", "gap": "2d"},
            **changes,
        }
    )


def test_value_by_hand_is_per_thousand_rows():
    label, score = np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.8, 0.1])
    rows = pl.DataFrame({"saved": [80.0, 40, 1, 1], "lost": [-80.0, -10, 1, 1]})
    task = find_task("binary")
    constant = task.beside(task.pair(label, score, 0.5), rows, PAYOFF)
    by_row = task.beside(task.pair(label, score, 0.5), rows, OF_ROWS)
    assert measure(constant, ["value"])["value"] == 1000 * (80 - 80 - 5 + 0) / 4
    assert measure(by_row, ["value"])["value"] == 1000 * (80 - 10 - 5 + 0) / 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.3000001, 0.7]), st.integers(1, 50), st.integers(-50, -1)),
        min_size=1,
        max_size=12,
    )
)
def test_no_threshold_brings_more_than_the_chosen(rows):
    label, score = np.array([y for y, *_ in rows]), np.array([s for _, s, *_ in rows])
    frame = pl.DataFrame({"saved": [float(a) for *_, a, _ in rows], "lost": [float(b) for *_, b in rows]})
    payoffs = OF_ROWS.of_rows(frame)
    chosen = best_value_threshold(label, score, payoffs)
    possible = {at: payoffs.value(label, score >= at) for at in [*np.unique(score), NEVER]}
    best = max(possible.values())
    assert possible[chosen] == pytest.approx(best)
    assert chosen == max(at for at, value in possible.items() if value == pytest.approx(best, abs=1e-9))


def test_where_no_call_pays_nobody_is_called():
    label, score = np.array([0, 0, 1]), np.array([0.9, 1.0, 0.1])
    threshold = best_value_threshold(label, score, PAYOFF.of_rows(pl.DataFrame({"x": [1, 2, 3]})))
    assert threshold == 0.1  # to call all is worth it: 80 + 80 for 2 x 5
    dear = Payoff(true_positive=1, false_positive=-500, false_negative=0)
    threshold = best_value_threshold(label, score, dear.of_rows(pl.DataFrame({"x": [1, 2, 3]})))
    assert threshold == NEVER
    assert not (score >= threshold).any()


def test_calibrated_scores_are_called_where_the_odds_pay():
    # Elkan, "The foundations of cost-sensitive learning", 2001: call from (TN - FP) / (TN - FP + TP - FN) on.
    rng = np.random.default_rng(0)
    score = rng.random(400_000)
    label = rng.random(400_000) < score
    payoff = Payoff(true_positive=10, false_positive=-5, false_negative=-10, true_negative=0)
    payoffs = payoff.of_rows(pl.DataFrame({"x": np.zeros(len(score))}))
    assert best_value_threshold(label, score, payoffs) == pytest.approx(5 / 25, abs=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, None, 3.0], "1 of 3 values of column 'saved' are null or no finite number, the first in the row 1"),
        ([1.0, 2.0, float("nan")], r"first in the row 2 \(payment 12"),
        ([1.0, float("inf"), None], "2 of 3 values"),
        (["a", "b", "c"], "it must hold numbers"),
    ],
)
def test_a_payoff_that_is_no_number_is_an_error_that_says_where(values, message):
    rows = pl.DataFrame({"payment": [10, 11, 12], "saved": values, "lost": [1.0, 1, 1]}, strict=False)
    with pytest.raises(ValueError, match=message) as raised:
        OF_ROWS.of_rows(rows)
    assert str(raised.value).startswith("payoff.true_positive: ")


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"payoff\.true_positive: there is no column 'saved'"):
        OF_ROWS.of_rows(pl.DataFrame({"payment": [1]}))


@pytest.mark.parametrize(
    ("payoff", "message"),
    [
        ({"true_positive": 1, "false_positive": -1, "false_negative": 2}, "true_positive .1. must be more than"),
        ({"true_positive": 1, "false_positive": 0, "false_negative": 0}, "true_negative .0. must be more than"),
        ({"true_positive": float("nan"), "false_positive": -1, "false_negative": 0}, "finite"),
        ({"true_positive": 1, "false_positive": -1}, "false_negative"),
    ],
)
def test_payoffs_that_leave_nothing_to_decide_are_refused(payoff, message):
    with pytest.raises(ValueError, match=message):
        declared(payoff=payoff)


@pytest.mark.parametrize("changes", [{"floors": {"value": 1}}, {"promotion": {"metric": "value"}}])
def test_value_needs_payoffs(changes):
    with pytest.raises(ValueError, match="value needs payoffs: declare `payoff`"):
        declared(**changes)
    spec = declared(**changes, payoff=PAYOFF.model_dump())
    assert spec.extra_metrics == ["value"]


def test_payoffs_are_for_a_yes_or_no():
    with pytest.raises(ValueError, match="payoff: is for the task binary, not regression"):
        declared(task="regression", payoff=PAYOFF.model_dump())


def test_what_evidence_goes_by_is_the_search_metric_unless_declared():
    assert declared(metric="average_precision").watched_metric == "average_precision"
    spec = declared(evaluation={"watched": "value", "top": [100, 0.05]}, payoff=OF_ROWS.model_dump())
    assert spec.watched_metric == "value"
    assert spec.extra_metrics[:3] == ["value", "precision_at_100", "recall_at_100"]
    assert spec.row_columns == ["saved", "lost"]


def scored(seed=0, size=600):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) ** 3
    return pl.DataFrame(
        {
            "at": pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 30), "1h", eager=True)[:size],
            "score": truth,
            "fraud": (rng.random(size) < truth).astype(int),
            "saved": rng.uniform(10, 100, size),
            "lost": -rng.uniform(10, 100, size),
        }
    )


def test_a_holdout_is_valued_beside_the_baseline_at_its_best():
    rows = scored()
    measured = evaluate(
        rows, rows["score"].to_numpy(), np.full(600, 0.2), label="fraud", time="at", threshold=0.3, slices=[],
        evaluation=EvaluationSpec(resamples=100), seed=0, metrics=["value"], payoff=OF_ROWS,
    )  # fmt: skip
    called, positive = rows["score"] >= 0.3, rows["fraud"] == 1
    by_hand = (rows["saved"].filter(called & positive).sum() + rows["lost"].filter(~called & positive).sum()
               - 5 * (called & ~positive).sum())  # fmt: skip
    assert measured.values["value"] == pytest.approx(by_hand / 600 * 1000)
    all_called = rows["saved"].filter(positive).sum() - 5 * (~positive).sum()
    none_called = rows["lost"].filter(positive).sum()
    baseline = read_interval(measured.metrics, BASELINE, "value")
    assert baseline.estimate == pytest.approx(max(all_called, none_called) / 600 * 1000)
    assert read_interval(measured.metrics, MODEL, "value").low < measured.values["value"]


def test_promotion_compares_values_in_pairs():
    rows = scored()
    label, good = rows["fraud"].to_numpy(), rows["score"].to_numpy()
    payoffs = OF_ROWS.of_rows(rows)
    blind = np.random.default_rng(1).random(600)
    about = {"promotion": PromotionSpec(metric="value", resamples=200), "seed": 0, "rows": rows, "payoff": OF_ROWS}
    better = compare_on_same_rows(label, good, blind, challenger_threshold=0.1, champion_threshold=0.1, **about)
    assert better.estimate == pytest.approx(payoffs.value(label, good >= 0.1) - payoffs.value(label, blind >= 0.1))
    assert better.low > 0
    same = compare_on_same_rows(label, good, good, challenger_threshold=0.1, champion_threshold=0.1, **about)
    assert (same.low, same.high) == (0, 0)


def test_resampled_values_are_those_of_resampled_rows():
    rows = scored(size=50)
    label, score = rows["fraud"].to_numpy(), rows["score"].to_numpy()
    task = find_task("binary")
    ranked = task.beside(task.pair(label, score, 0.3), rows, OF_ROWS)
    picks = np.random.default_rng(0).integers(0, 50, 50)
    drawn = rows[picks]
    alone = OF_ROWS.of_rows(drawn).value(drawn["fraud"].to_numpy(), drawn["score"].to_numpy() >= 0.3)
    assert measure(ranked, ["value"], np.bincount(picks, minlength=50))["value"] == pytest.approx(alone)
    assert len(bootstrap({"": ranked}, resamples=100, seed=0, metrics=["value"]).samples["", "value"]) == 100


def test_realised_value_is_that_of_the_decisions_that_were_made():
    rows = scored().with_columns(prediction=pl.col("score") >= 0.6)
    unknown = rows.with_row_index().with_columns(
        pl.when(pl.col("index") < 500).then("fraud").alias("fraud"),
        pl.when(pl.col("index") < 500).then("saved").alias("saved"),  # not known before the label is
    )
    table = realise_performance(
        unknown, probability="score", prediction="prediction", label="fraud", time="at",
        spec=MonitoringSpec(floors={"value": 1e6, "precision_at_100": 0.01}),
        more=["value", "precision_at_100"], payoff=OF_ROWS,
    )  # fmt: skip
    period = {row["metric"]: row for row in table.filter(scope="period").iter_rows(named=True)}
    known = rows.head(500)
    value = OF_ROWS.of_rows(known).value(known["fraud"].to_numpy(), known["prediction"].to_numpy())
    assert period["value"]["value"] == pytest.approx(value)
    assert (period["value"]["missing"], period["value"]["alert"], period["precision_at_100"]["alert"]) == (
        100,
        True,
        False,
    )


def test_a_threshold_can_be_read_back_from_decisions():
    rows = scored().with_columns(prediction=pl.col("score") >= 0.6)
    assert ((rows["score"] >= decided_from(rows)) == rows["prediction"]).all()
    assert decided_from(rows.with_columns(prediction=pl.lit(False))) == NEVER


def test_a_fall_of_value_is_tolerated_as_a_share_of_it():
    policy = RetrainingSpec(max_drop=0.02)
    assert tolerance(-5_000, policy, "binary", "value") == 100
    assert tolerance(12, policy, "binary", "lift_at_100") == pytest.approx(0.24)
    assert tolerance(0.8, policy, "binary", "roc_auc") == 0.02


def test_the_final_fit_takes_the_threshold_that_brings_most_on_validation():
    rng = np.random.default_rng(3)
    rows = [
        pl.DataFrame({"a": rng.normal(size=1_000)}).with_columns(
            y=pl.Series(rng.random(1_000) < 0.2), saved=pl.lit(80.0), lost=pl.lit(-80.0)
        )
        for _ in range(2)
    ]
    training = TrainingSpec(threads=1, max_rounds=20)
    about = {"features": ["a"], "label": "y", "parameters": {"max_depth": 2}, "metric": "roc_auc", "seed": 0}
    model = fit_model(*rows, training=training, payoff=OF_ROWS, **about)
    score = model.raw_scores(model.encoding.encode(rows[1]))
    label = rows[1]["y"].to_numpy()
    assert model.threshold == best_value_threshold(label, score, OF_ROWS.of_rows(rows[1]))
    assert model.threshold < fit_model(*rows, training=training, **about).threshold + 1e-9
