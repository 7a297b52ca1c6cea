"""Small plots as PNG bytes, drawn without pyplot, so they work in any thread and without a display."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.training.metrics.ranked_scores import METRICS
from ml_assets.training.spec import ParameterRange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
_INCHES, _DPI = (5.2, 3.9), 100
_POINTS = 300  # of a curve; more cannot be seen at this size
_TOP_FEATURES, _TOP_CLASSES = 20, 15


def plot_roc(label: np.ndarray, score: np.ndarray) -> bytes:
    """True against false positive rate over all thresholds; label 0/1 and score of shape (n,)."""
    order = np.argsort(-score, kind="stable")
    label, score = np.asarray(label, dtype=np.float64)[order], score[order]
    last_of_ties = np.r_[score[1:] < score[:-1], True]
    hits, alarms = np.cumsum(label)[last_of_ties], np.cumsum(1 - label)[last_of_ties]
    hits, alarms = np.r_[0, hits] / hits[-1], np.r_[0, alarms] / alarms[-1]
    shown = np.unique(np.linspace(0, len(hits) - 1, _POINTS).astype(int))
    figure, axes = _figure("ROC on the holdout", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="chance")
    axes.plot(alarms[shown], hits[shown], color=BLUE, label=f"model, area {np.trapezoid(hits, alarms):.3f}")
    axes.legend(loc="lower right", frameon=False)
    return _png(figure)


def plot_calibration(label: np.ndarray, score: np.ndarray, bins: int = 10) -> bytes:
    """Observed share of positives against mean score, in bins of equal mass."""
    order = np.argsort(score, kind="stable")
    parts = np.array_split(order, bins)
    predicted = [score[part].mean() for part in parts if len(part)]
    observed = [label[part].mean() for part in parts if len(part)]
    figure, axes = _figure("Calibration on the holdout", "mean score", "share of positives")
    top = max(*predicted, *observed) * 1.05
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.plot(predicted, observed, color=BLUE, marker="o", label=f"model, {bins} bins of equal mass")
    axes.legend(loc="upper left", frameon=False)
    return _png(figure)


def plot_residuals(label: np.ndarray, value: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None = None) -> bytes:
    """Known minus predicted number against the predicted one, with the mean in bins of equal mass.

    Args:
        ends: lower and upper ends of the rows' intervals, drawn as far as they lie from the prediction.
    """
    residual = label - value
    order = np.argsort(value, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, 10 * _POINTS).astype(int))]
    parts = [part for part in np.array_split(order, 20) if len(part)]
    figure, axes = _figure("Residuals on the holdout", "prediction", "label - prediction")
    axes.scatter(value[shown], residual[shown], s=3, color=GREY, alpha=0.5, label="row")
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    if ends is not None:
        for end, name in zip(ends, ("interval", None), strict=True):
            axes.plot(value[shown], (end - value)[shown], color=ORANGE, linewidth=1, label=name)
    means = [[numbers[part].mean() for part in parts] for numbers in (value, residual)]
    axes.plot(*means, color=BLUE, marker="o", markersize=4, label="mean")
    axes.set_ylim(*_around(residual, ends, value))
    axes.legend(loc="best", frameon=False)
    return _png(figure)


def _around(residual: np.ndarray, ends: tuple[np.ndarray, np.ndarray] | None, value: np.ndarray) -> tuple[float, float]:
    """A window that a few far rows do not stretch."""
    low, high = np.quantile(residual, [0.005, 0.995])
    if ends is not None:
        low, high = min(low, (ends[0] - value).min()), max(high, (ends[1] - value).max())
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def plot_confusion(label: np.ndarray, called: np.ndarray, classes: Sequence[str]) -> bytes:
    """Share of each known class's rows that were called each class; label and called are positions of classes.

    Of many classes the most frequent are shown.
    """
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (label, called), 1)
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:_TOP_CLASSES])
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)[np.ix_(shown, shown)]
    figure, axes = _figure("Confusion on the holdout", "called", "known")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [str(classes[at])[:16] for at in shown]
    axes.set_xticks(range(len(shown)), names, rotation=35, ha="right", fontsize=7)
    axes.set_yticks(range(len(shown)), names, fontsize=7)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=7, color=color)
    return _png(figure)


def plot_importance(importance: pl.DataFrame, unit: str = "mean |SHAP value|, log-odds") -> bytes:
    """The features that move the score most; takes what ``explain`` returns, and ``explain.importance_unit``."""
    top = importance.head(_TOP_FEATURES).reverse()
    figure, axes = _figure("What moves the score", unit, "")
    figure.set_figheight(1.2 + 0.2 * top.height)
    axes.barh(top["feature"].to_list(), top["importance"].to_list(), color=BLUE)
    axes.tick_params(axis="y", labelsize=7)
    return _png(figure)


def plot_search_history(history: pl.DataFrame, metric: str) -> bytes:
    """Value of every trial and the best so far; takes what ``search_history`` returns."""
    complete = history.filter(pl.col("state") == "complete")
    pruned = history.filter(pl.col("state") == "pruned")
    figure, axes = _figure("Search", "trial", f"{metric} on validation")
    axes.scatter(complete["trial"], complete["value"], color=BLUE, s=18, label="trial")
    axes.plot(history["trial"], history["best_so_far"], color=ORANGE, drawstyle="steps-post", label="best so far")
    if pruned.height:
        floor = complete["value"].min()
        axes.scatter(pruned["trial"], [floor] * pruned.height, color=GREY, marker="x", s=18, label="pruned")
    axes.legend(loc="best", frameon=False)
    return _png(figure)


def plot_parallel_coordinates(history: pl.DataFrame, space: Mapping[str, ParameterRange], metric: str) -> bytes:
    """One line per trial through its parameters: the darker the better, the best orange, pruned dotted."""
    positions = np.stack([_positions(history[name], declared) for name, declared in space.items()], axis=1)
    order = METRICS[metric].sign * history["value"]
    shades = (order.rank() / max(1, order.count())).to_numpy()
    best = order.arg_max()
    figure, axes = _figure(f"Parameters tried, best {metric} {history['value'][best]:.4f}", "", "")
    for row, (line, shade) in enumerate(zip(positions, shades, strict=True)):
        style = {"color": GREY, "linestyle": ":", "linewidth": 0.8}
        if row == best:
            style = {"color": ORANGE, "linewidth": 2.2, "zorder": 3}
        elif not np.isnan(shade):
            style = {"color": BLUE, "alpha": 0.2 + 0.7 * shade, "linewidth": 1}
        axes.plot(range(len(space)), line, **style)
    ticks = [f"{name}\n{_ends(declared)}" for name, declared in space.items()]
    axes.set_xticks(range(len(space)), ticks, rotation=35, ha="right", fontsize=7)
    axes.set_yticks([0, 1], ["low", "high"])
    return _png(figure)


def _positions(column: pl.Series, declared: ParameterRange) -> np.ndarray:
    """Where values lie between the ends of their range, 0 to 1."""
    if declared.choices is not None:
        at = [declared.choices.index(value) for value in column]
        return np.array(at) / max(1, len(declared.choices) - 1)
    scale = np.log if declared.log else np.asarray
    low, high = scale(declared.low), scale(declared.high)
    return (scale(column.to_numpy()) - low) / (high - low if high > low else 1.0)


def _ends(declared: ParameterRange) -> str:
    if declared.choices is not None:
        return f"{declared.choices[0]}..{declared.choices[-1]}"
    return f"{declared.low:g}..{declared.high:g}{' log' if declared.log else ''}"


def _figure(title: str, x: str, y: str) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    """64 colours are plenty for lines and text, and a third of the bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
