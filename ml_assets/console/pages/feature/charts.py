"""Figures of a feature, as plotly's traces and layout."""

from typing import Any

import polars as pl

from ml_assets.console.pages.feature.values import QUANTILES, ValuesByDrop
from ml_assets.monitoring.drift_statistics import PSI

Figure = tuple[list[dict[str, Any]], dict[str, Any]]


_LINES = (
    {"width": 1, "dash": "dot"},
    {"width": 1},
    {"width": 3},
    {"width": 1},
    {"width": 1, "dash": "dot"},
)
"""How the line of each of `QUANTILES` is drawn."""


def spread_figure(values: ValuesByDrop) -> Figure:
    """Return how a feature's values are spread through the drops: quantiles of a number, shares of texts."""
    drops = [drop.drop for drop in values.drops]
    if any(drop.quantiles for drop in values.drops):
        lines = [
            {
                "type": "scatter", "mode": "lines", "name": f"{quantile:.0%}", "x": drops,
                "y": [drop.quantiles[at] if drop.quantiles else None for drop in values.drops],
                "line": {"color": "--series-1", **_LINES[at]},
            }
            for at, quantile in enumerate(QUANTILES)
        ]  # fmt: skip
        return lines, {"yaxis": {"title": {"text": "value"}}, "xaxis": {"type": "category"}}
    names = list(dict.fromkeys(text for drop in values.drops for text, _ in drop.top))
    bars = [
        {"type": "bar", "name": name, "x": drops, "y": [dict(drop.top).get(name, 0.0) for drop in values.drops]}
        for name in names
    ]
    axis = {"title": {"text": "share of values"}, "range": [0, 1], "tickformat": ".0%"}
    return bars, {"barmode": "stack", "yaxis": axis, "xaxis": {"type": "category"}}


def drift_figure(drift: pl.DataFrame) -> Figure:
    """Return a feature's PSI, chunk by chunk or drop by drop, with its threshold."""
    psi = drift.filter(pl.col("method") == PSI)
    chunks = psi.filter(pl.col("scope") == "chunk")
    rows = chunks if chunks.height else psi
    at = rows["chunk_start"].dt.strftime("%Y-%m-%d").to_list()
    measured = {"type": "scatter", "mode": "lines+markers", "name": "PSI", "x": at, "y": rows["value"].to_list()}
    limit = {
        "type": "scatter", "mode": "lines", "name": "threshold", "x": at, "y": rows["threshold"].to_list(),
        "line": {"dash": "dash"},
    }  # fmt: skip
    return [measured, limit], {"yaxis": {"title": {"text": "PSI"}, "rangemode": "tozero"}}
