"""Small lines in tables, as the points of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 96.0, 20.0, 2.0


@dataclass(frozen=True)
class Sparkline:
    """A line of values that are evenly apart; where one is missing, the line has a gap.

    Attributes:
        lines: points of each part without a gap, as SVG's `points` takes them.
        last: the newest value's place; None where it is missing.
        limit: height of the limit; None without one.
    """

    lines: list[str]
    last: tuple[float, float] | None
    limit: float | None


def sparkline(values: Sequence[float | None], limit: float | None = None) -> Sparkline:
    """Lay values out in a box of WIDTH x HEIGHT, the oldest left; the limit is inside of the box too."""
    there = [value for value in (*values, limit) if value is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    step = (WIDTH - 2 * EDGE) / max(1, len(values) - 1)

    def height(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE), 1)

    points = [None if value is None else (round(EDGE + i * step, 1), height(value)) for i, value in enumerate(values)]
    parts: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            parts.append([])
        else:
            parts[-1].append(point)
    lines = [" ".join(f"{x},{y}" for x, y in part) for part in parts if part]
    return Sparkline(lines, points[-1] if points else None, None if limit is None else height(limit))
