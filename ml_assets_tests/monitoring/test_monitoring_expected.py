"""What decisions bring and the top of a list, estimated before labels are known."""

from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.monitoring.performance.estimators.expected import expect_top, expect_value, learn_chances
from ml_assets.monitoring.performance.watch import estimate_performance, realise_performance, watch_performance
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.metrics.measure import measure
from ml_assets.training.metrics.metric import TopOfList
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.spec import ModelSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
COLUMNS = {"probability": "score", "prediction": "prediction", "label": "fraud", "time": "at"}
PAYOFF = Payoff(true_positive="saved", false_positive=-5, false_negative="lost")
METRICS = ["value", "precision_at_200", "recall_at_5pct", "lift_at_5pct"]
SPEC = MonitoringSpec(estimated_metrics=METRICS, min_chunk_rows=100)


def every_outcome(chance):
    """Yield each possible outcome of the rows with its probability."""
    for outcome in product((0, 1), repeat=len(chance)):
        yield np.array(outcome), float(np.prod(np.where(outcome, chance, 1 - np.array(chance))))


CHANCES = st.lists(st.floats(0.05, 0.95), min_size=2, max_size=7)


@pytest.mark.slow
@given(CHANCES, st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_expected_value_is_the_mean_over_all_outcomes(chance, seed):
    rng = np.random.default_rng(seed)
    chance = np.array(chance)
    rows = pl.DataFrame({"saved": rng.uniform(1, 90, chance.size), "lost": rng.uniform(-90, 0, chance.size)})
    called = rng.integers(0, 2, chance.size)
    earned = [(PAYOFF.of_rows(rows).value(outcome, called), weight) for outcome, weight in every_outcome(chance)]
    mean = sum(value * weight for value, weight in earned)
    deviation = np.sqrt(sum(weight * (value - mean) ** 2 for value, weight in earned))
    assert expect_value(PAYOFF, rows, called, chance) == pytest.approx((mean, deviation))


@given(CHANCES, st.data())
@settings(max_examples=25, deadline=None)
def test_an_expected_top_is_made_of_the_means_over_all_outcomes(chance, data):
    score = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.7]), min_size=len(chance), max_size=len(chance))))
    end = data.draw(st.sampled_from(["1", "2", "40pct"]))
    precision, recall = (TopOfList.parse(f"{name}_at_{end}") for name in ("precision", "recall"))
    measured, positives = [], 0.0
    for outcome, weight in every_outcome(chance):
        measured.append((measure(rank_scores(outcome, score), [f"precision_at_{end}"])[f"precision_at_{end}"], weight))
        positives += weight * outcome.sum()
    mean = sum(value * weight for value, weight in measured)
    deviation = np.sqrt(sum(weight * (value - mean) ** 2 for value, weight in measured))
    assert expect_top(precision, score, np.array(chance)) == pytest.approx((mean, deviation), abs=1e-9)
    size = 0.4 * len(chance) if end == "40pct" else min(int(end), len(chance))
    assert expect_top(recall, score, np.array(chance))[0] == pytest.approx(mean * size / positives)


def test_recall_and_lift_vary_as_drawn_outcomes_do():
    rng = np.random.default_rng(3)
    chance = rng.beta(1, 6, 3_000)
    names = ["recall_at_10pct", "lift_at_10pct", "recall_at_100"]
    drawn = [measure(rank_scores(rng.random(3_000) < chance, chance), names) for _ in range(400)]
    for name in names:
        values = [values[name] for values in drawn]
        mean, deviation = expect_top(TopOfList.parse(name), chance, chance)
        assert mean == pytest.approx(np.mean(values), abs=4 * deviation / 20)
        assert deviation == pytest.approx(np.std(values), rel=0.15)


def test_chances_are_the_scores_unless_a_correction_holds_on_other_rows():
    rng = np.random.default_rng(0)
    score = rng.beta(1, 4, 20_000)
    asked = np.linspace(0.05, 0.5, 5)
    assert learn_chances((rng.random(20_000) < score).astype(int), score, asked) is asked
    halved = learn_chances((rng.random(20_000) < score / 2).astype(int), score, asked)
    assert halved == pytest.approx(asked / 2, abs=0.05)


