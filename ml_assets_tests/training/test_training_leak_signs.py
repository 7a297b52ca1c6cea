"""Single signs of a leak, each against what chance or another library says."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from ml_assets.training.evaluation.leaks.alone import _lower
from ml_assets.training.evaluation.leaks.identifiers import _rank_correlation
from ml_assets.training.evaluation.leaks.own_outcomes import noise_ratio
from ml_assets.training.evaluation.leaks.signs import judge_features, name_doubts
from ml_assets.training.spec import EvaluationSpec


def judged(frame: pl.DataFrame, **options):
    """What is found among two thirds to learn from and a third to measure on; every column but y and t is a feature."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    frame = frame.with_columns(t=pl.lit(at) + pl.int_range(pl.len()) * timedelta(minutes=7))
    cut, evaluation = 2 * frame.height // 3, EvaluationSpec(leaks=options.pop("leaks", {}))
    bystanders = options.get("bystanders", ())
    features = [name for name in frame.columns if name not in ("y", "t", *bystanders)]
    found = judge_features(
        frame[:cut], frame[cut:], features=features, label="y", time="t", evaluation=evaluation, seed=0, **options
    )
    return [(finding.gate, finding.about) for finding in found.findings]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "rare", "classes", "number"])
@pytest.mark.parametrize("seed", range(3))
def test_fifty_honest_features_are_not_named(kind, seed):
    """Numbers, counts, texts, hours, drifting and missing values, and past rates of an entity."""
    random = np.random.default_rng(seed)
    n = 3_000
    entity, numbers = random.integers(0, 200, n), random.normal(size=(n, 40))
    numbers[:, 10:14] += np.sin(np.arange(n) / 300)[:, None]
    numbers[random.random(n) < 0.3, 5] = np.nan
    score = numbers[:, :5] @ random.normal(0, 0.6, 5) + random.normal(size=200)[entity]
    chance = random.random(n) < 1 / (1 + np.exp(-score - {"rare": -4.0}.get(kind, 0.0)))
    y = {
        "number": 10 * score + random.normal(0, 15, n),
        "classes": np.where(score > 1.5, "c", np.where(chance, "b", "a")),
    }
    outcome = y.get(kind, chance)
    hit = pl.Series(outcome if kind == "number" else outcome == "b" if kind == "classes" else chance).cast(pl.Float64)
    honest = pl.DataFrame({f"f{at}": numbers[:, at] for at in range(40)}).with_columns(
        y=pl.Series(outcome), entity=pl.Series(entity), hit=hit
    )
    earlier = pl.col("hit").shift(1).over("entity")
    honest = honest.with_columns(
        past=earlier.cum_sum().over("entity") / pl.int_range(pl.len()).over("entity").cast(pl.Float64),
        times=pl.int_range(pl.len()).over("entity"),
        hour=pl.Series(random.integers(0, 24, n)),
        step=pl.col("f1").round(0),
        city=pl.Series(random.choice(["a", "b", "c"], n)),
        many=pl.Series(random.integers(0, 900, n).astype(str)),
        words=pl.Series([" ".join(pair) for pair in random.choice(["red", "blue", "big", "small", "new"], (n, 2))]),
        sum=pl.col("f2") + pl.col("f3"),
        same=pl.col("f2").exp(),
        whether=pl.Series(random.random(n) < 0.2),
    ).with_columns(pl.col("past").fill_nan(None))
    task = {"classes": "multiclass", "number": "regression"}.get(kind, "binary")
    assert judged(honest.drop("hit"), task=task, bystanders=["entity"]) == []


def test_outcomes_of_the_very_rows_lie_closer_to_their_mean_than_chance_allows():
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(100), 20)
    likely = random.uniform(0.2, 0.8, 100)
    label = (random.random(2_000) < likely[group]).astype(float)
    own = np.bincount(group, weights=label) / 20
    assert noise_ratio(own[group], label) == pytest.approx(0.0, abs=1e-9)
    others = np.bincount(group, weights=(random.random(2_000) < likely[group]).astype(float)) / 20
    assert noise_ratio(others[group] + group * 1e-9, label) is None
    half = np.bincount(group[::2], weights=label[::2]) / 10  # half of the rows: half of the noise
    assert noise_ratio(half[group] + group * 1e-9, label) is None or noise_ratio(half[group], label) > 0.3


def test_the_lower_end_of_a_share_is_wilsons():
    share, rows = np.array([1.0, 0.98, 0.5]), np.array([30, 500, 7])
    expected = proportion_confint(share * rows, rows, alpha=0.04550026389635842, method="wilson")[0]
    assert _lower(share, rows) == pytest.approx(expected)


def test_the_rank_correlation_is_spearmans():
    random = np.random.default_rng(0)
    values, times = random.integers(0, 9, 60), random.normal(size=60)
    expected = abs(spearmanr(values, times).statistic)
    assert _rank_correlation(pl.Series(values), pl.Series(times)) == pytest.approx(expected)
    assert _rank_correlation(pl.Series([1.0] * 60), pl.Series(times)) == 0.0


@pytest.mark.parametrize(
    ("feature", "label", "doubted"),
    [
        ("returned_flag", "returned", True), ("was_late_v2", "is_late", True), ("returned", "was_returned", False),
        ("turned", "returned", False), ("plates", "is_late", False), ("y_hat", "y", False),
    ],
)  # fmt: skip
def test_a_name_that_holds_the_labels_is_a_doubt(feature, label, doubted):
    assert bool(name_doubts(feature, label)) == doubted


def drawn(seed: int = 0, n: int = 3_000) -> tuple[np.random.Generator, np.ndarray]:
    random = np.random.default_rng(seed)
    return random, random.random(n) < 0.4


def test_rows_that_are_alike_since_features_take_few_values_are_no_twins():
    random, y = drawn()
    frame = pl.DataFrame({"y": y, "one": random.integers(0, 40, 3_000), "other": random.integers(0, 40, 3_000)})
    assert judged(frame) == []


def test_a_series_tells_its_own_level_of_a_number_and_is_no_bystander():
    random, _ = drawn()
    series = random.integers(0, 20, 3_000)
    units = 100.0 * series + random.normal(0, 1, 3_000)
    frame = pl.DataFrame({"y": units, "noise": random.normal(size=3_000), "series": series})
    assert judged(frame, task="regression", bystanders=["series"]) == []
    assert judged(frame.with_columns(y=pl.col("y") > 1_000), bystanders=["series"]) == [("bystander", "series")]


def test_a_clock_may_grow_with_time_and_a_number_may_not():
    _, y = drawn()
    frame = pl.DataFrame({"y": y, "number": np.arange(3_000) * 2.0})
    assert judged(frame) == [("identifier", "number")]
    assert judged(frame, clocks=["number"]) == []


def test_a_pair_with_one_that_is_trusted_is_not_named():
    random, y = drawn()
    coin = random.integers(0, 2, 3_000)
    frame = pl.DataFrame({"y": y, "coin": coin, "other": coin ^ y})
    assert judged(frame) == [("pair", "coin, other")]
    assert judged(frame, leaks={"trusted": ["coin"]}) == []


def test_a_difference_of_two_numbers_that_go_together_is_looked_at():
    random, y = drawn()
    begin = random.uniform(0, 10_000, 3_000)
    frame = pl.DataFrame({"y": y, "begin": begin, "end": begin + np.where(y, 3.0, 1.0) + random.normal(0, 0.3, 3_000)})
    assert judged(frame) == [("pair", "begin, end")]
