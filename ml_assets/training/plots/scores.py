"""Scores of a holdout beside what was known later, drawn."""

from collections.abc import Sequence

import numpy as np

from ml_assets.training.plots.figure import BLUE, GREY, ORANGE, as_png, new_figure

_POINTS = 300  # of a curve; more cannot be seen at this size
_TOP_CLASSES = 15


def plot_roc(label: np.ndarray, score: np.ndarray) -> bytes:
    """Draw the true against false positive rate over all thresholds; label 0/1 and score of shape (n,)."""
    order = np.argsort(-score, kind="stable")
    label, score = np.asarray(label, dtype=np.float64)[order], score[order]
    last_of_ties = np.r_[score[1:] < score[:-1], True]
    hits, alarms = np.cumsum(label)[last_of_ties], np.cumsum(1 - label)[last_of_ties]
    hits, alarms = np.r_[0, hits] / hits[-1], np.r_[0, alarms] / alarms[-1]
    shown = np.unique(np.linspace(0, len(hits) - 1, _POINTS).astype(int))
    figure, axes = new_figure("ROC on the holdout", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance")
    axes.plot(alarms[shown], hits[shown], color=BLUE, label=f"model, area {np.trapezoid(hits, alarms):.3f}")
    axes.legend(loc="lower right", frameon=False)
    return as_png(figure)


def plot_calibration(label: np.ndarray, score: np.ndarray, bins: int = 10) -> bytes:
    """Draw the observed share of positives against mean score, in bins of equal mass."""
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, bins)
    predicted = [score[part].mean() for part in parts if len(part)]
    observed = [label[part].mean() for part in parts if len(part)]
    figure, axes = new_figure("Calibration on the holdout", "mean score", "share of positives")
    top = max(*predicted, *observed) * 1.05
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.plot(predicted, observed, color=BLUE, marker="o", label=f"model, {bins} bins of equal mass")
    axes.legend(loc="upper left", frameon=False)
    return as_png(figure)


def plot_residuals(label: np.ndarray, value: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None = None) -> bytes:
    """Draw known minus predicted number against the predicted one, with the mean in bins of equal mass.

    Args:
        ends: lower and upper ends of the rows' intervals, drawn as far as they lie from the prediction.
    """
    residual = label - value
    order = np.argsort(value, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, 10 * _POINTS).astype(int))]
    parts = [part for part in np.array_split(order, 20) if len(part)]
    figure, axes = new_figure("Residuals on the holdout", "prediction", "label - prediction")
    axes.scatter(value[shown], residual[shown], s=3, color=GREY, alpha=0.5, label="row")
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    if ends is not None:
        for end, name in zip(ends, ("interval", None), strict=True):
            axes.plot(value[shown], (end - value)[shown], color=ORANGE, linewidth=1, label=name)
    means = [[numbers[part].mean() for part in parts] for numbers in (value, residual)]
    axes.plot(*means, color=BLUE, marker="o", markersize=4, label="mean")
    axes.set_ylim(*_around(residual, ends, value))
    axes.legend(loc="best", frameon=False)
    return as_png(figure)


def _around(residual: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None, value: np.ndarray) -> tuple[float, float]:
    """Return a window that a few far rows do not stretch."""
    low, high = np.quantile(residual, [0.005, 0.995])
    if ends is not None:
        low, high = min(low, (ends[0] - value).min()), max(high, (ends[1] - value).max())
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def plot_confusion(label: np.ndarray, called: np.ndarray, classes: Sequence[str]) -> bytes:
    """Draw the share of each known class's rows that were called each class; label and called are positions of classes.

    Of many classes the most frequent are shown.
    """
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (label, called), 1)
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:_TOP_CLASSES])
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)[np.ix_(shown, shown)]
    figure, axes = new_figure("Confusion on the holdout", "called", "known")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [str(classes[at])[:16] for at in shown]
    axes.set_xticks(range(len(shown)), names, rotation=35, ha="right", fontsize=7)
    axes.set_yticks(range(len(shown)), names, fontsize=7)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=7, color=color)
    return as_png(figure)
