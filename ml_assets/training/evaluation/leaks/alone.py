"""Features that know too much: one that predicts the outcome almost alone has probably seen it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.training.encoding import Encoding
from ml_assets.training.evaluation.leaks.finding import TRUST, Finding
from ml_assets.training.evaluation.leaks.outcomes import Outcomes
from ml_assets.training.evaluation.leaks.readings import ColumnReading, readings
from ml_assets.training.sampling.seeded import sample_rows
from ml_assets.training.spec import LeakSpec
from ml_assets.training.tasks import BINARY, find_task

TRAIN_ROWS = 50_000
"""Most training rows that rates are learned from: enough for 50 of them."""

_SURE = 2.0  # standard errors by which a group's share must lie above its limit
_CHANCE = 3.0  # standard errors of a strength on the holdout
_UNSEEN_ROWS = 20  # a group has to show itself on the holdout, too
_RARE = 0.8  # a class more frequent than this is nearly certain anyway


@dataclass(frozen=True)
class Strength:
    """How well one column alone tells the outcome.

    Attributes:
        unseen: on the holdout, by the best way to read it.
        train: on training rows that were not learned from, by the same.
    """

    name: str
    unseen: float
    train: float
    reading: ColumnReading


def suspicious_features(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    *,
    features: Sequence[str],
    label: str,
    limit: float,
    seed: int,
    task: str = BINARY,
) -> pl.DataFrame:
    """Judge every feature alone.

    A feature's values are cut into 50 bins of equal mass (categories as they are, missing values apart);
    the share of positives of each bin, learned on training rows, is its score on the holdout: of several
    classes the share of each, of a number its mean. So a leak is found whatever its shape, also one that lies
    in a value being missing. Whole numbers are read by their last digit too, longer texts by their words.

    Args:
        limit: the measure from which a feature is suspicious. Of a number it is the share of pairs of rows that
            the feature puts in the right order (Harrell's C), which is the ROC AUC where the number is 0 or 1.

    Returns:
        feature, the measure (``leak_metric`` of the task), limit, suspicious; the highest first, ties by name.
    """
    known = sample_rows(train, TRAIN_ROWS, seed)
    outcomes = Outcomes.of(known[label], holdout[label], task, seed)
    return strength_table(strengths(known, holdout, features, outcomes), limit, find_task(task).leak_metric)


def strength_table(measured: Sequence[Strength], limit: float, metric: str) -> pl.DataFrame:
    """Return strengths as ``suspicious_features`` does."""
    by_name = {"feature": [one.name for one in measured], metric: [one.unseen for one in measured]}
    return (
        pl.DataFrame(by_name)
        .with_columns(limit=pl.lit(limit), suspicious=pl.col(metric) >= limit)
        .sort(metric, "feature", descending=[True, False])
    )


def strengths(known: pl.DataFrame, holdout: pl.DataFrame, columns: Sequence[str], outcomes: Outcomes) -> list[Strength]:
    """Measure each column alone, by each way to read it, and keep the best."""
    taught, measured = outcomes.taught, []
    for name in columns:
        encoding = Encoding.learn(known.select(name), [name])
        tried = [(outcomes.strength(way), way) for way in readings(known[name], holdout[name], encoding, taught)]
        unseen, best = max(tried, key=lambda pair: pair[0])
        measured.append(Strength(name, unseen, outcomes.strength_in_train(best), best))
    return measured


def strong_alone(
    measured: Sequence[Strength], doubts: Mapping[str, Sequence[str]], limit: float, spec: LeakSpec, metric: str
) -> Iterator[Finding]:
    """Name what predicts the outcome almost alone, and with less strength what there are doubts about anyway.

    Args:
        doubts: feature -> what speaks against it, beside its strength.
    """
    for one in measured:
        against = "; ".join(doubts.get(one.name, ()))
        seen = f"{metric} {one.unseen:.3f} alone, by {one.reading.name}"
        if one.unseen >= limit:
            reason = f"predicts the outcome almost alone ({seen})" + (f"; {against}" if against else "")
            advice = f"look at what it is made of and when that is known; leave it out, {TRUST}"
            yield Finding("alone", one.name, one.unseen, limit, reason, advice)
        elif against and one.unseen >= spec.doubtful:
            reason = f"predicts well ({seen}), and there are doubts: {against}"
            advice = f"make sure that each of its values was known at the prediction time; leave it out, {TRUST}"
            yield Finding("doubtful", one.name, one.unseen, spec.doubtful, reason, advice)


def better_in_train(measured: Sequence[Strength], outcomes: Outcomes, spec: LeakSpec, metric: str) -> Iterator[Finding]:
    """Name what tells the outcomes of training rows far better than those of the holdout, and than chance makes it."""
    by_chance = _CHANCE * outcomes.error_by_chance
    for one in measured:
        lost = one.train - max(one.unseen, 0.5)
        if lost >= max(spec.train_only, by_chance):
            yield Finding(
                "train_only",
                one.name,
                lost,
                spec.train_only,
                f"predicts far better among training rows than on the holdout ({metric} {one.train:.3f} and "
                f"{one.unseen:.3f}): it holds outcomes of training rows, or something that later rows do not have",
                f"compute it from rows known before each prediction, without the row itself; leave it out, {TRUST}",
            )


def sure_groups(measured: Sequence[Strength], outcomes: Outcomes, spec: LeakSpec) -> Iterator[Finding]:
    """Name values of a feature with which the outcome is all but certain, where outcomes are classes."""
    known, unseen = (outcomes.as_numbers(side) for side in (outcomes.known, outcomes.unseen))
    if not outcomes.are_classes:
        return
    names = list(outcomes.classes or ("positive",))
    if len(names) == 1:
        known, unseen = (np.hstack([side, 1 - side]) for side in (known, unseen))
        names.append("negative")
    for one in measured:
        found = _surest(one.reading, known, unseen, spec.pure)
        if found is not None:
            at, klass, rows, share = found
            yield Finding(
                "sure_group",
                one.name,
                share,
                spec.pure,
                f"of {rows:,} rows in which it {one.reading.describe(at)}, {share:.1%} are {names[klass]}",
                f"see whether that value is set by the outcome or after it; leave it out, {TRUST}",
            )


def _surest(
    reading: ColumnReading, known: np.ndarray, unseen: np.ndarray, limit: float
) -> tuple[int, int, int, float] | None:
    """Return the bin, class, rows and share of the largest group that is sure of a class; None if none is."""
    rows = [np.bincount(bins, minlength=reading.count) for bins in (reading.known, reading.unseen)]
    total = rows[0] + rows[1]
    best = None
    for klass in range(known.shape[1]):
        sides = ((reading.known, known), (reading.unseen, unseen))
        hits = [np.bincount(bins, weights=labels[:, klass], minlength=reading.count) for bins, labels in sides]
        if (hits[0].sum() + hits[1].sum()) / total.sum() > _RARE:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            share, later = (hits[0] + hits[1]) / total, hits[1] / rows[1]
        sure = (rows[1] >= _UNSEEN_ROWS) & (later >= limit) & (_lower(share, total) >= limit)
        for at in np.flatnonzero(sure):
            if best is None or total[at] > best[2]:
                best = (int(at), klass, int(total[at]), float(share[at]))
    return best


def _lower(share: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the lower end of Wilson's interval of a share."""
    with np.errstate(invalid="ignore", divide="ignore"):
        z = _SURE**2 / rows
        return (share + z / 2 - np.sqrt(z * (share * (1 - share) + z / 4))) / (1 + z)
