import math
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.drift.statistics.psi import measure_psi
from ml_assets.monitoring.inputs import plain, typed
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining import limits as module
from ml_assets.retraining.limits import chunk_chance, learn_limits
from ml_assets.retraining.spec import RetrainingSpec

START = datetime(2021, 5, 1, tzinfo=UTC)
DAYS = 12
FEATURES = ["size", "colour", "is_new"]
STRICT = {"max_drop": 0.0, "drift_share": 0.0, "resamples": 150}


def rows_of_days(days: int = DAYS, seed: int = 3) -> pl.DataFrame:
    """Days of 30 to 60 rows whose sizes, colours and outcomes differ from day to day."""
    rng = np.random.default_rng(seed)
    made = []
    for day in range(days):
        n, luck = int(rng.integers(30, 61)), rng.normal()
        colours = [0.5, 0.3, 0.2] if luck > 0 else [0.2, 0.2, 0.6]
        score = rng.uniform(0.05, 0.95, n).round(2)
        made.append(
            pl.DataFrame(
                {
                    "at": [START + timedelta(days=day, minutes=int(m)) for m in rng.integers(0, 1440, n)],
                    "size": rng.normal(luck, 1, n).round(1),
                    "colour": rng.choice(["red", "green", "blue"], n, p=colours),
                    "is_new": rng.random(n) < 0.3,
                    "score": score,
                    "label": rng.random(n) < 1 / (1 + np.exp(-5 * (score - 0.5) - luck / 2)),
                }
            ).with_columns(
                size=pl.when(pl.Series(rng.random(n) > 0.1)).then("size"),
                label=pl.when(pl.Series(rng.random(n) > 0.1)).then("label"),
            )
        )
    return pl.concat(made).sample(fraction=1, shuffle=True, seed=seed)


REFERENCE = rows_of_days()


def learn(reference=REFERENCE, metric="roc_auc", features=FEATURES, monitoring=None, **policy):
    return learn_limits(
        reference,
        features=features,
        time="at",
        label="label",
        metric=metric,
        monitoring=MonitoringSpec(**{"chunk": "3d", "psi_bins": 4, **(monitoring or {})}),
        retraining=RetrainingSpec(**{**STRICT, **policy}),
    )


@pytest.fixture
def draws(monkeypatch) -> list[np.ndarray]:
    """The day counts of every resample: for the metrics, for the redrawn reference, for the chunks."""
    made, draw = [], module._draw
    monkeypatch.setattr(module, "_draw", lambda *given: made.append(draw(*given)) or made[-1])
    return made


def resampled(frame: pl.DataFrame, counts: np.ndarray) -> pl.DataFrame:
    """The rows of day i, counted from the first, ``counts[i]`` times."""
    days = frame["at"].dt.date()
    names = sorted(set(days))
    return pl.concat(
        frame.filter(days == name) for name, times in zip(names, counts, strict=True) for _ in range(int(times))
    )


@pytest.mark.parametrize(
    ("rate", "breaches", "of_last"), [(0.05, 1, 1), (0.03, 2, 3), (0.01, 2, 3), (0.2, 1, 3), (0.05, 3, 4), (0.01, 5, 5)]
)
def test_chance_per_chunk_gives_the_rate_over_all_patterns_of_breaches(rate, breaches, of_last):
    p = chunk_chance(rate, breaches, of_last)
    fires = sum(
        math.prod(p if breached else 1 - p for breached in pattern)
        for pattern in product([False, True], repeat=of_last)
        if pattern[-1] and sum(pattern) >= breaches
    )
    assert fires == pytest.approx(rate, rel=1e-9)


def test_chance_per_chunk_gives_the_rate_in_a_simulation():
    breached = np.random.default_rng(0).random((400_000, 3)) < chunk_chance(0.03, 2, 3)
    fired = (breached[:, -1] & (breached.sum(axis=1) >= 2)).mean()
    assert fired == pytest.approx(0.03, abs=4 * math.sqrt(0.03 * 0.97 / 400_000))


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        (["realised"], 1),
        (["realised", "estimated", "calibration", "age", "new_labels"], 3),
        (["drift", "realised", "calibration", "estimated"], 4),
        (["age"], 1),
        ([], 1),
    ],
)
def test_the_rate_is_divided_among_the_kinds_that_noise_can_breach(evidence, kinds):
    assert learn(evidence=evidence).chance == pytest.approx(chunk_chance(0.03 / kinds, 2, 3))


def test_performance_and_calibration_limits_are_quantiles_of_explicitly_resampled_rows(draws):
    limits = learn(false_alarm_rate=0.1)
    known = REFERENCE.drop_nulls("label")
    auc, error = [], []
    for counts in draws[0]:
        assert counts.sum() == 3
        chunk = resampled(known, counts)
        auc.append(roc_auc_score(chunk["label"], chunk["score"]))
        error.append(calibration_error(chunk))
    assert limits.reference == pytest.approx(roc_auc_score(known["label"], known["score"]))
    assert limits.performance == pytest.approx(np.quantile(auc, limits.chance))
    assert limits.calibration == pytest.approx(np.quantile(error, 1 - limits.chance))
    assert limits.performance < limits.reference


def calibration_error(rows: pl.DataFrame) -> float:
    """Mean over ten bins of equal mass of abs(outcome - score), a row at a time; tied scores share their mean."""
    tied = rows.group_by("score").agg(n=pl.len(), y=pl.col("label").cast(pl.Float64).mean()).sort("score")
    size, filled, gap, bins = rows.height / 10, 0.0, 0.0, []
    for score, n, y in tied.iter_rows():
        left = float(n)
        while left > 1e-9:
            taken = min(left, size - filled)
            filled, gap, left = filled + taken, gap + taken * (y - score), left - taken
            if filled > size - 1e-9:
                bins.append(gap / size)
                filled, gap = 0.0, 0.0
    assert len(bins) == 10
    return float(np.mean(np.abs(bins)))


def test_log_loss_is_limited_from_above(draws):
    limits = learn(metric="log_loss", false_alarm_rate=0.1)
    known = REFERENCE.drop_nulls("label")
    loss = [log_loss(c["label"], c["score"]) for c in (resampled(known, counts) for counts in draws[0])]
    assert limits.performance == pytest.approx(np.quantile(loss, 1 - limits.chance))
    assert limits.performance > limits.reference


def explicit_share(reference: pl.DataFrame, chunk: pl.DataFrame, features: list[str], threshold: float) -> float:
    found = typed(reference, chunk, features)
    psi = measure_psi(
        plain(reference, found, []),
        plain(chunk, found, []).with_columns(pl.lit(0, pl.Int64).alias(CHUNK)),
        features=found,
        by=CHUNK,
        bins=4,
        floor=1e-4,
    )
    values = psi.filter(pl.col(CHUNK) == 0)["value"]
    assert len(values) == len(features)
    return (values > threshold).mean()


@pytest.mark.slow
def test_drift_limit_is_a_quantile_over_explicitly_resampled_chunks(monkeypatch):
    made, draw = [], module._draw

    def whole_reference(rng, resamples, days, of):
        made.append(np.ones((resamples, of)) if days == of else draw(rng, resamples, days, of))
        return made[-1]

    monkeypatch.setattr(module, "_draw", whole_reference)
    limits = learn(false_alarm_rate=0.2, monitoring={"psi_threshold": 0.1})
    shares = [explicit_share(REFERENCE, resampled(REFERENCE, counts), FEATURES, 0.1) for counts in made[2]]
    assert len(set(shares)) > 2
    assert limits.drift_share == pytest.approx(np.quantile(shares, 1 - limits.chance))


@pytest.mark.slow
def test_the_reference_of_drift_is_redrawn_too(draws):
    limits = learn(features=["colour"], false_alarm_rate=0.6, monitoring={"psi_threshold": 0.1})
    shares = [
        explicit_share(resampled(REFERENCE, whole), resampled(REFERENCE, chunk), ["colour"], 0.1)
        for whole, chunk in zip(draws[1], draws[2], strict=True)
    ]
    assert {*shares} == {0.0, 1.0}
    np.testing.assert_allclose(draws[1].sum(axis=1), DAYS)
    np.testing.assert_allclose(draws[2].sum(axis=1), 3)
    assert limits.drift_share == pytest.approx(np.quantile(shares, 1 - limits.chance))


def test_excluded_features_are_left_out_of_drift():
    alone = learn(features=["size"], monitoring={"psi_threshold": 0.1})
    excluded = learn(monitoring={"psi_threshold": 0.1, "exclude": ["colour", "is_new"]})
    assert alone.drift_share == excluded.drift_share


def test_fewer_false_alarms_mean_looser_limits():
    often, seldom = learn(false_alarm_rate=0.3), learn(false_alarm_rate=0.01)
    assert seldom.chance < often.chance
    assert seldom.performance < often.performance
    assert seldom.calibration > often.calibration
    assert seldom.drift_share > often.drift_share
    assert learn(metric="log_loss", false_alarm_rate=0.01).performance > learn(metric="log_loss").performance


def test_what_is_tolerated_loosens_limits_but_never_tightens_them():
    strict = learn()
    assert learn(max_drop=0.001, drift_share=0.01) == strict
    tolerant = learn(max_drop=0.3, drift_share=0.9)
    assert tolerant.performance == pytest.approx(strict.reference - 0.3)
    assert tolerant.calibration == pytest.approx(calibration_error(REFERENCE.drop_nulls("label")) + 0.3)
    assert tolerant.drift_share == 0.9
    loss = learn(metric="log_loss", max_drop=0.5)
    assert loss.performance == pytest.approx(loss.reference + 0.5)


def test_a_floor_holds_where_noise_and_tolerance_would_allow_less():
    strict, tolerant = learn(), learn(max_drop=0.3)
    assert learn(max_drop=0.3, floor=tolerant.performance + 0.1).performance == tolerant.performance + 0.1
    assert learn(floor=strict.performance - 0.1).performance == strict.performance
    loss = learn(metric="log_loss", max_drop=0.5)
    assert learn(metric="log_loss", max_drop=0.5, floor=loss.performance - 0.1).performance == loss.performance - 0.1
    assert learn(metric="log_loss", max_drop=0.5, floor=loss.performance + 0.1).performance == loss.performance


def test_equal_seeds_give_equal_limits():
    assert learn() == learn()
    assert learn() != learn(monitoring={"seed": 1})


def test_five_days_are_enough_and_four_are_a_clear_error():
    five = rows_of_days(days=5)
    learn(five)
    with pytest.raises(ValueError, match="spans 4 days: limits need at least 5"):
        learn(rows_of_days(days=4))
    last = START + timedelta(days=4)
    with pytest.raises(ValueError, match="spans 4 days"):
        learn(five.with_columns(label=pl.when(pl.col("at") < last).then("label")))
    with pytest.raises(ValueError, match="spans 0 days"):
        learn(five.with_columns(label=pl.lit(None, pl.Boolean)))


def test_limits_that_are_widened_for_few_days_lie_further_out_by_t_and_the_reference_s_own_error():
    limits, wider = learn(), learn(widen_for_few_days=True)
    assert limits.reference == wider.reference
    factor = (wider.performance - wider.reference) / (limits.performance - limits.reference)
    # Independent days would give this at least: the mean of 12 days is off too, and eleven of them say how much.
    least = math.sqrt((1 / 3 + 1 / 12) / (1 / 3 * (1 - 1 / 12)))
    assert least < factor < 4
    assert wider.calibration > limits.calibration
    assert learn(metric="log_loss", widen_for_few_days=True).performance > learn(metric="log_loss").performance
