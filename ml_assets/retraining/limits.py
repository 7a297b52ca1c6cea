"""Limits that noise alone rarely passes, learned from the champion's own out-of-sample rows.

Three things multiply false alarms, and each is met where it arises:

- many features: the evidence is one number per chunk, the share of features that passed the PSI threshold, and its
  limit comes from resampled chunks in which the features keep their dependence on one another (P. H. Westfall, S. S.
  Young, Resampling-Based Multiple Testing, 1993);
- rows of a day share their luck: whole days are resampled, not rows (H. R. Künsch, The Jackknife and the Bootstrap for
  General Stationary Observations, Annals of Statistics 17, 1989; here with blocks that do not overlap);
- many chunks and kinds of evidence: a rule fires on n of the last m chunks with the latest among them, and the chance
  of that under independent chunks is divided among the kinds (O. J. Dunn, Multiple Comparisons Among Means, JASA 56,
  1961, known as Bonferroni's correction).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.monitoring.drift.error_rates.blocks import choose_block_length, step_correlation, variance_of_mean
from ml_assets.monitoring.drift.statistics.psi import bin_counts, quantile_breaks
from ml_assets.monitoring.inputs import plain, typed
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.spec import RESAMPLED, RetrainingSpec
from ml_assets.training.metrics.measure import measure, measure_weighted
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.tasks import BINARY, find_metric, find_task
from ml_assets.training.tasks.columns import decided_from

CALIBRATION = "calibration_error"
NO_LIMIT = 1e9
_DAY = "__day__"
_TAIL = 0.25  # where distributions differ in their tails: above it they hardly do
_CELLS = 500_000  # rows x resamples weighed at once: arrays of 4 MB, which stay in the cache


@dataclass(frozen=True)
class LearntLimits:
    """What a chunk of the reference's kind stays within.

    Attributes:
        chance: with which a single chunk without any drift passes one limit.
        reference: the model's metric on the whole reference.
        performance: limit of the model's metric, on its worse side.
        calibration: greatest calibration error.
        drift_share: greatest share of features above the PSI threshold.
    """

    chance: float
    reference: float
    performance: float
    calibration: float
    drift_share: float


def chunk_chance(rate: float, breaches: int, of_last: int) -> float:
    """Return the chance per chunk at which a rule fires with ``rate``.

    The rule is "``breaches`` of the last ``of_last``, the latest among them".

    Chunks are taken as independent: P = p * P(Binomial(of_last - 1, p) >= breaches - 1), solved for p by bisection.
    """

    def fires(p: float) -> float:
        n = of_last - 1
        return p * sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(breaches - 1, n + 1))

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if fires(middle) < rate else (low, middle)
    return (low + high) / 2


def tolerance(reference: float, retraining: RetrainingSpec, task: str, metric: str) -> float:
    """Return how far the metric may be worse than on the reference; a share of it where it has a unit."""
    relative = find_task(task).relative_drop or find_metric(metric).relative
    return retraining.max_drop * (abs(reference) if relative else 1)


def learn_limits(
    reference: pl.DataFrame,
    *,
    features: Sequence[str],
    time: str,
    label: str,
    metric: str,
    monitoring: MonitoringSpec,
    retraining: RetrainingSpec,
    task: str = BINARY,
    payoff: Payoff | None = None,
) -> LearntLimits:
    """Learn limits for chunks of ``monitoring.chunk`` from chunks resampled of the reference's days.

    Args:
        reference: out-of-sample rows, as ``ml_assets.training.predictions.scored`` has them: features, ``time``,
            ``label`` (rows where it is null are left out) and scores.
        payoff: what decisions bring; needed by the metric value, which is measured of the decisions that were made.

    Raises:
        ValueError: the reference has fewer than 5 days, which is too little to resample.
    """
    counted = max(1, sum(kind in RESAMPLED for kind in retraining.evidence))
    chance = chunk_chance(retraining.false_alarm_rate / counted, retraining.breaches, retraining.of_last)
    days = max(1, round(parse_duration(monitoring.chunk) / timedelta(days=1)))
    known = reference.drop_nulls(label)
    day = _days(known, time)
    of = find_task(task)
    classes = of.read_classes(known)
    threshold = None if payoff is None else decided_from(known)
    paired = of.pair(of.outcomes(known[label], classes), of.read_scores(known, classes), threshold)
    ranked = of.beside(paired, known, payoff)
    rng = np.random.default_rng(monitoring.seed)
    calibrated = CALIBRATION in of.metrics
    metrics = [metric, CALIBRATION] if calibrated else [metric]
    resampled = _resample_metrics(ranked, day, days, metrics, retraining.resamples, rng)
    whole = measure(ranked, metrics)
    drift = _resample_drift_share(reference, features, time, days, monitoring, retraining.resamples, rng)
    sign = find_metric(metric).sign
    wider = _widening(ranked, day, metrics, days, retraining)
    noise = _widened(sign * np.nanquantile(sign * resampled[metric], chance), whole, metric, wider, chance)
    tolerated = whole[metric] - sign * tolerance(whole[metric], retraining, task, metric)
    worst = min(noise, tolerated) if sign > 0 else max(noise, tolerated)
    if retraining.floor is not None:
        worst = max(worst, retraining.floor) if sign > 0 else min(worst, retraining.floor)
    return LearntLimits(
        chance=chance,
        reference=whole[metric],
        performance=float(worst),
        calibration=_calibration(resampled, whole, chance, retraining.max_drop, wider) if calibrated else NO_LIMIT,
        drift_share=float(max(np.quantile(drift, 1 - chance), retraining.drift_share)),
    )


def _calibration(resampled: dict, whole: dict, chance: float, max_drop: float, wider: dict[str, "_Widening"]) -> float:
    noise = _widened(np.nanquantile(resampled[CALIBRATION], 1 - chance), whole, CALIBRATION, wider, chance)
    return float(max(noise, whole[CALIBRATION] + max_drop))


@dataclass(frozen=True)
class _Widening:
    """What resampled days leave open: a factor of the deviation, and the degrees of freedom that it is known by."""

    factor: float
    freedom: float


def _widening(ranked, day: np.ndarray, metrics: list[str], days: int, retraining: RetrainingSpec) -> dict:
    """Return by metric how much wider limits have to be; nothing unless that is declared.

    A chunk differs from the reference by its own days and by those of the reference, both of which depend on one
    another as a first-order autoregression does; a variance estimated from k blocks makes Student's t of the normal
    distribution (A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 2.4).
    """
    if not retraining.widen_for_few_days:
        return {}
    steps = int(day.max()) + 1
    # What each day adds to the metric: the metric of the others, without it.
    without = measure_weighted(ranked, (1.0 - np.eye(steps))[:, day], metrics)
    widening = {}
    for name in metrics:
        series = np.where(np.isnan(without[name]), np.nanmean(without[name]), without[name])
        correlation = step_correlation(series[:, None])
        block = choose_block_length(correlation, steps)
        between = float((variance_of_mean(correlation, days) + variance_of_mean(correlation, steps))[0])
        shown = (1 - 1 / steps) / days
        widening[name] = _Widening(math.sqrt(between / shown), max(1.0, steps / block - 1))
    return widening


def _widened(limit: float, whole: dict, metric: str, wider: dict[str, _Widening], chance: float) -> float:
    """Return a limit as far beyond what the reference has as a prediction from its days is."""
    if metric not in wider:
        return limit
    from scipy.special import ndtri, stdtrit

    how = wider[metric]
    tail = min(chance, _TAIL)
    tails = float(stdtrit(how.freedom, tail) / ndtri(tail))
    return whole[metric] + (limit - whole[metric]) * how.factor * tails


def _days(frame: pl.DataFrame, time: str) -> np.ndarray:
    """Return the row's day, as integers from 0 without gaps."""
    days = frame[time].dt.date().rank("dense").to_numpy().astype(np.int64) - 1
    if days.size == 0 or days.max() < 4:
        raise ValueError(f"the reference spans {days.max() + 1 if days.size else 0} days: limits need at least 5")
    return days


