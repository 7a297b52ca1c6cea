"""Drift by feature and chunk as PNG bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ml_assets.monitoring.report.plots import DPI, VERMILION
from ml_assets.training.plots.figure import as_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FEATURES = 30
_STEPS = (0.3, 1, 3, 10, 30, 100)  # times the threshold, marked on the scale above its least
# Inches.
_WIDTH, _ROW, _PERIOD, _EDGE = 7.2, 0.25, 0.6, 0.06
_LEAST_WIDE, _LEAST_HIGH = 3.0, 0.9  # of what is coloured
_ABOVE, _BELOW, _BESIDE, _BAR = 0.32, 0.3, 1.0, 0.16
_DAY, _NUMBER = 0.52, 0.3  # room that a chunk's label and a value take


@dataclass(frozen=True)
class _Places:
    """Where things lie, in inches from the left and from below.

    Attributes:
        columns: edges of the chunks and of the period, from left to right.
        rows: edges of the features, from top to bottom.
    """

    columns: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, features: Sequence[str], chunks: int) -> "_Places":
        left = _EDGE + _widest(features) + 0.05
        wide = max(_WIDTH - left - _BESIDE, _LEAST_WIDE, _PERIOD + 0.05 * chunks)
        columns = np.append(np.linspace(left, left + wide - _PERIOD, chunks + 1), left + wide)
        high = max(_ROW * len(features), _LEAST_HIGH)
        return cls(columns, np.linspace(_BELOW + high, _BELOW, len(features) + 1))

    @property
    def size(self) -> tuple[float, float]:
        return float(self.columns[-1] + _BESIDE), float(self.rows[0] + _ABOVE)


@dataclass(frozen=True)
class _Scale:
    """The logarithmic scale of colours, which ends at the values ``least`` and ``most``."""

    threshold: float
    least: float
    most: float

    @classmethod
    def of(cls, values: np.ndarray, threshold: float) -> "_Scale":
        greatest = float(values[np.isfinite(values)].max(initial=0.0))
        return cls(threshold, threshold / 10, max(2 * threshold, greatest))

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return how far up values lie, 0 to 1; NaN stays."""
        return np.log(np.clip(values, self.least, self.most) / self.least) / np.log(self.most / self.least)

    def draw(self, axes: "Axes", columns: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
        """Colour cells between edges, in inches."""
        axes.pcolormesh(columns, rows, self.place(values), cmap="Blues", vmin=0.0, vmax=1.0)


def plot_drift(drift: pl.DataFrame, order: Sequence[str] | None = None) -> bytes:
    """Draw a heat map of PSI: features (at most 30) by chunk, and the whole period on the right.

    Colours go by the logarithm of PSI, from a tenth of the threshold to the greatest value, so that much drift and very
    much differ; values above the threshold are written out where they have room.

    All lies in one pair of axes, in inches: ticks, a colour bar and a layout that fits them take four times as long.

    Args:
        drift: what ``measure_drift`` returned.
        order: features from top to bottom, such as by impact; by default those with most drift first.
    """
    from matplotlib.figure import Figure

    psi = drift.filter(method="psi")
    features, grid = _ranked(psi, order)
    starts = psi.filter(scope="chunk")["chunk_start"].unique().sort()
    places, scale = _Places.of(features, len(starts)), _Scale.of(grid, psi["threshold"][0])

    width, height = places.size
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.set_axis_off()
    scale.draw(axes, places.columns, places.rows, grid)
    _name(axes, places, features, [f"{start:%d %b}" for start in starts])
    _write_values(axes, places, scale, grid)
    _draw_scale(axes, places, scale)
    axes.text(places.columns[0], places.rows[0] + 0.1, "Drift by feature and chunk", fontsize=10)
    return as_png(figure, colours=None)


def _ranked(psi: pl.DataFrame, order: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return the features from top to bottom, and their PSI by chunk and, last, of the period; NaN where unknown."""
    ranked = psi.filter(scope="period").sort("value", "feature", descending=[True, False])
    if order is not None:
        ranked = pl.DataFrame({"feature": order}).join(ranked, on="feature", maintain_order="left")
    ranked = ranked.head(MOST_FEATURES)
    wide = psi.filter(scope="chunk").pivot("chunk_start", index="feature", values="value", sort_columns=True)
    wide = ranked.select("feature").join(wide, on="feature", how="left", maintain_order="left")
    grid = wide.drop("feature").with_columns(ranked["value"].alias("period"))
    return ranked["feature"].to_list(), grid.to_numpy().astype(np.float64)


def _widest(names: Sequence[str]) -> float:
    """Return the width of the longest of some labels, in inches."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer, font = RendererAgg(1, 1, DPI), FontProperties(size=8)
    return max(renderer.get_text_width_height_descent(name, font, ismath=False)[0] for name in names) / DPI


def _name(axes: "Axes", places: _Places, features: Sequence[str], chunks: Sequence[str]) -> None:
    """Write the features, the period, and as many of the chunks as have room."""
    left, below = places.columns[0], places.rows[-1] - 0.05
    for middle, name in zip(_middles(places.rows), features, strict=True):
        axes.text(left - 0.05, middle, name, fontsize=8, ha="right", va="center", parse_math=False)
    *middles, period = _middles(places.columns)
    each = int(np.ceil(_DAY * len(chunks) / (places.columns[-2] - left))) if chunks else 1
    for middle, name in list(zip(middles, chunks, strict=True))[::each]:
        if period - middle >= _DAY:
            axes.text(middle, below, name, fontsize=8, ha="center", va="top", parse_math=False)
    axes.text(period, below, "period", fontsize=8, ha="center", va="top")
    axes.plot([places.columns[-2]] * 2, places.rows[[0, -1]], color="black", linewidth=1)


def _write_values(axes: "Axes", places: _Places, scale: _Scale, grid: np.ndarray) -> None:
    dark = scale.place(grid) > 0.6
    x, y, roomy = _middles(places.columns), _middles(places.rows), np.diff(places.columns) >= _NUMBER
    for row, column in np.argwhere((grid > scale.threshold) & roomy):
        axes.text(
            float(x[column]),
            float(y[row]),
            f"{grid[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark[row, column] else "black",
        )


def _draw_scale(axes: "Axes", places: _Places, scale: _Scale) -> None:
    """Draw the colours from the least to the greatest, with values beside them and a line at the threshold."""
    left, top, floor = places.columns[-1] + 0.12, places.rows[0], places.rows[-1]
    right = left + _BAR
    shades = np.geomspace(scale.least, scale.most, 128)
    scale.draw(axes, np.array([left, right]), np.linspace(floor, top, 129), shades[:, None])
    axes.plot([left, left, right, right, left], [floor, top, top, floor, floor], color="black", linewidth=0.8)
    marked = np.array([times * scale.threshold for times in _STEPS if times * scale.threshold <= scale.most])
    at = np.append(floor, floor + scale.place(marked) * (top - floor))
    for height, text in zip(at, [f"≤ {scale.least:.3g}", *(f"{value:.3g}" for value in marked)], strict=True):
        axes.text(right + 0.05, height, text, fontsize=8, va="center")
    axes.plot([left, right], [at[2]] * 2, color=VERMILION, linewidth=1.5)
    axes.text(
        places.size[0] - _EDGE,
        (top + floor) / 2,
        _fitting(f"PSI, logarithmic (threshold {scale.threshold:g})", top - floor),
        fontsize=8,
        rotation=90,
        ha="right",
        va="center",
    )


def _fitting(text: str, room: float) -> str:
    """Return a text, or its first word where it is longer than the room (inches) that it has."""
    return text if _widest([text]) <= room + _ABOVE else text.partition(",")[0]


def _middles(edges: np.ndarray) -> np.ndarray:
    return (edges[1:] + edges[:-1]) / 2
