"""A training as of a moment, end to end in memory, by the functions that the training assets call."""

import time
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.training.bootstrap import Interval
from ml_assets.training.fit import TrainedModel, predict
from ml_assets.training.scored import PREDICTION, SCORE, scored
from ml_assets.training.spec import ModelSpec

__all__ = ["PREDICTION", "SCORE", "Candidate", "scored", "train_candidate"]


@dataclass(frozen=True)
class Candidate:
    """A model trained on what was known at ``as_of``, with its untouched holdout.

    Attributes:
        reference: holdout rows with ``score`` and ``prediction``.
        values: holdout metrics by name.
        over_baseline: paired difference to the naive baseline in the promotion's metric.
        trained_rows: labelled rows it was fitted on.
        seconds: what search, fit and evaluation took.
    """

    as_of: datetime
    model: TrainedModel
    reference: pl.DataFrame
    values: dict[str, float]
    over_baseline: Interval
    trained_rows: int
    seconds: float


def train_candidate(
    rows: pl.DataFrame, spec: ModelSpec, features: list[str], as_of: datetime, studies: str
) -> Candidate:
    """Split, search, fit and evaluate as of a moment.

    Args:
        rows: spine rows with features, label and the time the label was known; later ones are not looked at.
        studies: SQLAlchemy URL of the Optuna storage; a search found there goes on.

    Raises:
        ValueError: a part of the split has too few rows.
    """
    from ml_assets.training.baseline import fit_baseline, predict_baseline
    from ml_assets.training.evaluate import IMPROVEMENT, evaluate, read_interval
    from ml_assets.training.fit import fit_model
    from ml_assets.training.search import search_parameters
    from ml_assets.training.splits import split_by_time

    began = time.perf_counter()
    label, seed = spec.label.column, spec.seed
    split = split_by_time(rows, spine=spec.spine, label=spec.label, split=spec.split, as_of=as_of)
    shared = {"features": features, "label": label, "training": spec.training, "metric": spec.metric, "seed": seed}
    shared |= {"task": spec.task, "kind": spec.kind}
    tuned = search_parameters(
        split.train, split.validation, model=spec.name, search=spec.search, storage=studies, **shared
    )
    parameters = tuned.parameters | spec.training.parameters
    model = fit_model(split.train, split.validation, parameters=parameters, calibration=spec.calibration, **shared)
    score = predict(model, split.holdout)
    baseline = fit_baseline(split.train, label=label, by=spec.baseline.by)
    measured = evaluate(
        split.holdout,
        score,
        predict_baseline(baseline, split.holdout),
        label=label,
        time=spec.spine.time,
        threshold=model.threshold,
        slices=[],
        evaluation=spec.evaluation,
        seed=seed,
    )
    return Candidate(
        as_of=as_of,
        model=model,
        reference=scored(split.holdout, model),
        values=measured.values,
        over_baseline=read_interval(measured.metrics, IMPROVEMENT, spec.promotion.metric),
        trained_rows=split.train.height,
        seconds=time.perf_counter() - began,
    )
