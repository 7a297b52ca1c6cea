"""Inputs against relation: cases worked out by hand, and what must hold of any."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from ml_assets.diagnosis.rows import ComparedRows, compare_rows
from ml_assets.diagnosis.shift.decomposition import MeasuredPeriods, decompose, part_of
from ml_assets.diagnosis.shift.harm import explained_share, measure_harm
from ml_assets.diagnosis.shift.moved import moved_features, shifts
from ml_assets.diagnosis.shift.overlap import Overlap, effective_rows, estimate_overlap
from ml_assets.diagnosis.shift.units import KNOWN_MAPS, recognise_unit
from ml_assets.diagnosis.shift.within import change_within
from ml_assets.monitoring.inputs import Features
from ml_assets.training.metrics.ranked_scores import rank_scores
from ml_assets.training.tasks import find_task
from ml_assets.training.tasks.columns import ScoredColumns

# Where x is "l" the model loses 0.1, where it is "h" 0.3; then half the rows are "h", now three in four.
THEN = pl.DataFrame({"x": ["l"] * 50 + ["h"] * 50})
NOW = pl.DataFrame({"x": ["l"] * 25 + ["h"] * 75})
P, Q = {"l": 0.5, "h": 0.5}, {"l": 0.25, "h": 0.75}


def compared(
    then: list[float], now: list[float], before: pl.DataFrame = THEN, later: pl.DataFrame = NOW
) -> ComparedRows:
    block = np.arange(100)
    return compare_rows(
        before, later, losses=(np.array(then), np.array(now)), blocks=(block, block), features=before.columns
    )


def known_overlap() -> Overlap:
    """q / (p + q) of each row, by the shares above."""
    chance = {x: Q[x] / (P[x] + Q[x]) for x in P}
    return Overlap(*(np.array([chance[x] for x in frame["x"]]) for frame in (THEN, NOW)))


def shared_mean(loss: dict[str, float]) -> float:
    weight = {x: P[x] * Q[x] / (P[x] + Q[x]) for x in P}
    return sum(weight[x] * loss[x] for x in P) / sum(weight.values())


@pytest.mark.parametrize("now_on_high", [0.3, 0.7], ids=["the inputs alone", "the relation too"])
def test_the_harm_of_a_shift_is_what_the_decomposition_gives_by_hand(now_on_high):
    then, now = {"l": 0.1, "h": 0.3}, {"l": 0.1, "h": now_on_high}
    rows = compared([then[x] for x in THEN["x"]], [now[x] for x in NOW["x"]])
    change = sum(Q[x] * now[x] for x in Q) - sum(P[x] * then[x] for x in P)
    by_hand = change - (shared_mean(now) - shared_mean(then))
    assert measure_harm(rows, resamples=5, seed=0)["x"].value == pytest.approx(by_hand)


def test_a_shift_into_values_that_were_not_there_before_has_all_of_the_change():
    before = pl.DataFrame({"x": [float(i) for i in range(100)]})
    rows = compared([0.1] * 100, [0.6] * 100, before, before + 1000.0)
    assert measure_harm(rows, resamples=5, seed=0)["x"].value == pytest.approx(0.5)


def test_values_beyond_the_reference_and_missing_ones_are_bins_of_their_own():
    before = pl.DataFrame({"x": [float(i) for i in range(100)]})
    values = [float(i) for i in range(50)] + [1e6] * 25 + [None] * 25
    loss = np.array([0.1] * 50 + [0.6] * 50)
    rows = compared([0.1] * 100, loss.tolist(), before, pl.DataFrame({"x": values}))
    assert measure_harm(rows, resamples=5, seed=0)["x"].value == pytest.approx(loss.mean() - 0.1)


def test_the_parts_are_those_of_metrics_under_the_weights_and_add_up():
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, 100) for _ in range(2)]
    scores = [rng.random(100) for _ in range(2)]
    overlap = known_overlap()
    rows = compared([0.0] * 100, [0.0] * 100)
    ranked = [rank_scores(label, score) for label, score in zip(labels, scores, strict=True)]
    measured = MeasuredPeriods(ranked[0], ranked[1], "roc_auc")
    parts = decompose(rows, measured, overlap, resamples=20, seed=0)
    plain = [roc_auc_score(label, score) for label, score in zip(labels, scores, strict=True)]
    weighed = [
        roc_auc_score(label, score, sample_weight=weight)
        for label, score, weight in zip(labels, scores, overlap.common, strict=True)
    ]
    # A fall is above 0, and more of this metric is better.
    assert parts.relation.value == pytest.approx(weighed[0] - weighed[1])
    assert parts.more_or_less.value == pytest.approx(plain[0] - weighed[0])
    assert parts.unlike_before.value == pytest.approx(weighed[1] - plain[1])
    assert parts.inputs.value + parts.relation.value == pytest.approx(parts.fall.value)
    assert parts.fall.value == pytest.approx(plain[0] - plain[1])


def test_the_common_share_is_1_for_equal_inputs_and_0_for_those_that_share_none():
    assert Overlap(np.full(5, 0.5), np.full(9, 0.5)).share == pytest.approx(1.0)
    assert Overlap(np.zeros(5), np.ones(9)).share == pytest.approx(0.0)
    assert known_overlap().share == pytest.approx(2 * sum(P[x] * Q[x] / (P[x] + Q[x]) for x in P))


def test_effective_rows_are_all_of_equal_weights_and_one_of_a_single_one():
    assert effective_rows(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_rows(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_rows(np.zeros(3)) == 0.0


def test_the_classifier_finds_how_much_two_normal_distributions_have_in_common():
    rng = np.random.default_rng(0)
    frames = [pl.DataFrame({"x": rng.normal(shift, 1, 4_000)}) for shift in (0.0, 1.0)]
    block, loss = np.arange(4_000) % 40, np.zeros(4_000)
    rows = compare_rows(*frames, losses=(loss, loss), blocks=(block, block), features=["x"])
    x = np.linspace(-6, 7, 20_001)
    p, q = (np.exp(-((x - shift) ** 2) / 2) / np.sqrt(2 * np.pi) for shift in (0.0, 1.0))
    share = 2 * np.sum(p * q / (p + q)) * (x[1] - x[0])
    assert estimate_overlap(rows, seed=0).share == pytest.approx(share, abs=0.03)


def test_the_relation_within_a_slice_is_compared_at_the_same_inputs():
    then, now = {"l": 0.1, "h": 0.3}, {"l": 0.2, "h": 0.7}
    rows = compared([then[x] for x in THEN["x"]], [now[x] for x in NOW["x"]])
    every = np.ones(100, bool), np.ones(100, bool)
    within = change_within(rows, known_overlap(), every)
    assert within is not None
    assert within.relation == pytest.approx(shared_mean(now) - shared_mean(then))
    high = tuple(frame["x"].to_numpy() == "h" for frame in (THEN, NOW))
    alone = change_within(rows, known_overlap(), (high[0], high[1]))
    assert alone is not None
    assert (alone.relation, alone.overlap) == (pytest.approx(0.4), pytest.approx(1.0))


def test_an_interval_is_as_wide_as_the_spread_of_the_resamples():
    part = part_of(1.0, np.array([0.0, 2.0, np.nan]), blocks=10**6, confidence=0.95)
    assert part.high - 1.0 == pytest.approx(1.959964 * np.sqrt(2), rel=1e-4)
    assert not part.is_fall
    assert part_of(1.0, np.array([1.0, np.nan]), blocks=10).low == -np.inf


@pytest.mark.parametrize("known", KNOWN_MAPS, ids=lambda known: known.name)
def test_each_known_change_of_units_is_recognised_although_values_moved_a_little(known):
    rng = np.random.default_rng(1)
    before, later = rng.gamma(3, 5, 3_000) + 5, rng.gamma(3, 5.1, 3_000) + 5.2
    change = recognise_unit(before, known.slope * later + known.offset)
    assert change is not None
    assert (change.slope, change.offset) == (known.slope, known.offset)
    assert change.undo(known.slope * later + known.offset) == pytest.approx(later)


@pytest.mark.parametrize(
    "later",
    [
        lambda x: x,
        lambda x: x + 4,
        lambda x: x * 1.3,
        lambda x: x - 12,
        lambda x: -x,
        lambda x: np.exp(x / 5),
        lambda x: np.round(x / 20),
    ],
    ids=["the same", "warmer", "more", "colder", "turned", "bent", "rounded"],
)
def test_another_shift_is_no_change_of_units(later):
    rng = np.random.default_rng(2)
    assert recognise_unit(rng.normal(15, 6, 3_000), later(rng.normal(15, 6, 3_000))) is None


def test_too_few_values_say_nothing_of_a_unit():
    values = np.arange(50.0)
    assert recognise_unit(values, values * 1.8 + 32) is None


def test_a_unit_that_changed_within_the_period_is_seen_in_its_last_part():
    rng = np.random.default_rng(3)
    before, later = rng.normal(15, 6, 2_000), rng.normal(15, 6, 2_000)
    later[1_000:] = later[1_000:] * 1.8 + 32
    block, loss = np.arange(2_000) // 100, np.zeros(2_000)
    rows = compare_rows(
        pl.DataFrame({"t": before}),
        pl.DataFrame({"t": later}),
        losses=(loss, loss),
        blocks=(block, block),
        features=["t"],
    )
    (moved,) = moved_features(rows, threshold=0.2, harms=measure_harm(rows, resamples=5, seed=0), importance=None)
    assert moved.unit is not None
    assert moved.unit.name == "°C to °F"


def test_a_feature_moves_by_its_values_or_by_missing_ones_and_not_by_chance():
    rng = np.random.default_rng(4)
    before = pl.DataFrame({name: rng.normal(size=500) for name in ("still", "far", "gone")})
    now = before.with_columns(pl.col("far") + 1, gone=pl.when(pl.int_range(500) >= 50).then("gone"))
    found = shifts(before, now, Features(("still", "far", "gone"), ()), threshold=0.2)
    assert {each.feature for each in found} == {"far", "gone"}
    # A small part moves by chance alone beyond the threshold.
    few = pl.DataFrame({"still": rng.normal(size=30)})
    assert shifts(before.select("still"), few, Features(("still",), ()), threshold=0.05) == []


def test_the_share_that_a_feature_explains_of_the_scores_is_eta_squared():
    values, score = pl.Series(["a", "a", "b", "b"]), np.array([0.0, 2.0, 4.0, 6.0])
    assert explained_share(values, score) == pytest.approx(16 / 20)
    assert explained_share(values, np.ones(4)) == 0.0


def scored(**columns: list) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({**columns, "at": [datetime(2026, 1, 1) + timedelta(days=day) for day in range(rows)]})


def test_the_loss_of_a_row_has_the_task_s_own_metric_as_its_mean():
    binary = find_task("binary")
    rows = scored(label=[1, 0, 1], score=[0.9, 0.4, 0.2], prediction=[1, 0, 0])
    losses = binary.row_losses(rows, ScoredColumns("label"), "roc_auc")
    assert losses.mean() == pytest.approx(brier_score_loss([1, 0, 1], [0.9, 0.4, 0.2]))
    classes = find_task("multiclass")
    rows = scored(label=["a", "c"], prediction=["a", "b"], probability_a=[0.7, 0.2], probability_b=[0.3, 0.8])
    columns = ScoredColumns("label", classes=("a", "b"))
    # "c" is none of the model's classes, so that its probability was 0.
    assert classes.row_losses(rows, columns, "log_loss") == pytest.approx([0.09 + 0.09, 0.04 + 0.64 + 1])
    number = find_task("regression")
    rows = scored(label=[1.0, 5.0], prediction=[3.0, 4.0], score=[3.0, 4.0])
    columns = ScoredColumns("label")
    assert number.row_losses(rows, columns, "mae").tolist() == [2.0, 1.0]
    assert number.row_losses(rows, columns, "rmse").tolist() == [4.0, 1.0]
    assert number.row_losses(rows, columns, "pinball_0.9") == pytest.approx([0.2, 0.9])
