"""Plots of drift and performance as PNG bytes, drawn without Matplotlib's global state.

Colours are two of Okabe and Ito and one hue from light to dark: both hold for colour-blind readers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml_assets.training.plots.figure import as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6B6B6B"
DPI = 90
MOST_FEATURES = 30
MOST_CATEGORIES = 12


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

    figure, axes = _figure(7.2, 1.3 + 0.22 * len(features))
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
    bar = figure.colorbar(image, ax=axes, extend="min", fraction=0.04, pad=0.02, format="{x:g}")
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
    figure, axes = _figure(7.2, 2.8)
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


def plot_distribution(reference: pl.Series, analysis: pl.Series, feature: str) -> bytes:
    """Draw the shares of rows of one feature, reference against analysis: 20 bins of a number, or its main categories.

    The bins span the 1 to 99 % quantiles of both; what lies beyond is counted in the outer bins.
    """
    figure, axes = _figure(7.2, 2.8)
    _draw_distribution(axes, reference, analysis, f"{feature}: reference and this period")
    return as_png(figure, colours=None)


def plot_distributions(reference: pl.DataFrame, analysis: pl.DataFrame, features: Sequence[str]) -> bytes:
    """Draw several features as ``plot_distribution`` draws one, two in a row."""
    from matplotlib.figure import Figure

    rows = (len(features) + 1) // 2
    figure = Figure(figsize=(8.4, 2.0 * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for axes, feature in zip(panels, features, strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        _draw_distribution(axes, reference[feature], analysis[feature], feature)
    for axes in panels[len(features) :]:
        axes.set_visible(False)
    return as_png(figure, colours=None)


def _draw_distribution(axes: "Axes", reference: pl.Series, analysis: pl.Series, title: str) -> None:
    if analysis.dtype.is_numeric() or analysis.dtype == pl.Boolean:
        _draw_numbers(axes, reference, analysis)
    else:
        _draw_categories(axes, reference, analysis)
    axes.set_ylabel("share of rows", fontsize=8)
    axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    axes.legend(fontsize=7, frameon=False)


def _draw_numbers(axes: "Axes", reference: pl.Series, analysis: pl.Series) -> None:
    known = [column.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy() for column in (reference, analysis)]
    both = np.concatenate(known)
    low, high = np.quantile(both, [0.01, 0.99]) if both.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 21)
    for values, colour, label in zip(known, (GREY, BLUE), ("reference", "this period"), strict=True):
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        style: dict[str, Any] = {"fill": True, "alpha": 0.5} if colour == GREY else {"linewidth": 1.8}
        axes.stairs(counts / max(values.size, 1), edges, color=colour, label=label, **style)


def _draw_categories(axes: "Axes", reference: pl.Series, analysis: pl.Series) -> None:
    shares = [
        column.cast(pl.String).fill_null("(null)").alias("category").value_counts(normalize=True, name="share")
        for column in (reference, analysis)
    ]
    joined = shares[0].join(shares[1], on="category", how="full", coalesce=True, suffix="_now").fill_null(0)
    top = joined.sort(pl.max_horizontal("share", "share_now"), descending=True).head(MOST_CATEGORIES)
    places = np.arange(top.height)
    axes.bar(places - 0.2, top["share"].to_numpy(), 0.4, color=GREY, alpha=0.5, label="reference")
    axes.bar(places + 0.2, top["share_now"].to_numpy(), 0.4, color=BLUE, label="this period")
    axes.set_xticks(places, [name[:18] for name in top["category"]], rotation=30, ha="right", parse_math=False)


def _days(axes: "Axes") -> None:
    from matplotlib.dates import ConciseDateFormatter

    locator = axes.xaxis.get_major_locator()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.grid(axis="y", color="#E5E5E5")
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    """Return a figure of its own (inches), without pyplot, so that nothing outlives it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes
