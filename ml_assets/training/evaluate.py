"""How good a model is on rows it has not seen, beside the naive baseline, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.durations import parse_duration
from ml_assets.training.bootstrap import Interval, bootstrap
from ml_assets.training.metrics import METRICS, rank_scores
from ml_assets.training.spec import EvaluationSpec

MODEL, BASELINE, IMPROVEMENT = "model", "baseline", "improvement"


@dataclass(frozen=True)
class Evaluation:
    """Holdout measurements, ready to be stored.

    ``metrics`` has one row per subject and metric: subject (``model``, ``baseline``, or ``improvement`` =
    paired difference of the two, positive when the model is better), metric, value, low, high,
    confidence, resamples, rows.

    ``slices`` has one row per value of each slice column: slice, value (text, null kept), rows,
    prevalence, mean_score, roc_auc (null when only one class occurs), brier.
    """

    rows: int
    prevalence: float
    threshold: float
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
    threshold: float,
    slices: Sequence[str],
    evaluation: EvaluationSpec,
    seed: int,
) -> Evaluation:
    """Measure scores against known labels.

    Args:
        frame: scored rows with the label (0/1 or boolean), the prediction time and the slice columns.
        score: the model's probabilities, shape (rows,), in row order.
        baseline_score: the baseline's.
        threshold: probability from which a row counts as called positive.

    Raises:
        ValueError: a slice column is missing, or too few rows of one class for an interval.
    """
    outcome = frame[label].cast(pl.Float64).to_numpy()
    measured = bootstrap(
        {
            MODEL: rank_scores(outcome, score, threshold),
            BASELINE: rank_scores(outcome, baseline_score, threshold),
        },
        resamples=evaluation.resamples,
        seed=seed,
        blocks=time_blocks(frame[time], evaluation.block),
    )
    rows = []
    for metric in METRICS:
        for subject in (MODEL, BASELINE):
            rows.append(_row(subject, metric, measured.interval(subject, metric, evaluation.confidence)))
        better = measured.improvement(MODEL, BASELINE, metric, evaluation.confidence)
        rows.append(_row(IMPROVEMENT, metric, better))
    return Evaluation(
        rows=frame.height,
        prevalence=float(outcome.mean()),
        threshold=threshold,
        metrics=pl.DataFrame(rows).with_columns(rows=pl.lit(frame.height, pl.Int64)),
        slices=measure_slices(frame, score, label=label, slices=slices),
    )


def read_interval(metrics: pl.DataFrame, subject: str, metric: str) -> Interval:
    """One interval out of ``Evaluation.metrics`` or the table it was stored in (one evaluation's rows).

    Raises:
        ValueError: the frame holds not exactly one such row.
    """
    found = metrics.filter(pl.col("subject") == subject, pl.col("metric") == metric)
    if found.height != 1:
        raise ValueError(f"{found.height} rows for {metric} of {subject} in the evaluation, there must be one")
    row = found.row(0, named=True)
    return Interval(row["value"], row["low"], row["high"], row["confidence"], row["resamples"])


def time_blocks(time: pl.Series, block: str | None) -> np.ndarray | None:
    """Each row's block of prediction time, counted from 1970 (UTC), int64; None without blocks."""
    if block is None:
        return None
    length = parse_duration(block).total_seconds() * 1_000_000
    return (time.dt.epoch("us") // int(length)).to_numpy()


def measure_slices(frame: pl.DataFrame, score: np.ndarray, *, label: str, slices: Sequence[str]) -> pl.DataFrame:
    """Measure each value of each slice column by itself; the columns are those of ``Evaluation.slices``."""
    missing = [name for name in slices if name not in frame.columns]
    if missing:
        raise ValueError(f"slices {missing} are not columns of the training set: add them to spine.columns")
    scored = frame.select(
        pl.col(label).cast(pl.Float64).alias("__label"), pl.Series("__score", score), *dict.fromkeys(slices)
    )
    schema = {
        "slice": pl.String,
        "value": pl.String,
        "rows": pl.Int64,
        "prevalence": pl.Float64,
        "mean_score": pl.Float64,
        "roc_auc": pl.Float64,
        "brier": pl.Float64,
    }
    parts = [_measure_slice(scored, name).cast(schema) for name in slices]
    return pl.concat([pl.DataFrame(schema=schema), *parts])


def _measure_slice(scored: pl.DataFrame, name: str) -> pl.DataFrame:
    label, score = pl.col("__label"), pl.col("__score")
    positives = label.sum()
    pairs = positives * (pl.len() - positives)
    # Mann-Whitney: the rank sum of the positives counts the pairs in which the positive scores higher.
    wins = score.rank("average").filter(label == 1).sum() - positives * (positives + 1) / 2
    return (
        scored.group_by(pl.col(name).cast(pl.String).alias("value"))
        .agg(
            rows=pl.len(),
            prevalence=label.mean(),
            mean_score=score.mean(),
            roc_auc=pl.when(pairs > 0).then(wins / pairs),
            brier=((score - label) ** 2).mean(),
        )
        .sort("value")
        .select(pl.lit(name).alias("slice"), "value", "rows", "prevalence", "mean_score", "roc_auc", "brier")
    )


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
