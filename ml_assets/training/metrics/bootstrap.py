"""Bootstrap: how far a metric, or a difference of two, would move if other rows had come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml_assets.training.metrics.measure import Measurable, measure
from ml_assets.training.metrics.metric import Metric

_CELLS = 500_000  # rows x resamples weighed at once: arrays of 4 MB, which stay in the cache


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided percentile interval; ``resamples`` are those in which it was defined."""

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class Bootstrap:
    """Metrics of several scorings of the same rows, over the same resamples of those rows.

    ``estimates`` and ``samples`` are keyed by (subject, metric); each sample array has shape (resamples,).
    """

    estimates: dict[tuple[str, str], float]
    samples: dict[tuple[str, str], np.ndarray]
    metrics: Mapping[str, Metric]

    def interval(self, subject: str, metric: str, confidence: float) -> Interval:
        """Return the interval of one subject's metric."""
        key = (subject, metric)
        return _percentiles(self.estimates[key], self.samples[key], confidence, f"{metric} of {subject}")

    def improvement(self, subject: str, over: str, metric: str, confidence: float) -> Interval:
        """Return the paired difference ``subject - over``, turned so that positive means that ``subject`` is better.

        Both are measured on the same resamples, so what makes a resample easy or hard cancels out.
        """
        a, b, sign = (subject, metric), (over, metric), self.metrics[metric].sign
        estimate = sign * (self.estimates[a] - self.estimates[b])
        samples = sign * (self.samples[a] - self.samples[b])
        return _percentiles(estimate, samples, confidence, f"difference in {metric} of {subject} and {over}")


def bootstrap(
    subjects: Mapping[str, Measurable],
    *,
    resamples: int,
    seed: int,
    metrics: Sequence[str] | None = None,
    blocks: np.ndarray | None = None,
) -> Bootstrap:
    """Measure every subject on the same resamples, drawn with replacement.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile interval, chapter
    13). With ``blocks`` whole groups of rows are drawn (cluster bootstrap, Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8), which is right when rows of a group are
    alike.

    Args:
        subjects: name -> scores of the same n rows, in the same row order.
        metrics: names of those to measure; by default all that the scores know.
        blocks: group of each row, shape (n,), any sortable dtype; None draws single rows.

    Raises:
        ValueError: subjects differ in their rows or labels, or blocks has another length.
    """
    of_all = [scores.metrics for scores in subjects.values()]
    metrics = list(dict.fromkeys(name for known in of_all for name in known)) if metrics is None else metrics
    known = {name: known[name] for known in of_all for name in metrics if name in known}
    rows = _common_rows(subjects)
    draw = _row_draw(rows) if blocks is None else _block_draw(np.asarray(blocks), rows)
    rng = np.random.default_rng(seed)
    samples = {(subject, metric): np.empty(resamples) for subject in subjects for metric in metrics}
    step = max(1, _CELLS // rows)
    for start in range(0, resamples, step):
        part = slice(start, min(start + step, resamples))
        weights = draw(rng, part.stop - part.start)
        for subject, scores in subjects.items():
            for metric, values in scores.weigh(weights, metrics).items():
                samples[subject, metric][part] = values
    estimates = {
        (subject, metric): value
        for subject, scores in subjects.items()
        for metric, value in measure(scores, metrics).items()
    }
    return Bootstrap(estimates, samples, known)


def _common_rows(subjects: Mapping[str, Measurable]) -> int:
    labels = [scores.labels() for scores in subjects.values()]
    if not all(np.array_equal(labels[0], other) for other in labels[1:]):
        raise ValueError(f"{list(subjects)} were not scored on the same rows: a paired bootstrap needs the same labels")
    return len(labels[0])


def _row_draw(rows: int):
    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        picks = rng.integers(0, rows, (size, rows)) + np.arange(size)[:, None] * rows
        return np.bincount(picks.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)

    return draw


def _block_draw(blocks: np.ndarray, rows: int):
    if blocks.shape != (rows,):
        raise ValueError(f"blocks has shape {blocks.shape}, there are {rows} rows")
    names, member = np.unique(blocks, return_inverse=True)
    draw_blocks = _row_draw(len(names))

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        return draw_blocks(rng, size)[:, member]

    return draw


def _percentiles(estimate: float, samples: np.ndarray, confidence: float, what: str) -> Interval:
    defined = samples[~np.isnan(samples)]
    if np.isnan(estimate) or len(defined) < len(samples) / 2:
        raise ValueError(
            f"the {what} is undefined in {len(samples) - len(defined)} of {len(samples)} resamples:"
            " the rows hold too few of one class"
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(estimate), float(low), float(high), confidence, len(defined))
