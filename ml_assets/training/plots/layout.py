"""Where the axes of a small figure lie: what stands around them is measured once.

Matplotlib's constrained layout measures it twice and solves for all axes together, half of what a small figure costs.
"""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

_AROUND = 0.05
"""Inches between the edge of a figure and what stands next to it."""
_LEAST = 0.2
"""Share of a figure's width and height that its axes keep, however long what stands around them is."""


class MeasuredOnce(LayoutEngine):
    """Gives the only axes of a figure all the room that titles and labels around them leave."""

    _adjust_compatible = True
    _colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Move the axes of a figure; one of several axes stays as it is."""
        if len(fig.axes) != 1:
            return
        (axes,) = fig.axes
        renderer: Any = FigureCanvasAgg(fig).get_renderer()
        taken, inner, around = axes.get_tightbbox(renderer), axes.bbox, _AROUND * fig.dpi
        if taken is None:
            return
        width, height = fig.bbox.width, fig.bbox.height
        left, right = (inner.x0 - taken.x0 + around) / width, (taken.x1 - inner.x1 + around) / width
        below, above = (inner.y0 - taken.y0 + around) / height, (taken.y1 - inner.y1 + around) / height
        axes.set_position((left, below, max(1 - left - right, _LEAST), max(1 - below - above, _LEAST)))
