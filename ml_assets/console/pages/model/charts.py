"""A model's life as one figure over one time axis."""

from collections.abc import Callable, Sequence
from typing import Any

from ml_assets.console.pages.model.history import DropFacts, ModelEvent

HEIGHT = 560
_LANES = ("alert", "gate", "retrain", "kept", "roll-back", "promotion", "training")
_SYMBOLS = {
    "training": "circle", "promotion": "triangle-up", "roll-back": "triangle-left", "kept": "x-thin-open",
    "retrain": "diamond", "gate": "square", "alert": "star",
}  # fmt: skip
_COLOURS = {"gate": "--bad", "alert": "--bad", "roll-back": "--warn", "retrain": "--warn"}


def life_chart(drops: Sequence[DropFacts], events: Sequence[ModelEvent], metric: str) -> dict[str, Any]:
    """Return the traces and the layout of a figure: performance, strongest drift, rows, and events.

    Points bear the path of their evidence; those of drops whose rows are not cut by time stand at their names.
    """
    times = [each.drop if each.at is None else each.at.isoformat() for each in drops]
    paths = [each.path for each in drops]

    def line(name: str, axis: str, value: Callable[[DropFacts], float | None], **more: Any) -> dict[str, Any]:
        values = [value(each) for each in drops]
        return {"x": times, "y": values, "customdata": paths, "name": name, "yaxis": axis, "mode": "lines+markers",
                "marker": {"size": 5}, **more}  # fmt: skip

    traces = [
        *_band(drops, times),
        line(f"{metric} realised", "y", lambda each: each.realised and each.realised.value,
             line={"color": "--series-1"}),
        line(f"{metric} estimated", "y", lambda each: each.estimated and each.estimated.value,
             line={"color": "--series-2", "dash": "dot"}),
        line("limit", "y", _limit, mode="lines", hoverinfo="skip",
             line={"color": "--bad", "width": 1, "dash": "dash", "shape": "hvh"}),
        line("strongest drift (PSI)", "y2", lambda each: each.drift and each.drift.value,
             text=[each.drift.feature if each.drift else "" for each in drops], line={"color": "--series-4"}),
        line("limit of drift", "y2", lambda each: each.drift and each.drift.threshold, mode="lines", hoverinfo="skip",
             showlegend=False, line={"color": "--bad", "width": 1, "dash": "dash"}),
        {"x": times, "y": [each.rows for each in drops], "customdata": paths, "name": "rows", "yaxis": "y3",
         "type": "bar", "marker": {"color": "--bar"}},
        *_events(events),
    ]  # fmt: skip
    return {"traces": traces, "layout": _layout(metric)}


def _limit(each: DropFacts) -> float | None:
    return next((m.threshold for m in (each.realised, each.estimated) if m and m.threshold is not None), None)


def _band(drops: Sequence[DropFacts], times: Sequence[str]) -> list[dict[str, Any]]:
    """Return the interval of the estimate as an area."""
    known = [
        (time, each.estimated.lower, each.estimated.upper)
        for time, each in zip(times, drops, strict=True)
        if each.estimated and each.estimated.lower is not None and each.estimated.upper is not None
    ]
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "yaxis": "y", "x": [time for time, *_ in known]}
    upper = {**edge, "y": [high for *_, high in known], "name": "upper end", "showlegend": False}
    lower = {**edge, "y": [low for _, low, _ in known], "name": "interval of the estimate", "fill": "tonexty",
             "fillcolor": "--mark"}  # fmt: skip
    return [upper, lower] if known else []


def _events(events: Sequence[ModelEvent]) -> list[dict[str, Any]]:
    traces = []
    for kind in _LANES:
        own = [event for event in events if event.kind == kind]
        if own:
            traces.append(
                {"x": [event.at.isoformat() for event in own], "y": [kind] * len(own), "yaxis": "y4", "mode": "markers",
                 "name": kind, "showlegend": False, "text": [event.title for event in own], "hoverinfo": "x+text",
                 "customdata": [event.path for event in own],
                 "marker": {"symbol": _SYMBOLS[kind], "size": 10, "color": _COLOURS.get(kind, "--series-1")}}
            )  # fmt: skip
    return traces


def _layout(metric: str) -> dict[str, Any]:
    def axis(title: str, low: float, high: float, **more: Any) -> dict[str, Any]:
        return {"title": {"text": title}, "domain": [low, high], **more}

    return {
        "margin": {"l": 84, "r": 12, "t": 8, "b": 32},
        "xaxis": {"anchor": "y4"},
        "yaxis": axis(metric, 0.6, 1.0),
        "yaxis2": axis("drift", 0.4, 0.56, rangemode="tozero"),
        "yaxis3": axis("rows", 0.24, 0.37, rangemode="tozero"),
        "yaxis4": axis("", 0.0, 0.21, type="category", showgrid=False),
        "bargap": 0.1,
    }
