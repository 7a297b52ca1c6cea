"""The outcome of a replay, for programs and for people: one JSON object, one HTML page that needs nothing else."""

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml_assets.html_pages import page_template
from ml_assets.retraining.replay.lived import CONFIDENCE, LivedPolicy
from ml_assets.training.tasks import find_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours without yellow, which white swallows. There is one marker more than colours, so that 56 lines
# differ in one or the other.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DPI = 130
MOST_TICKS = 12


def as_json(model: str, metric: str, lived: Sequence[LivedPolicy]) -> dict:
    """Return the object that ``replay --json`` prints; a number that is undefined is None."""
    return {
        "model": model,
        "metric": metric,
        "policies": [
            {
                "policy": policy.policy,
                "mean": _number(policy.mean),
                "low": _number(policy.low),
                "high": _number(policy.high),
                "retrains": policy.retrains,
                "training_seconds": _number(policy.training_seconds),
                "detection_delay": _number(policy.detection_delay),
                "regret": _number(policy.regret),
                "periods": [
                    {
                        "period": period.period,
                        "value": _number(period.value),
                        "low": _number(period.low),
                        "high": _number(period.high),
                        "missing_labels": period.missing,
                        "decision": period.decision,
                        "version": period.version,
                    }
                    for period in policy.periods
                ],
            }
            for policy in lived
        ],
    }


def best_policies(lived: Sequence[LivedPolicy]) -> list[LivedPolicy]:
    """Return those of the least regret and, among these, of the fewest retrains; none where no mean is defined."""
    defined = [policy for policy in lived if math.isfinite(policy.mean) and math.isfinite(policy.regret)]
    least = min(((policy.regret, policy.retrains) for policy in defined), default=None)
    return [policy for policy in defined if (policy.regret, policy.retrains) == least]


def describe_best(metric: str, lived: Sequence[LivedPolicy]) -> str:
    """Return one sentence: the policy of the best mean, and how many retrains it saved."""
    best = best_policies(lived)
    if not best:
        return f"No policy has a mean {metric}: it is undefined in some period."
    least, most = best[0].retrains, max(policy.retrains for policy in lived)
    sentence = f"Best mean {metric}: {_names(best)}, {best[0].mean:.4f} with {count_retrains(least)}"
    if least < most:
        return f"{sentence}, {most - least} fewer than {_names([o for o in lived if o.retrains == most])} ({most})."
    return f"{sentence}; no policy retrained more often." if len(lived) > len(best) else f"{sentence}."


def count_retrains(count: int) -> str:
    return f"{count} retrain{'' if count == 1 else 's'}"


def render_replay(model: str, metric: str, lived: Sequence[LivedPolicy]) -> str:
    """Return a complete HTML document about one replay; every text in it is escaped."""
    return page_template(__package__, show_number).render(
        model=model,
        metric=metric,
        greater_is_better=find_metric(metric).greater_is_better,
        confidence=f"{CONFIDENCE:.0%}",
        lived=lived,
        periods=lived[0].periods,
        best=best_policies(lived),
        sentence=describe_best(metric, lived),
        timeline=base64.b64encode(plot_timeline(metric, lived)).decode(),
    )


def plot_timeline(metric: str, lived: Sequence[LivedPolicy]) -> bytes:
    """Draw ``metric`` by period with its interval as a PNG, a line per policy; large markers are retrains.

    Policies that lived the same periods share a line. The lines stand a little apart, so that equal values show.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    lines = _shared_lines(lived)
    for number, (names, policy) in enumerate(lines):
        apart = 0.5 * ((number + 0.5) / len(lines) - 0.5)
        _draw(axes, policy, " = ".join(names), number, apart)
    names = [period.period for period in lived[0].periods]
    ticks = range(0, len(names), math.ceil(len(names) / MOST_TICKS))
    axes.set_xticks(ticks, [names[tick] for tick in ticks], parse_math=False)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel(metric, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#E5E5E5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(loc="outside upper left", ncols=4, fontsize=8.5, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", pil_kwargs={"optimize": True})
    return buffer.getvalue()


def _draw(axes: "Axes", policy: LivedPolicy, label: str, number: int, apart: float) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    places = np.arange(len(policy.periods)) + apart
    values, low, high = (
        np.array([getattr(period, name) for period in policy.periods], dtype=float) for name in ("value", "low", "high")
    )
    axes.fill_between(places, low, high, color=colour, alpha=0.1, linewidth=0)
    axes.vlines(places, low, high, color=colour, alpha=0.4, linewidth=1)  # a band of one period has no width
    axes.plot(places, values, color=colour, marker=marker, markersize=3.5, linewidth=1.5, label=label)
    for promoted, face in ((True, colour), (False, "white")):
        shown = [period.retrained and period.promoted == promoted for period in policy.periods]
        axes.plot(
            places[shown], values[shown], linestyle="none", marker=marker, markersize=8.5, markerfacecolor=face,
            markeredgecolor=colour, markeredgewidth=1.5, zorder=3,
        )  # fmt: skip


def _shared_lines(lived: Sequence[LivedPolicy]) -> list[tuple[list[str], LivedPolicy]]:
    """Group policies that acted alike in every period: their names, and one of them; reasons may differ."""
    lines: dict[tuple, tuple[list[str], LivedPolicy]] = {}
    for policy in lived:
        deeds = tuple(
            (p.period, _number(p.value), _number(p.low), _number(p.high), p.version, p.retrained, p.promoted)
            for p in policy.periods
        )
        lines.setdefault(deeds, ([], policy))[0].append(policy.policy)
    return list(lines.values())


def _names(policies: Sequence[LivedPolicy]) -> str:
    return " and ".join(policy.policy for policy in policies)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def show_number(value: float | None, digits: int = 4) -> str:
    """Return a dash where the number is undefined."""
    return "–" if _number(value) is None else f"{value:,.{digits}f}"
