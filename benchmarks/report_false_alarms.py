"""How often a whole drift report, and limits learned from half a month, alarm without any drift.

Run `python benchmarks/report_false_alarms.py [--worlds 100] [--seed 1000] [--home HOME]`.

First, made-up worlds: 30 features of 60 rows a day, whose daily levels are independent, follow one another (AR(1)), or
go by the day of the week; a reference of four or 13 weeks, and four weeks two weeks later. A report is held to
`monitoring.false_alarms` of 5 %; beside it what it says of alerts at a PSI of 0.2, and how many there are.

With a home in which a champion serves, then: limits of ROC AUC and calibration learned from half of the champion's
reference, tried on histories of three weeks drawn from the days of the other half, two of them over the limit.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from false_alarms import load_use_case

from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.monitoring.drift.error_rates.distances import DISTANCES
from ml_assets.monitoring.drift.error_rates.resampled_reports import ReportLayout, ReportWindow, resample_reports
from ml_assets.monitoring.drift.error_rates.stepwise_counts import DAY, BinnedFeatures, StepwiseCounts
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.limits import learn_limits
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.training.metrics.measure import measure_weighted
from ml_assets.training.tasks import find_task

FEATURES, ROWS, BINS, WEEKS = 30, 60, 10, 4
RATE, FLOOR, PSI = 0.05, 1e-4, 0.2
STARTS = np.arange(FEATURES) * BINS
HISTORIES = 400


@dataclass(frozen=True)
class World:
    """How the levels of days behave.

    Attributes:
        spread: standard deviation of a day's level, that of its rows being 1; half of it common to all features.
        follows: correlation of a day's level with that of the day before.
        weekend: how much higher levels are at weekends.
        days: of the reference.
    """

    spread: float = 0.0
    follows: float = 0.0
    weekend: float = 0.0
    days: int = 28

    def draw(self, rng: np.random.Generator, days: int) -> np.ndarray:
        """Return values, shape (days, rows, features)."""
        noise, levels = rng.normal(size=(days + 50, FEATURES + 1)), np.zeros((days + 50, FEATURES + 1))
        for day in range(1, len(noise)):
            levels[day] = self.follows * levels[day - 1] + np.sqrt(1 - self.follows**2) * noise[day]
        shared = np.sqrt(0.5) * (levels[50:, :1] + levels[50:, 1:])
        level = self.spread * shared + self.weekend * (np.arange(days) % 7 >= 5)[:, None]
        return level[:, None, :] + rng.normal(size=(days, ROWS, FEATURES))


WORLDS = {
    "independent rows": World(),
    "days differ": World(spread=0.3),
    "AR 0.6": World(spread=0.3, follows=0.6),
    "AR 0.6, 13 weeks": World(spread=0.3, follows=0.6, days=91),
    "AR 0.9": World(spread=0.3, follows=0.9),
    "AR 0.9, 13 weeks": World(spread=0.3, follows=0.9, days=91),
    "weekends": World(spread=0.1, weekend=0.5),
}


def count(values: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Return rows by day and bin, the bins of features side by side."""
    days = np.repeat(np.arange(len(values)), ROWS) * BINS
    counted = [
        np.bincount(
            days + np.searchsorted(breaks[feature], values[:, :, feature].ravel(), "left"), minlength=len(values) * BINS
        ).reshape(-1, BINS)
        for feature in range(FEATURES)
    ]
    return np.concatenate(counted, axis=1).astype(np.float64)


