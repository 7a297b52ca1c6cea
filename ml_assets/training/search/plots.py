"""A search for parameters, drawn."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from ml_assets.training.plots.figure import BLUE, GREY, ORANGE, as_png, new_figure
from ml_assets.training.spec import ParameterRange
from ml_assets.training.tasks import find_metric


def plot_search_history(history: pl.DataFrame, metric: str) -> bytes:
    """Draw the value of every trial and the best so far; takes what ``search_history`` returns."""
    complete = history.filter(pl.col("state") == "complete")
    pruned = history.filter(pl.col("state") == "pruned")
    figure, axes = new_figure("Search", "trial", f"{metric} on validation")
    axes.scatter(complete["trial"], complete["value"], color=BLUE, s=18, label="trial")
    axes.plot(history["trial"], history["best_so_far"], color=ORANGE, drawstyle="steps-post", label="best so far")
    if pruned.height:
        floor = complete["value"].min()
        axes.scatter(pruned["trial"], np.full(pruned.height, floor), color=GREY, marker="x", s=18, label="pruned")
    axes.legend(loc="best", frameon=False)
    return as_png(figure)


def plot_parallel_coordinates(history: pl.DataFrame, space: Mapping[str, ParameterRange], metric: str) -> bytes:
    """Draw one line per trial through its parameters: the darker the better, the best orange, pruned dotted."""
    positions = np.stack([_positions(history[name], declared) for name, declared in space.items()], axis=1)
    order = find_metric(metric).sign * history["value"]
    shades = (order.rank() / max(1, order.count())).to_numpy()
    best = order.arg_max() or 0
    figure, axes = new_figure(f"Parameters tried, best {metric} {history['value'][best]:.4f}", "", "")
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
    return as_png(figure)


def _positions(column: pl.Series, declared: ParameterRange) -> np.ndarray:
    """Return where values lie between the ends of their range, 0 to 1."""
    if declared.choices is not None:
        at = [declared.choices.index(value) for value in column]
        return np.array(at) / max(1, len(declared.choices) - 1)
    values, (low, high) = column.to_numpy(), np.array(declared.bounds)
    if declared.log:
        values, low, high = np.log(values), np.log(low), np.log(high)
    return (values - low) / (high - low if high > low else 1.0)


def _ends(declared: ParameterRange) -> str:
    if declared.choices is not None:
        return f"{declared.choices[0]}..{declared.choices[-1]}"
    return f"{declared.low:g}..{declared.high:g}{' log' if declared.log else ''}"
