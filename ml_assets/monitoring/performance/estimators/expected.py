"""What decisions bring, and how good the top of a list is, expected from calibrated probabilities.

A calibrated probability says how often rows like this one are positive. What a decision about such a row brings is then
the mean of both outcomes, weighted by it, and the positives among the rows with the highest scores are the sum of their
probabilities: the expected confusion matrix of confidence-based performance estimation (see ``confidence``), by row.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.training.calibration.probabilities import calibrate, fit_calibration
from ml_assets.training.metrics.metric import VALUE, TopOfList
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.metrics.payoffs import PER_ROWS
from ml_assets.training.metrics.top_of_list import fill_top
from ml_assets.training.tasks.columns import ScoredColumns

SAMPLING_ERRORS = 3
"""Standard deviations of what may happen around what is expected, either way."""

_CHANCE = "__chance__"
_SCHEMA = {CHUNK: pl.Int64, "metric": pl.String, "value": pl.Float64, "lower": pl.Float64, "upper": pl.Float64}


def is_expected(metric: str) -> bool:
    """Return whether a metric is estimated here."""
    return metric == VALUE or TopOfList.parse(metric) is not None


def estimate_expected(
    reference: pl.DataFrame, analysis: pl.DataFrame, columns: ScoredColumns, metrics: Sequence[str]
) -> pl.DataFrame:
    """Estimate metrics per chunk and over all rows; arguments and columns are those of ``PerformanceEstimator``.

    The band is what chance makes of outcomes that have these probabilities.
    """
    known = reference[columns.label].to_numpy(), reference[columns.probability].to_numpy()
    chance = learn_chances(*known, analysis[columns.probability].to_numpy())
    rows = analysis.with_columns(pl.Series(_CHANCE, chance))
    groups = [*((chunk, of) for (chunk,), of in rows.group_by(CHUNK, maintain_order=True)), (None, rows)]
    estimates = [
        {CHUNK: chunk, "metric": metric, **_band(*_expect(metric, of, columns))}
        for metric in metrics
        for chunk, of in groups
    ]
    return pl.DataFrame(estimates, schema=_SCHEMA)


def learn_chances(label: np.ndarray, score: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the chance that rows with some scores are positive, learned from rows whose label is known.

    It is the score itself unless an isotonic correction, learned from every second known row, gives the other rows a
    smaller Brier score.

    Args:
        label: 0/1, shape (n,).
        score: of the same rows.
        scores: of the rows in question, shape (m,).
    """
    halves = np.arange(len(label)) % 2 == 0
    corrected = np.empty(len(label))
    for half in (halves, ~halves):
        corrected[~half] = calibrate(fit_calibration("isotonic", label[half], score[half]), score[~half])
    if np.square(corrected - label).sum() >= np.square(score - label).sum():
        return scores
    return calibrate(fit_calibration("isotonic", label, score), scores)


def _expect(metric: str, rows: pl.DataFrame, columns: ScoredColumns) -> tuple[float, float]:
    """Return what is expected of a metric and its standard deviation; NaN where it is undefined."""
    top = TopOfList.parse(metric)
    if top is not None:
        return expect_top(top, rows[columns.probability].to_numpy(), rows[_CHANCE].to_numpy())
    if columns.payoff is None:
        raise ValueError(f"the metric {VALUE} needs payoffs: declare `payoff`")
    return expect_value(columns.payoff, rows, rows[columns.prediction].to_numpy(), rows[_CHANCE].to_numpy())


def expect_value(payoff: Payoff, rows: pl.DataFrame, called: np.ndarray, chance: np.ndarray) -> tuple[float, float]:
    """Return what decisions bring per thousand rows, of the rows that have every payoff, and its standard deviation.

    Args:
        rows: with the columns of the payoffs.
        called: whether each row was called positive, shape (rows,).
        chance: that each row is positive, shape (rows,).
    """
    given = payoff.given_of(rows)
    paid, there = rows.filter(given), given.to_numpy()
    if paid.is_empty():
        return math.nan, math.nan
    called, chance, payoffs = called[there], chance[there], payoff.of_rows(paid)
    positive, negative = (payoffs.earned(np.full(paid.height, outcome), called) for outcome in (1, 0))
    variance = (chance * (1 - chance) * (positive - negative) ** 2).sum()
    expected = (chance * positive + (1 - chance) * negative).mean()
    return float(PER_ROWS * expected), float(PER_ROWS * np.sqrt(variance) / paid.height)


def expect_top(top: TopOfList, score: np.ndarray, chance: np.ndarray) -> tuple[float, float]:
    """Return a measure of the top of a list as ``measure_top`` defines it, and its standard deviation.

    Recall and lift are the ratio of what is expected above and below the line, with the deviation of a ratio to first
    order; NaN where no positive is expected.

    Args:
        score: by which the list is ordered, shape (rows,).
        chance: that each row is positive, shape (rows,).
    """
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    weights = counts[None].astype(np.float64)
    size, within = fill_top(weights, top)
    place = (within / weights)[0][group]
    hits, positives, variance = place @ chance, chance.sum(), chance * (1 - chance)
    if top.measure == "precision":
        return float(hits / size[0]), float(np.sqrt(place**2 @ variance) / size[0])
    if not positives:
        return math.nan, math.nan
    recall = hits / positives
    scale = 1.0 if top.measure == "recall" else len(score) / size[0]
    return float(scale * recall), float(scale * np.sqrt((place - recall) ** 2 @ variance) / positives)


def _band(expected: float, deviation: float) -> dict[str, float | None]:
    if math.isnan(expected):
        return dict.fromkeys(("value", "lower", "upper"))
    reach = SAMPLING_ERRORS * deviation
    return {"value": expected, "lower": expected - reach, "upper": expected + reach}
