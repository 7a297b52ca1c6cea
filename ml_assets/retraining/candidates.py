"""A training as of a moment, end to end in memory, by the functions that the training assets call."""

import time
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from ml_assets.training.fit import TrainedModel
from ml_assets.training.metrics.bootstrap import Interval
from ml_assets.training.predictions.scored import scored
from ml_assets.training.spec import ModelSpec
from ml_assets.training.splits import Split


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


@dataclass(frozen=True)
class FittedCandidate:
    """A model fitted as of a moment, and its untouched holdout scored by it and by the naive baseline."""

    split: Split
    model: TrainedModel
    reference: pl.DataFrame
    baseline_score: np.ndarray


def fit_as_of(
    rows: pl.DataFrame, spec: ModelSpec, features: list[str], as_of: datetime, studies: str, sampled: bool = False
) -> FittedCandidate:
    """Split, search and fit as of a moment.

    Args:
        rows: spine rows with features, label and the time the label was known; later ones are not looked at.
        studies: SQLAlchemy URL of the Optuna storage; a search that lies there goes on.
        sampled: whether the spine declares a sample: then a row counts as all that it stands for.

    Raises:
        ValueError: a part of the split has too few rows.
    """
    from ml_assets.training.evaluation.baseline import score_baseline
    from ml_assets.training.fit import fit_model
    from ml_assets.training.search.search import search_parameters
    from ml_assets.training.splits import split_for_model

    label, seed = spec.label.column, spec.seed
    split = split_for_model(rows, spec, as_of)
    shared = {
        "features": features,
        "label": label,
        "training": spec.training,
        "metric": spec.optimised_metric,
        "seed": seed,
        "time": spec.spine.time,
        "payoff": spec.payoff,
        "sampled": sampled,
    }
    shared |= {"task": spec.task, "kind": spec.kind}
    tuned = search_parameters(
        split.train, split.validation, model=spec.name, search=spec.search, storage=studies, **shared
    )
    parameters = tuned.parameters | spec.training.parameters
    model = fit_model(
        split.train,
        split.validation,
        split.calibration,
        parameters=parameters,
        calibration=spec.calibration,
        intervals=spec.intervals,
        **shared,
    )
    reference = scored(split.holdout, model)
    return FittedCandidate(split, model, reference, score_baseline(split.train, reference, spec, model.classes))


def train_candidate(
    rows: pl.DataFrame, spec: ModelSpec, features: list[str], as_of: datetime, studies: str, sampled: bool = False
) -> Candidate:
    """Split, search, fit and evaluate as of a moment; arguments and errors are those of ``fit_as_of``."""
    from ml_assets.training.evaluation.evaluate import BASELINE, MODEL, beside_baseline, time_blocks
    from ml_assets.training.metrics.bootstrap import bootstrap
    from ml_assets.training.metrics.measure import measure
    from ml_assets.training.tasks import find_task

    began = time.perf_counter()
    fitted = fit_as_of(rows, spec, features, as_of, studies, sampled)
    reference, model = fitted.reference, fitted.model
    task = find_task(spec.task)
    outcome = task.outcomes(reference[spec.label.column], model.classes)
    scores = task.read_scores(reference, model.classes), fitted.baseline_score
    subjects = beside_baseline(task, outcome, *scores, model.threshold, reference, spec.payoff)
    # Floors need values alone; an interval is needed of one metric's difference only.
    resampled = bootstrap(
        subjects,
        resamples=spec.evaluation.resamples,
        seed=spec.seed,
        metrics=[spec.promotion.metric],
        blocks=time_blocks(reference[spec.spine.time], spec.evaluation.block),
    )
    return Candidate(
        as_of=as_of,
        model=model,
        reference=reference,
        values=measure(subjects[MODEL], task.measured_with(spec.extra_metrics)),
        over_baseline=resampled.improvement(MODEL, BASELINE, spec.promotion.metric, spec.evaluation.confidence),
        trained_rows=fitted.split.train.height,
        seconds=time.perf_counter() - began,
    )