def payments(rows: int, seed: int, start: datetime, *, rare: float = 12.0, told: float = 1.0) -> pl.DataFrame:
    """Rows of four weeks whose chance of fraud is known; ``score`` says that chance to the power of ``told``."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.5, rare, rows)
    amount = rng.uniform(10, 100, rows)
    return pl.DataFrame(
        {
            "at": [start + timedelta(days=28) * share for share in np.sort(rng.random(rows))],
            "chance": chance,
            "score": chance**told,
            "prediction": chance > 0.08,
            "saved": amount,
            "lost": -amount,
            "fraud": rng.random(rows) < chance,
        }
    )


def estimated(reference: pl.DataFrame, analysis: pl.DataFrame, spec: MonitoringSpec = SPEC) -> pl.DataFrame:
    return estimate_performance(reference, analysis, **COLUMNS, spec=spec, payoff=PAYOFF)


@pytest.mark.parametrize(("rare", "told"), [(12, 1), (30, 1), (12, 0.5)], ids=["as before", "rarer", "not calibrated"])
def test_estimates_come_close_to_what_the_known_chances_make_of_it(rare, told):
    reference = payments(20_000, 1, START - timedelta(days=30), told=told)
    analysis = payments(20_000, 2, START, rare=rare, told=told)
    found = estimated(reference, analysis.drop("fraud"))
    happened = realise_performance(
        analysis, **COLUMNS, spec=MonitoringSpec(min_chunk_rows=100), payoff=PAYOFF, more=METRICS
    )
    assert set(found["scope"]) == {"chunk", "period"}
    both = found.join(happened, on=["scope", "chunk_start", "metric"], suffix="_known")
    assert both.height == len(METRICS) * 5
    assert both.filter(~pl.col("value_known").is_between("lower", "upper")).is_empty()
    period = dict(found.filter(scope="period").select("metric", "value").iter_rows())
    top = analysis.sort("chance", descending=True)["chance"]
    # A correction learned from the reference knows its top as well as 200 rows can show it: a deviation of 0.03.
    assert period["precision_at_200"] == pytest.approx(top.head(200).mean(), abs=0.02 if told == 1 else 0.08)
    assert period["recall_at_5pct"] == pytest.approx(top.head(1_000).sum() / top.sum(), rel=0.1)
    pays = pl.when("prediction").then(
        pl.col("chance") * pl.col("saved") - 5 * (1 - pl.col("chance"))
    ).otherwise(pl.col("chance") * pl.col("lost"))  # fmt: skip
    truth = 1_000 * analysis.select(pays.mean()).item()
    row = found.filter(scope="period", metric="value")
    assert row["lower"].item() < truth < row["upper"].item()
    assert row["value"].item() == pytest.approx(truth, abs=120)


def test_bands_of_value_reach_below_zero_and_those_of_lift_above_one():
    reference, analysis = payments(6_000, 1, START - timedelta(days=30)), payments(6_000, 2, START)
    found = {row["metric"]: row for row in estimated(reference, analysis).filter(scope="period").iter_rows(named=True)}
    assert found["value"]["lower"] < found["value"]["value"] < 0
    assert found["lift_at_5pct"]["upper"] > found["lift_at_5pct"]["value"] > 1
    assert found["recall_at_5pct"]["upper"] <= 1


def test_rows_without_a_payoff_are_left_out_and_counted():
    reference, analysis = payments(6_000, 1, START - timedelta(days=30)), payments(6_000, 2, START)
    partly = analysis.with_columns(saved=pl.when(pl.int_range(pl.len()) % 3 > 0).then("saved"))
    kept = analysis.filter(pl.int_range(pl.len()) % 3 > 0)
    floors = MonitoringSpec(estimated_metrics=["value"], floors={"value": 1e9}, min_chunk_rows=1_000)
    found, expected = estimated(reference, partly, floors), estimated(reference, kept, floors)
    period = found.filter(scope="period").row(0, named=True)
    assert (period["rows"], period["without_payoff"]) == (6_000, 2_000)
    assert period["value"] == pytest.approx(expected.filter(scope="period")["value"].item())
    # About 1,500 rows a week, of which 1,000 have their payoffs: a week with fewer does not alert.
    weeks = found.filter(scope="chunk")
    assert weeks["alert"].to_list() == (weeks["rows"] - weeks["without_payoff"] >= 1_000).to_list()


MODEL = ModelSpec.model_validate(
    {
        "name": "fraud",
        "description": "Which payments are fraud.",
        "spine": {"table": "payments", "key": ["id"], "time": "at"},
        "label": {"column": "fraud", "known_at": "known_at"},
        "features": ["payment"],
        "split": {"validation": "14d", "holdout": "14d", "gap": "1d"},
        "payoff": {"true_positive": "saved", "false_positive": -5, "false_negative": "lost"},
        "evaluation": {"top": [0.05], "watched": "value"},
    }
)


@pytest.mark.slow  # ROC AUC and F1 are NannyML's
def test_a_model_with_payoffs_and_tops_has_them_estimated():
    reference, analysis = payments(4_000, 1, START - timedelta(days=30)), payments(4_000, 2, START)

    def metrics(reference: pl.DataFrame) -> list[str]:
        found = watch_performance(reference, analysis, model=MODEL, features=[], spec=MonitoringSpec())
        return found.filter(kind="estimated")["metric"].unique().sort().to_list()

    tops = ["lift_at_5pct", "precision_at_5pct", "recall_at_5pct"]
    assert metrics(reference) == ["f1", *tops[:2], "recall_at_5pct", "roc_auc", "value"]
    # A reference from before the payoffs were declared cannot say how far estimates of value are off.
    assert metrics(reference.drop("lost")) == ["f1", *tops, "roc_auc"]


def test_what_cannot_be_estimated_is_refused_by_a_list_of_what_can():
    with pytest.raises(ValueError, match=r"estimated_metrics: brier.*f1, .*value, precision_at_<k>"):
        MonitoringSpec(estimated_metrics=["brier"])
    with pytest.raises(ValueError, match="value cannot be estimated for task regression; choose from mae, rmse"):
        MonitoringSpec(estimated_metrics=["value"]).estimated("regression")
