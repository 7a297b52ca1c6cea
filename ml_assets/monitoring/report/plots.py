"""Plots of performance as PNG bytes, drawn without Matplotlib's global state.

Colours are two of Okabe and Ito and one hue from light to dark: both hold for colour-blind readers.
"""

from typing import TYPE_CHECKING

import polars as pl

from ml_assets.training.plots.figure import as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6B6B6B"
DPI = 90


def plot_performance(performance: pl.DataFrame, metric: str) -> bytes:
    """Draw ``metric`` over the chunks: estimated with its band, realised where known, and its limit.

    ``performance`` holds the rows of ``estimate_performance``, of ``realise_performance``, or both.
    """
    chosen = performance.filter(metric=metric).sort("chunk_start")
    chunks = chosen.filter(scope="chunk")
    figure, axes = new_figure(7.2, 2.8)
    for kind, colour, marker in (("estimated", BLUE, "o"), ("realised", VERMILION, "s")):
        rows = chunks.filter(pl.col("value").is_not_null(), kind=kind)
        if rows.is_empty():
            continue
        middle = rows.select(pl.col("chunk_start") + (pl.col("chunk_end") - pl.col("chunk_start")) / 2)
        times, values = middle.to_series().to_list(), rows["value"].to_numpy()
        axes.plot(times, values, color=colour, marker=marker, markersize=5, linewidth=1.5, label=kind)
        if rows["lower"].null_count() < rows.height:
            axes.fill_between(
                times,
                rows["lower"].to_numpy(),
                rows["upper"].to_numpy(),
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
    limit = chosen["threshold"].drop_nulls()
    if not limit.is_empty():
        axes.axhline(limit[0], color="black", linestyle="--", linewidth=1, label=f"limit {limit[0]:g}")
    axes.set_title(f"{metric} by chunk", fontsize=10, loc="left")
    _days(axes)
    return as_png(figure, colours=None)


def _days(axes: "Axes") -> None:
    from matplotlib.dates import ConciseDateFormatter

    locator = axes.xaxis.get_major_locator()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.grid(axis="y", color="#E5E5E5")
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def new_figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return a figure of its own (inches), without pyplot, so that nothing outlives it."""
    from matplotlib.figure import Figure

    from ml_assets.training.plots.layout import MeasuredOnce

    figure = Figure(figsize=(width, height), dpi=DPI, layout=MeasuredOnce())
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes
