"""The rate of false alarms of a whole report, learned from a reference's days."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from ml_assets.monitoring.drift.error_rates.blocks import (
    block_sums,
    choose_block_length,
    step_correlation,
    variance_of_mean,
)
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES
from ml_assets.monitoring.drift.error_rates.false_alarms import hold_to_rate
from ml_assets.monitoring.drift.error_rates.resampled_reports import ReportLayout, ReportWindow, resample_reports
from ml_assets.monitoring.drift.error_rates.stepwise_counts import DAY, BinnedFeatures, StepwiseCounts, count_steps
from ml_assets.monitoring.drift.measure import measure_drift
from ml_assets.monitoring.inputs import Features
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2021, 5, 3, tzinfo=UTC)
BINS, WEEKS, APART = 10, 4, 14


def autoregression(rng: np.random.Generator, steps: int, series: int, correlation: float) -> np.ndarray:
    noise = rng.normal(size=(steps + 60, series))
    level = np.zeros_like(noise)
    for step in range(1, len(noise)):
        level[step] = correlation * level[step - 1] + np.sqrt(1 - correlation**2) * noise[step]
    return level[60:]


def test_the_correlation_of_few_steps_is_not_too_small_on_average():
    series = autoregression(np.random.default_rng(0), 28, 2000, 0.6)
    assert step_correlation(series).mean() == pytest.approx(0.6, abs=0.05)
    assert step_correlation(autoregression(np.random.default_rng(0), 400, 50, 0.0)).max() < 0.12
    assert step_correlation(np.ones((9, 2))).tolist() == [0, 0]


def test_variance_of_a_mean_is_the_sum_over_all_pairs_of_steps():
    for correlation, length in [(0.0, 5), (0.5, 1), (0.5, 7), (0.9, 28)]:
        apart = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
        expected = (correlation**apart).sum() / length**2
        assert variance_of_mean(np.array([correlation]), length)[0] == pytest.approx(expected)


def test_block_length_is_that_of_the_closed_form():
    assert choose_block_length(np.zeros(3), 28) == 1
    # (1.5 (2 rho / (1 - rho^2))^2 n)^(1/3) of rho = 0.6 and n = 1000: (1.5 * 1.875^2 * 1000)^(1/3).
    assert choose_block_length(np.array([0.6]), 1000) == round(17.405)
    assert choose_block_length(np.full(4, 0.97), 28) == 9


def test_block_sums_run_on_from_the_last_step_to_the_first():
    deviations = np.random.default_rng(1).normal(size=(7, 3))
    expected = [sum(deviations[(start + i) % 7] for i in range(3)) / np.sqrt(3) for start in range(7)]
    assert block_sums(deviations, 3) == pytest.approx(np.array(expected))
    assert block_sums(deviations, 1) == pytest.approx(deviations)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_a_statistic_of_small_deviations_is_what_it_tends_to(name):
    shares = np.array([0.2, 0.3, 0.5, 0.6, 0.1, 0.3])
    off = np.array([1, -3, 2, -2, 1, 1]) * 1e-4
    starts, n, m = np.array([0, 3]), 1e9, 3e8
    exact = DISTANCES[name].of_counts(shares * n, (shares + off) * m, starts, 1e-6)
    near = DISTANCES[name].of_deviations(off, shares, starts, n * m / (n + m))
    assert near == pytest.approx(exact, rel=2e-3)


def binned(values: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Rows by day and bin, of values of shape (days, rows, features)."""
    codes = np.stack([np.searchsorted(b, values[..., f]) for f, b in enumerate(breaks)], axis=-1)
    days, _, features = values.shape
    codes += np.arange(features) * BINS + (np.arange(days) * features * BINS)[:, None, None]
    return np.bincount(codes.ravel(), minlength=days * features * BINS).reshape(days, features * BINS).astype(float)