def _draw(rng: np.random.Generator, resamples: int, days: int, of: int) -> np.ndarray:
    """Return how often each of ``of`` days is in a chunk of ``days`` days: (resamples, of)."""
    picks = rng.integers(0, of, (resamples, days)) + np.arange(resamples)[:, None] * of
    return np.bincount(picks.ravel(), minlength=resamples * of).reshape(resamples, of).astype(np.float64)


def _resample_metrics(ranked, day: np.ndarray, days: int, metrics: list[str], resamples: int, rng) -> dict:
    drawn = _draw(rng, resamples, days, day.max() + 1)
    step = max(1, _CELLS // len(day))
    parts = [measure_weighted(ranked, drawn[i : i + step][:, day], metrics) for i in range(0, resamples, step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in metrics}


def _resample_drift_share(
    reference: pl.DataFrame,
    features: Sequence[str],
    time: str,
    days: int,
    monitoring: MonitoringSpec,
    resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the share of features above the PSI threshold in chunks drawn from the reference.

    The chunks are compared with a redrawn reference."""
    kept = [name for name in features if name not in monitoring.exclude]
    compared = typed(reference, reference, kept)
    day = _days(reference, time)
    rows = plain(reference, compared, []).with_columns(pl.Series(_DAY, day))
    breaks = {name: quantile_breaks(rows[name], monitoring.psi_bins) for name in compared.numeric}
    counts = bin_counts(rows, compared, breaks, _DAY).sort("feature", "bin")
    wide = counts.pivot(_DAY, index=["feature", "bin"], values="rows", maintain_order=True).fill_null(0)
    starts = np.flatnonzero(wide["feature"].to_numpy()[1:] != wide["feature"].to_numpy()[:-1]) + 1
    starts = np.r_[0, starts]
    # In the order of the days, or equal seeds would not give equal limits: groups come in any order.
    by_day = wide.select(map(str, range(int(day.max()) + 1))).to_numpy().astype(np.float64)
    of = by_day.shape[1]
    expected = _shares(_draw(rng, resamples, of, of) @ by_day.T, starts, monitoring.psi_floor)
    actual = _shares(_draw(rng, resamples, days, of) @ by_day.T, starts, monitoring.psi_floor)
    psi = np.add.reduceat((actual - expected) * np.log(actual / expected), starts, axis=1)
    return (psi > monitoring.psi_threshold).mean(axis=1)


def _shares(counts: np.ndarray, starts: np.ndarray, floor: float) -> np.ndarray:
    totals = np.add.reduceat(counts, starts, axis=1)
    widths = np.diff(np.r_[starts, counts.shape[1]])
    return np.maximum(counts / np.repeat(totals, widths, axis=1), floor)
