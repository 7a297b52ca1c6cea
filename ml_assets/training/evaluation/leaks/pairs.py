"""Two features that tell the outcome together and neither alone: a leak that was split."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from ml_assets.training.encoding import Encoding
from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.evaluation.leaks.outcomes import Outcomes
from ml_assets.training.evaluation.leaks.readings import ColumnReading, bins_of, edges_of, rates

_BINS = 12
_MOST_FEATURES = 40
_MOST_ROWS = 6_000
_MEASURED = 5  # pairs that are measured, of those that look strongest
_ALIKE = 0.9  # correlation from which the difference of two numbers is looked at


def strong_pairs(
    known: pl.DataFrame, holdout: pl.DataFrame, features: Sequence[str], outcomes: Outcomes, limit: float
) -> Iterator[Finding]:
    """Name pairs of features that predict the outcome almost alone, of at most 40 features.

    A pair is read by both its values, and where the two are numbers by which is larger and, if they go together, by
    their difference.

    Args:
        features: those that do not predict it almost alone each.
    """
    names = list(features)[:_MOST_FEATURES]
    if len(names) < 2:
        return
    encoding = Encoding.learn(known, names)
    first, then = (_spread(part.height) for part in (known, holdout))
    sides = encoding.encode(known[first]), encoding.encode(holdout[then])
    learned, unseen = outcomes.taught[first], outcomes.unseen[then]
    columns = [_coarse(sides, at, feature.kind) for at, feature in enumerate(encoding.features)]
    numbers = [feature.kind == "number" for feature in encoding.features]
    alike = _correlations(sides[0])
    tried: list[tuple[float, int, int, ColumnReading]] = []
    for one, other in combinations(range(len(names)), 2):
        ways = [_both(columns[one], columns[other])]
        if numbers[one] and numbers[other]:
            ways += _compared(sides, one, other, alike[one, other])
        tried += [(_explained(way, learned, outcomes.as_numbers(unseen)), one, other, way) for way in ways]
    named: set[tuple[int, int]] = set()
    for _, one, other, way in sorted(tried, key=lambda entry: -entry[0])[:_MEASURED]:
        strength = outcomes.measure(unseen, rates(way.known, learned, way.count)[way.unseen])
        if strength >= limit and (one, other) not in named:
            named.add((one, other))
            yield Finding(
                "pair",
                ", ".join(sorted((names[one], names[other]))),
                strength,
                limit,
                f"predict the outcome almost alone together ({outcomes.task.leak_metric} {strength:.3f} by {way.name})",
                f"see what the two are known from; leave one out, {TRUST}",
            )


def _spread(rows: int) -> np.ndarray:
    return np.unique(np.linspace(0, rows - 1, min(rows, _MOST_ROWS)).astype(int))


def _coarse(sides: tuple[np.ndarray, np.ndarray], at: int, kind: str) -> ColumnReading:
    known, unseen = (side[:, at] for side in sides)
    edges = edges_of(known, kind, _BINS)
    if kind == "category":
        edges = edges_of(known, "number", _BINS)
    return ColumnReading("", bins_of(known, edges), bins_of(unseen, edges), len(edges) + 2, str)


def _both(one: ColumnReading, other: ColumnReading) -> ColumnReading:
    known, unseen = (getattr(one, side) * other.count + getattr(other, side) for side in ("known", "unseen"))
    return ColumnReading("both values", known, unseen, one.count * other.count, str)


def _compared(sides: tuple[np.ndarray, np.ndarray], one: int, other: int, alike: float) -> list[ColumnReading]:
    known, unseen = (side[:, one] - side[:, other] for side in sides)
    order = np.array([-1e-30, 1e-30], dtype=known.dtype)
    ways = [ColumnReading("which is larger", bins_of(known, order), bins_of(unseen, order), 4, str)]
    if abs(alike) >= _ALIKE:
        edges = edges_of(known, "number")
        ways.append(
            ColumnReading("their difference", bins_of(known, edges), bins_of(unseen, edges), len(edges) + 2, str)
        )
    return ways


def _correlations(matrix: np.ndarray) -> np.ndarray:
    filled = np.where(np.isnan(matrix), np.nanmean(np.where(np.isfinite(matrix), matrix, 0.0), axis=0), matrix)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.corrcoef(filled, rowvar=False))


def _explained(way: ColumnReading, learned: np.ndarray, unseen: np.ndarray) -> float:
    """Return the highest correlation between rates of bins and outcomes: quick, and high where the strength is."""
    told = rates(way.known, learned, way.count)[way.unseen]
    told, real = told - told.mean(axis=0), unseen - unseen.mean(axis=0)
    size = np.sqrt((told**2).sum(axis=0) * (real**2).sum(axis=0))
    return float(np.max((told * real).sum(axis=0) / np.where(size == 0, np.inf, size)))
