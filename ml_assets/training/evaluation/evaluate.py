"""How good a model is on rows it has not seen, beside the naive baseline, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.durations import format_duration, parse_duration
from ml_assets.training.metrics.bootstrap import Interval, bootstrap
from ml_assets.training.metrics.measure import Measurable
from ml_assets.training.metrics.payoff import Payoff
from ml_assets.training.spec import EvaluationSpec
from ml_assets.training.tasks import BINARY, Task, find_task
from ml_assets.training.tasks.columns import NAIVE_ERROR

MODEL, BASELINE, IMPROVEMENT = "model", "baseline", "improvement"


@dataclass(frozen=True)
class Evaluation:
    """Holdout measurements, ready to be stored.

    ``metrics`` has one row per subject and metric: subject (``model``, ``baseline``, or ``improvement`` =
    paired difference of the two, positive when the model is better), metric, value, low, high,
    confidence, resamples, rows.

    ``slices`` has one row per value of each slice column: slice, value (text, null kept), rows, and by task
    prevalence, mean_score, roc_auc (null when only one class occurs), brier; or accuracy, mean_score, log_loss; or
    mean_label, mean_score, mae, rmse, and of forecasts wape and rmsse.

    ``prevalence`` and ``threshold`` are those of a binary task, else None.
    """

    rows: int
    prevalence: float | None
    threshold: float | None
    metrics: pl.DataFrame
    slices: pl.DataFrame

    @property
    def values(self) -> dict[str, float]:
        """The model's metrics by name."""
        own = self.metrics.filter(pl.col("subject") == MODEL)
        return dict(own.select("metric", "value").iter_rows())


def evaluate(
    frame: pl.DataFrame,
    score: np.ndarray,
    baseline_score: np.ndarray,
    *,
    label: str,
    time: str,
    threshold: float | None,
    slices: Sequence[str],
    evaluation: EvaluationSpec,
    seed: int,
    task: str = BINARY,
    classes: Sequence[str] | None = None,
    metrics: Sequence[str] = (),
    payoff: Payoff | None = None,
    horizon: str | None = None,
) -> Evaluation:
    """Measure scores against known labels.

    Args:
        frame: scored rows with the label, the prediction time and the slice columns.
        score: what the model's ``predict`` gave, in row order: shape (rows,), or (rows, classes).
        baseline_score: the baseline's.
        threshold: probability from which a row counts as called positive; of a binary task alone.
        classes: order of the classes in the scores of a multiclass task.
        metrics: those measured beside the task's own metrics.
        payoff: what decisions bring. The baseline's are then by the threshold that would have brought it most on these
            very rows, so that beating it takes more than to be the only one that knows what pays.
        horizon: the column with how far ahead a row looks, in seconds; None of rows that look nowhere.

    Raises:
        ValueError: a slice column is missing, a label is none of the classes, a payoff is no number, or there are too
            few rows of one class for an interval.
    """
    of = find_task(task)
    outcome = of.outcomes(frame[label], classes)
    names = of.measured_with(metrics)
    measured = bootstrap(
        beside_baseline(of, outcome, score, baseline_score, threshold, frame, payoff),
        resamples=evaluation.resamples,
        seed=seed,
        metrics=names,
        blocks=time_blocks(frame[time], evaluation.block),
    )
    rows = []
    for metric in names:
        for subject in (MODEL, BASELINE):
            rows.append(_row(subject, metric, measured.interval(subject, metric, evaluation.confidence)))
        better = measured.improvement(MODEL, BASELINE, metric, evaluation.confidence)
        rows.append(_row(IMPROVEMENT, metric, better))
    return Evaluation(
        rows=frame.height,
        prevalence=float(outcome.mean()) if of.has_positive else None,
        threshold=threshold if of.has_positive else None,
        metrics=pl.DataFrame(rows).with_columns(rows=pl.lit(frame.height, pl.Int64)),
        slices=measure_slices(frame, score, label=label, slices=slices, task=task, classes=classes, horizon=horizon),
    )


