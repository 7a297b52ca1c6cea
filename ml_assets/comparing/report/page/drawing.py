"""Distributions as geometry for SVG: numbers alone, so that no text of the data is part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_assets.comparing.drift.shape import DistributionShape
from ml_assets.comparing.report.text import number

WIDTH, HEIGHT = 360.0, 120.0
"""Of a histogram's area, in SVG's units."""

ROW = 22.0
"""Height of a category."""


@dataclass(frozen=True)
class Histogram:
    """Shares in bins of numbers.

    Attributes:
        area, line: path of the reference, filled, and of the current rows.
        ticks: place along the axis and what is written there.
        greatest: share that the area's height stands for.
    """

    area: str
    line: str
    ticks: tuple[tuple[float, str], ...]
    greatest: float


@dataclass(frozen=True)
class Bar:
    """One category: its label, and the shares and lengths of its two bars."""

    label: str
    top: float
    shares: tuple[float, float]
    lengths: tuple[float, float]


def draw_numbers(shape: DistributionShape) -> Histogram:
    """Return a histogram of both sides; all bins are as wide as one another."""
    greatest = max(*shape.reference, *shape.current) or 1.0
    step = WIDTH / len(shape.reference)
    return Histogram(
        _steps(shape.reference, greatest, step) + f"V{HEIGHT:g}Z",
        _steps(shape.current, greatest, step) + f"V{HEIGHT:g}",
        _ticks(shape, step),
        greatest,
    )


def _ticks(shape: DistributionShape, step: float) -> tuple[tuple[float, str], ...]:
    """Return what is written below the first, middle and last bin: their edges, or the whole number that each holds."""
    last = len(shape.reference)
    if shape.edges[0] % 1 == 0.5 and shape.edges[1] - shape.edges[0] == 1:
        chosen = sorted({0, (last - 1) // 2, last - 1})
        return tuple((round((place + 0.5) * step, 1), number(shape.edges[place] + 0.5)) for place in chosen)
    chosen = sorted({0, last // 2, last})
    return tuple((round(place * step, 1), number(shape.edges[place])) for place in chosen)


def _steps(shares: Sequence[float], greatest: float, step: float) -> str:
    path = f"M0 {HEIGHT:g}"
    for place, share in enumerate(shares, 1):
        path += f"V{HEIGHT - share / greatest * HEIGHT:.1f}H{place * step:.1f}"
    return path


def draw_categories(shape: DistributionShape) -> list[Bar]:
    """Return a pair of bars for each category."""
    greatest = max(*shape.reference, *shape.current) or 1.0
    room = WIDTH * 0.55
    return [
        Bar(label, place * ROW, (before, now), (before / greatest * room, now / greatest * room))
        for place, (label, before, now) in enumerate(zip(shape.labels, shape.reference, shape.current, strict=True))
    ]