def live(world: World, seed: int) -> tuple[bool, float, float]:
    """Return whether a report held to the rate alarms, and its alerts at a PSI of 0.2 as they are and as it says."""
    values = world.draw(np.random.default_rng(seed), world.days + 14 + 7 * WEEKS)
    reference, now = values[: world.days], values[world.days + 14 :]
    ordered = np.sort(reference.reshape(-1, FEATURES), axis=0)
    breaks = ordered[-(-np.arange(1, BINS) * len(ordered) // BINS) - 1].T
    binned = BinnedFeatures(tuple(map(str, range(FEATURES))), count(reference, breaks), STARTS)
    counts = StepwiseCounts(DAY, np.full(world.days, ROWS), 1.0, {"psi": binned})
    layout = ReportLayout(tuple(ReportWindow(7 * DAY, 7 * ROWS) for _ in range(WEEKS)), 1)
    reports = resample_reports(counts, layout, floor=FLOOR, resamples=200, seed=seed)
    limits, expected = reports.limits(RATE), binned.counts.sum(axis=0)
    weeks = count(now, breaks).reshape(WEEKS, 7, -1).sum(axis=1)
    chunks, period = (DISTANCES["psi"].of_counts(expected, each, STARTS, FLOOR) for each in (weeks, weeks.sum(axis=0)))
    alarms = (chunks > limits["psi", 7 * DAY]).any() or (period > limits["psi", 7 * WEEKS * DAY]).any()
    return bool(alarms), float((chunks > PSI).sum() + (period > PSI).sum()), float(reports.alarms({"psi": PSI}).mean())


def halves(reference: pl.DataFrame, time: str) -> Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """Yield what limits are learned from and what they are tried on."""
    day = pl.col(time).dt.date()
    middle = sorted(set(reference[time].dt.date()))[14]
    odd = pl.col(time).dt.ordinal_day() % 2 == 1
    yield "odd days, even days", reference.filter(odd), reference.filter(~odd)
    yield "even days, odd days", reference.filter(~odd), reference.filter(odd)
    yield "last weeks, first two", reference.filter(day >= middle), reference.filter(day < middle)
    yield "first two weeks, last", reference.filter(day < middle), reference.filter(day >= middle)


def alarms_of_half(
    learned: pl.DataFrame, tried: pl.DataFrame, time: str, label: str, features: list[str], widened: bool
) -> float:
    """Return the share of histories in which two of the last three weeks are over a limit, the last among them."""
    limits = learn_limits(
        learned, features=features[:1], time=time, label=label, metric="roc_auc", monitoring=MonitoringSpec(),
        retraining=RetrainingSpec(widen_for_few_days=widened),
    )  # fmt: skip
    known, task = tried.drop_nulls(label), find_task("binary")
    day = known[time].dt.date().rank("dense").to_numpy().astype(int) - 1
    picked = np.random.default_rng(1).integers(0, day.max() + 1, (3 * HISTORIES, 7))
    times = np.zeros((3 * HISTORIES, day.max() + 1))
    np.add.at(times, (np.arange(3 * HISTORIES)[:, None], picked), 1)
    pairs = task.pair(task.outcomes(known[label], None), task.read_scores(known, None), None)
    values = measure_weighted(pairs, times[:, day], ["roc_auc", "calibration_error"])
    beyond = values["roc_auc"] < limits.performance, values["calibration_error"] > limits.calibration
    weeks = [each.reshape(HISTORIES, 3) for each in beyond]
    return float(np.mean(np.any([each[:, -1] & (each.sum(axis=1) >= 2) for each in weeks], axis=0)))


def tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    tell("world                 alarms at 5 %   alerts at PSI 0.2: there   stated")
    for name, world in WORLDS.items():
        lived = np.array([live(world, given.seed + number) for number in range(given.worlds)], dtype=float).mean(axis=0)
        tell(f"{name:22s}{lived[0]:13.1%}{lived[1]:27.1f}{lived[2]:9.1f}")
    if given.home:
        case = load_use_case(Lake(Home.under(given.home).lake))
        label = case.model.label.column
        tell("learned from, tried on       alarms   widened")
        for name, learned, tried in halves(case.reference, case.time):
            shares = [
                alarms_of_half(learned, tried, case.time, label, case.features, widened) for widened in (False, True)
            ]
            tell(f"{name:28s}{shares[0]:7.1%}{shares[1]:10.1%}")


if __name__ == "__main__":
    main()