def beside_baseline(
    task: Task,
    outcome: np.ndarray,
    score: np.ndarray,
    baseline_score: np.ndarray,
    threshold: float | None,
    rows: pl.DataFrame,
    payoff: Payoff | None,
) -> dict[str, Measurable]:
    """Pair model and baseline with the outcomes and what else their rows hold; see ``evaluate``."""
    of_baseline = threshold
    if payoff is not None:
        of_baseline = task.choose_threshold(outcome, baseline_score, payoff.of_rows(rows))
    pairs = {MODEL: task.pair(outcome, score, threshold), BASELINE: task.pair(outcome, baseline_score, of_baseline)}
    return {subject: task.beside(scores, rows, payoff) for subject, scores in pairs.items()}


def read_interval(metrics: pl.DataFrame, subject: str, metric: str) -> Interval:
    """Read one interval out of ``Evaluation.metrics`` or the table it was stored in (one evaluation's rows).

    Raises:
        ValueError: the frame holds not exactly one such row.
    """
    matches = metrics.filter(pl.col("subject") == subject, pl.col("metric") == metric)
    if matches.height != 1:
        raise ValueError(f"{matches.height} rows for {metric} of {subject} in the evaluation, there must be one")
    row = matches.row(0, named=True)
    return Interval(row["value"], row["low"], row["high"], row["confidence"], row["resamples"])


def time_blocks(time: pl.Series, block: str | None) -> np.ndarray | None:
    """Return each row's block of prediction time, counted from 1970 (UTC), int64; None without blocks."""
    if block is None:
        return None
    length = parse_duration(block).total_seconds() * 1_000_000
    return (time.dt.epoch("us") // int(length)).to_numpy()


def measure_slices(
    frame: pl.DataFrame,
    score: np.ndarray,
    *,
    label: str,
    slices: Sequence[str],
    task: str = BINARY,
    classes: Sequence[str] | None = None,
    horizon: str | None = None,
) -> pl.DataFrame:
    """Measure each value of each slice column by itself; the columns are those of ``Evaluation.slices``.

    Args:
        horizon: the column whose values are lengths in seconds, shown as 7d.
    """
    missing = [name for name in slices if name not in frame.columns]
    if missing:
        raise ValueError(f"slices {missing} are not columns of the training set: add them to spine.columns")
    of = find_task(task)
    columns = of.slice_columns(of.outcomes(frame[label], classes), score)
    errors = [NAIVE_ERROR] if NAIVE_ERROR in frame.columns else []
    scored = frame.select(*(pl.Series(name, it) for name, it in columns.items()), *dict.fromkeys([*slices, *errors]))
    measures = of.slice_measures() | (of.forecast_measures() if errors else {})
    text, whole, number = pl.String(), pl.Int64(), pl.Float64()
    schema = pl.Schema({"slice": text, "value": text, "rows": whole, **dict.fromkeys(measures, number)})
    parts = [
        scored.group_by((pl.col(name) if name == horizon else pl.col(name).cast(pl.String)).alias("value"))
        .agg(rows=pl.len(), **measures)
        .sort("value")
        .select(pl.lit(name).alias("slice"), _lengths(scored[name]) if name == horizon else "value", "rows", *measures)
        .cast(schema)
        for name in slices
    ]
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _lengths(horizons: pl.Series) -> pl.Expr:
    """Return lengths as people read them: 604,800 seconds as 7d."""
    lengths = horizons.unique().drop_nulls().to_list()
    words = {seconds: format_duration(timedelta(seconds=seconds)) for seconds in lengths}
    return pl.col("value").replace_strict(words, default=None, return_dtype=pl.String)


def _row(subject: str, metric: str, interval: Interval) -> dict[str, str | float | int]:
    return {
        "subject": subject,
        "metric": metric,
        "value": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "confidence": interval.confidence,
        "resamples": interval.resamples,
    }
