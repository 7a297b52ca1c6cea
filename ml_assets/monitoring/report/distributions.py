"""Distributions of features, reference against analysis, as PNG bytes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ml_assets.monitoring.report.plots import BLUE, DPI, GREY, new_figure
from ml_assets.training.plots.figure import as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CATEGORIES = 12
_LABELS = ("reference", "this period")
_BARS: tuple[dict[str, Any], ...] = ({"color": GREY, "alpha": 0.5}, {"color": BLUE})
_STEPS: tuple[dict[str, Any], ...] = (
    {"color": GREY, "alpha": 0.5, "fill": True},
    {"color": BLUE, "linewidth": 1.8},
)
_ACROSS, _WIDTH, _HEIGHT = 2, 4.2, 2.0  # panels in a row; inches of a panel
_LEFT, _BELOW, _RIGHT, _ABOVE = 0.55, 0.5, 0.2, 0.3  # inches around what is drawn in a panel


def plot_distribution(reference: pl.Series, analysis: pl.Series, feature: str) -> bytes:
    """Draw the shares of rows of one feature, reference against analysis: 20 bins of a number, or its main categories.

    The bins span the 1 to 99 % quantiles of both; what lies beyond is counted in the outer bins.
    """
    figure, axes = new_figure(7.2, 2.8)
    if _is_number(analysis):
        edges, shares = _number_shares(reference, analysis)
        for part, label, style in zip(shares, _LABELS, _STEPS, strict=True):
            axes.stairs(part, edges, label=label, **style)
    else:
        names, shares = _category_shares(reference, analysis)
        places = np.arange(len(names))
        for part, off, label, style in zip(shares, (-0.2, 0.2), _LABELS, _BARS, strict=True):
            axes.bar(places + off, part, 0.4, label=label, **style)
        axes.set_xticks(places, [name[:18] for name in names], rotation=30, ha="right", parse_math=False)
    axes.set_ylabel("share of rows", fontsize=8)
    axes.set_title(f"{feature}: reference and this period", fontsize=9, loc="left", parse_math=False)
    axes.legend(fontsize=7, frameon=False)
    return as_png(figure, colours=None)


def plot_distributions(reference: pl.DataFrame, analysis: pl.DataFrame, features: Sequence[str]) -> bytes:
    """Draw several features as ``plot_distribution`` draws one, two in a row.

    All share one pair of axes, in inches: to lay out and draw a pair each takes twenty times as long.
    """
    from matplotlib.figure import Figure

    rows = (len(features) + _ACROSS - 1) // _ACROSS
    width, height = _ACROSS * _WIDTH, rows * _HEIGHT
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.set_axis_off()
    for at, feature in enumerate(features):
        left, top = at % _ACROSS * _WIDTH, height - at // _ACROSS * _HEIGHT
        _draw_panel(axes, (left + _LEFT, top - _HEIGHT + _BELOW), reference[feature], analysis[feature], feature)
    for label, colour, off in zip(_LABELS, (GREY, BLUE), (0.65, 0.0), strict=True):
        axes.text(width - _RIGHT - off, height - 0.02, label, fontsize=7, ha="right", va="top", color=colour)
    return as_png(figure, colours=None)


def _draw_panel(
    axes: "Axes", corner: tuple[float, float], reference: pl.Series, analysis: pl.Series, feature: str
) -> None:
    """Draw one feature to the right of a corner and above it, its shares scaled to the greatest of them."""
    left, floor = corner
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BELOW - _ABOVE
    below: dict[str, Any] = {"fontsize": 7, "va": "top", "parse_math": False}
    if _is_number(analysis):
        edges, shares = _number_shares(reference, analysis)
        greatest = _greatest(shares)
        places = left + (edges - edges[0]) / (edges[-1] - edges[0]) * width
        for part, style in zip(shares, _STEPS, strict=True):
            axes.stairs(floor + part / greatest * height, places, baseline=floor, **style)
        for place, value in ((0, edges[0]), (len(edges) // 2, edges[len(edges) // 2]), (-1, edges[-1])):
            axes.text(places[place], floor - 0.05, f"{value:.4g}", ha="center", **below)
    else:
        names, shares = _category_shares(reference, analysis)
        greatest, step = _greatest(shares), width / max(len(names), 1)
        places = left + (np.arange(len(names)) + 0.5) * step
        for part, off, style in zip(shares, (-0.2, 0.2), _BARS, strict=True):
            axes.bar(places + off * step, part / greatest * height, 0.4 * step, bottom=floor, **style)
        for place, name in zip(places, names, strict=True):
            axes.text(place, floor - 0.05, name[:14], ha="right", rotation=30, rotation_mode="anchor", **below)
    axes.plot([left, left, left + width], [floor + height, floor, floor], color="black", linewidth=0.8)
    for share, of in ((0.0, 0.0), (1.0, greatest)):
        axes.text(left - 0.05, floor + share * height, f"{of:.0%}", fontsize=7, ha="right", va="center")
    axes.text(left, floor + height + 0.08, feature, fontsize=9, parse_math=False)


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype == pl.Boolean


def _greatest(shares: Sequence[np.ndarray]) -> float:
    return max((float(part.max()) for part in shares if part.size), default=0.0) or 1.0


def _number_shares(reference: pl.Series, analysis: pl.Series) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the edges of 20 bins, and the shares of rows in them."""
    known = [column.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy() for column in (reference, analysis)]
    both = np.concatenate(known)
    low, high = np.quantile(both, [0.01, 0.99]) if both.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 21)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in known]
    return edges, [part / max(values.size, 1) for part, values in zip(counts, known, strict=True)]


def _category_shares(reference: pl.Series, analysis: pl.Series) -> tuple[list[str], list[np.ndarray]]:
    """Return the main categories, and the shares of rows of them."""
    shares = [
        column.cast(pl.String).fill_null("(null)").alias("category").value_counts(normalize=True, name="share")
        for column in (reference, analysis)
    ]
    joined = shares[0].join(shares[1], on="category", how="full", coalesce=True, suffix="_now").fill_null(0)
    top = joined.sort(pl.max_horizontal("share", "share_now"), descending=True).head(MOST_CATEGORIES)
    return top["category"].to_list(), [top[name].to_numpy() for name in ("share", "share_now")]