def alarms(world: int, correlation: float, luck: float, shift: float = 0.0) -> tuple[bool, bool, float, int]:
    """Whether a report alarms, whether of its first feature, how many alarms are awaited at PSI 0.1, and how many are
    there."""
    rng, features, rows = np.random.default_rng(world), 12, 60
    starts = np.arange(features) * BINS
    level = autoregression(rng, WEEKS * 14 + APART, features, correlation)
    values = luck * level[:, None] + rng.normal(size=(len(level), rows, features))
    reference, now = values[: WEEKS * 7], values[-WEEKS * 7 :]
    now[..., 0] += shift
    breaks = np.quantile(reference.reshape(-1, features), np.arange(1, BINS) / BINS, axis=0).T
    days = BinnedFeatures(tuple(f"f{i}" for i in range(features)), binned(reference, breaks), starts)
    counts = StepwiseCounts(DAY, np.full(len(reference), rows), 1.0, {"psi": days})
    layout = ReportLayout((ReportWindow(7 * DAY, 7 * rows),) * WEEKS, 1)
    reports = resample_reports(counts, layout, floor=1e-4, resamples=200, seed=world)
    weeks = binned(now, breaks).reshape(WEEKS, 7, -1).sum(axis=1)
    psi = DISTANCES["psi"].of_counts(days.counts.sum(axis=0), np.vstack([weeks, weeks.sum(axis=0)]), starts, 1e-4)
    limits = reports.limits(0.1)
    beyond = psi > np.vstack([*[limits["psi", 7 * DAY]] * WEEKS, limits["psi", WEEKS * 7 * DAY]])
    return bool(beyond.any()), bool(beyond[:, 0].any()), reports.alarms({"psi": 0.1}).mean(), int((psi > 0.1).sum())


@pytest.mark.parametrize(("correlation", "luck"), [(0.0, 0.0), (0.5, 0.25)], ids=["independent rows", "days depend"])
def test_a_report_alarms_about_as_often_as_declared_and_as_many_as_awaited(correlation, luck):
    worlds = 40
    outcomes = np.array([alarms(world, correlation, luck) for world in range(worlds)], float)
    any_alarm, _, awaited, there = outcomes.T
    assert binomtest(int(any_alarm.sum()), worlds, 0.1, "greater").pvalue > 0.01
    # The awaited number is a guess from four weeks; it is of the right size, and rather too great.
    assert there.mean() / 2 - 0.2 < awaited.mean() < 2 * there.mean() + 1


def test_a_planted_shift_is_found_where_days_are_alike():
    outcomes = [alarms(world, 0.0, 0.05, shift=0.6) for world in range(10)]
    assert sum(of_first for _, of_first, _, _ in outcomes) >= 9


def rows_of(days: int, rng: np.random.Generator, shift: float = 0.0) -> pl.DataFrame:
    n = days * 150
    return pl.DataFrame(
        {
            "at": [START + timedelta(days=i // 150, minutes=int(m)) for i, m in enumerate(rng.integers(0, 1440, n))],
            "moved": rng.normal(shift, 1, n),
            "still": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "kind": rng.choice(["a", "b", "c"], n),
        },
    ).with_columns(pl.col("still").fill_nan(None))


def drift_of(analysis: pl.DataFrame, reference: pl.DataFrame, spec: MonitoringSpec) -> pl.DataFrame:
    return measure_drift(reference, analysis, features=["moved", "still", "kind"], time="at", spec=spec)


def test_counts_by_day_are_the_rows_in_the_bins_of_psi_and_of_categories():
    rows = rows_of(3, np.random.default_rng(3))
    of = Features(("moved", "still"), ("kind",))
    statistics = {"psi": of.all, "chi2": ["kind"], "kolmogorov_smirnov": ["still"], "wasserstein": ["moved"]}
    counts = count_steps(rows, of, time="at", chunk=7 * DAY, bins=4, statistics=statistics)
    assert list(counts.binned) == ["psi", "chi2", "kolmogorov_smirnov"]
    assert counts.rows.tolist() == [150, 150, 150]
    psi, by_kind = counts.binned["psi"], counts.binned["chi2"]
    per_day = rows.group_by(pl.col("at").dt.date(), "kind").len().sort("at", "kind")["len"].to_numpy().reshape(3, 3)
    assert by_kind.counts.tolist() == per_day.tolist()
    assert psi.counts[:, psi.starts[2] :].tolist() == np.hstack([per_day, np.zeros((3, 1))]).tolist()
    nulls = rows.group_by(pl.col("at").dt.date()).agg(pl.col("still").null_count()).sort("at")["still"]
    assert psi.counts[:, psi.starts[2] - 1].tolist() == nulls.to_list()
    quartiles = psi.counts[:, :4].sum(axis=0)
    assert quartiles.max() - quartiles.min() <= 1
    assert counts.binned["kolmogorov_smirnov"].counts.sum() == 450 - nulls.sum()


def test_a_declared_rate_raises_thresholds_to_what_noise_passes_and_keeps_what_is_above():
    rng = np.random.default_rng(4)
    reference, analysis = rows_of(28, rng), rows_of(28, rng, shift=0.8)
    loose = MonitoringSpec(psi_threshold=0.001, reconstruction=False, method_thresholds={"jensen_shannon": 0.3})
    plain_drift = drift_of(analysis, reference, loose)
    held, found = hold_to_rate(plain_drift, reference, time="at", spec=loose.model_copy(update={"false_alarms": 0.05}))
    assert held.columns == plain_drift.columns
    assert held.select("value", "feature", "method").equals(plain_drift.select("value", "feature", "method"))
    assert set(plain_drift.filter("alert", method="psi")["feature"]) == {"moved", "still", "kind"}
    assert set(held.filter("alert", method="psi")["feature"]) == {"moved"}
    assert held.filter(method="psi")["threshold"].min() > 0.001
    assert held.filter(method="jensen_shannon")["threshold"].min() == 0.3
    assert held.filter(method="chi2")["threshold"].null_count() == 0
    assert found.declared == 0.05
    assert found.any_alert <= 0.05
    assert found.surely == 1 / 5
    assert found.left_out == []
    assert "promise no less than 20%" in found.sentence


def test_without_a_declared_rate_the_table_is_as_it_was_and_alarms_are_counted():
    rng = np.random.default_rng(5)
    reference, analysis = rows_of(28, rng), rows_of(28, rng)
    spec = MonitoringSpec(psi_threshold=0.0001)
    drift = drift_of(analysis, reference, spec)
    held, found = hold_to_rate(drift, reference, time="at", spec=spec)
    assert held is drift
    # Every value of three features in four chunks and the period is above so low a threshold.
    assert found.expected == pytest.approx(15, abs=0.5)
    assert found.any_alert == 1
    assert found.statistics == ["psi"]
    assert "reconstruction_error" in found.left_out
    quiet = hold_to_rate(drift, reference, time="at", spec=MonitoringSpec())[1]
    assert quiet.expected == 0
    assert "any in under 1.0% of reports" in quiet.sentence


def test_a_reference_of_few_days_promises_nothing():
    rng = np.random.default_rng(6)
    reference, analysis = rows_of(4, rng), rows_of(7, rng)
    drift = drift_of(analysis, reference, MonitoringSpec())
    held, found = hold_to_rate(drift, reference, time="at", spec=MonitoringSpec(false_alarms=0.05))
    assert held is drift
    assert found.expected is None
    assert found.sentence.startswith("How often chance alone alerts is not known: the reference spans 4 days")


@pytest.mark.parametrize("rate", [0, 1, -0.1])
def test_a_rate_is_a_chance(rate):
    with pytest.raises(ValueError, match=r"false_alarms: .* is no chance between 0 and 1"):
        MonitoringSpec(false_alarms=rate)
