"""Plots of drift and performance as PNG bytes, drawn without Matplotlib's global state.

Colours are two of Okabe and Ito and one hue from light to dark: both hold for colour-blind readers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.training.plots.figure import as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6B6B6B"
DPI = 90
MOST_FEATURES = 30


def plot_drift(drift: pl.DataFrame, order: Sequence[str] | None = None) -> bytes:
    """Draw a heat map of PSI: features (at most 30) by chunk, and the whole period on the right.

    Colours go by the logarithm of PSI, from a tenth of the threshold to the greatest value, so that much drift and very
    much differ; values above the threshold are written out.

    Args:
        drift: what ``measure_drift`` returned.
        order: features from top to bottom, such as by impact; by default those with most drift first.
    """
    from matplotlib.colors import LogNorm

    psi = drift.filter(method="psi")
    ranked = psi.filter(scope="period").sort("value", "feature", descending=[True, False])
    threshold = ranked["threshold"][0]
    if order is not None:
        ranked = pl.DataFrame({"feature": order}).join(ranked, on="feature", maintain_order="left")
    features = ranked["feature"].head(MOST_FEATURES).to_list()
    wide = psi.filter(scope="chunk").pivot("chunk_start", index="feature", values="value", sort_columns=True)
    wide = ranked.select("feature").join(wide, on="feature", how="left", maintain_order="left")
    grid = wide.drop("feature").with_columns(ranked["value"].alias("period")).head(MOST_FEATURES).to_numpy()
    starts = psi.filter(scope="chunk")["chunk_start"].unique().sort()

    figure, axes = new_figure(7.2, 1.3 + 0.22 * len(features))
    known = grid[np.isfinite(grid)]
    scale = LogNorm(threshold / 10, max(2 * threshold, known.max(initial=0.0)), clip=True)
    image = axes.imshow(np.maximum(grid, threshold / 10), cmap="Blues", norm=scale, aspect="auto")
    axes.set_xticks(range(grid.shape[1]), [*(f"{start:%d %b}" for start in starts), "period"], parse_math=False)
    axes.set_yticks(range(len(features)), features, parse_math=False)
    axes.tick_params(length=0, labelsize=8)
    axes.axvline(grid.shape[1] - 1.5, color="black", linewidth=1)
    for row, column in np.argwhere(grid > threshold):
        axes.text(
            column,
            row,
            f"{grid[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if scale(grid[row, column]) > 0.6 else "black",
        )
    steps = [threshold * times for times in (0.1, 0.3, 1, 3, 10, 30, 100) if threshold * times <= scale.vmax]
    # With ticks of their own: labels of a logarithmic scale are typeset as formulas, half of what drawing costs.
    bar = figure.colorbar(image, ax=axes, extend="min", fraction=0.04, pad=0.02, format="{x:.3g}", ticks=steps)
    bar.minorticks_off()
    bar.ax.axhline(threshold, color=VERMILION, linewidth=1.5)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(f"PSI, logarithmic (threshold {threshold:g})", fontsize=8)
    axes.set_title("Drift by feature and chunk", fontsize=10, loc="left")
    return as_png(figure, colours=None)


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

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes
