"""The replays that are kept, and one of them as a chart and tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_assets.console.stores import Stores
from ml_assets.public.unknown import unknown_name
from ml_assets.retraining.replay.record import REPLAYS, ReplayedPolicy, ReplayRecord, read_replays

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
"""Lines differ in dash and marker too, for those who do not tell colours apart."""


@dataclass(frozen=True)
class ReplayRow:
    """One replay in the list."""

    id: str
    model: str
    metric: str
    first: str
    last: str
    policies: tuple[str, ...]
    best: str
    best_mean: float | None
    retrains: int | None
    replayed_at: datetime


@dataclass(frozen=True)
class PeriodRow:
    """One drop under every policy, in the order of the policies."""

    period: str
    missing_labels: int
    values: tuple[float | None, ...]
    decisions: tuple[str, ...]
    retrained: tuple[bool, ...]


@dataclass(frozen=True)
class ReplayPage:
    """A replay: policies side by side, drop by drop, and the chart of it."""

    record: ReplayRecord
    best: str
    rows: tuple[PeriodRow, ...]
    traces: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any]


def list_replays(stores: Stores, model: str = "") -> list[ReplayRow]:
    """Return the replays of all models, or of one, the newest first."""
    named = [name for name in stores.project.models if model in ("", name)]
    rows = [_row(record) for name in named for record in _replays(stores, name)]
    return sorted(rows, key=lambda row: row.replayed_at, reverse=True)


def read_replay(stores: Stores, replay: str) -> ReplayPage:
    """Return a replay by its id.

    Raises:
        UnknownName: there is none.
    """
    known = {record.id: record for name in stores.project.models for record in _replays(stores, name)}
    if replay not in known:
        raise unknown_name("replay", replay, known)
    record = known[replay]
    best = best_policy(record)
    traces = tuple(_trace(number, policy) for number, policy in enumerate(record.policies))
    periods = [period.period for period in record.policies[0].periods] if record.policies else []
    layout = {
        "yaxis": {"title": {"text": record.metric}},
        "xaxis": {"type": "category", "categoryorder": "array", "categoryarray": periods},
        "hovermode": "x unified",
    }
    return ReplayPage(record, best.policy if best else "", _rows(record), traces, layout)


def best_policy(record: ReplayRecord) -> ReplayedPolicy | None:
    """Return the policy of the least regret and, among these, of the fewest trainings; None where no mean is
    defined."""
    defined = [policy for policy in record.policies if policy.mean is not None and policy.regret is not None]
    return min(defined, key=lambda policy: (policy.regret, policy.retrains), default=None)


def _replays(stores: Stores, model: str) -> list[ReplayRecord]:
    return stores.read(("replays", model), [f"{model}/{REPLAYS}"], lambda: read_replays(stores.lake, model))


def _row(record: ReplayRecord) -> ReplayRow:
    best = best_policy(record)
    periods = record.policies[0].periods if record.policies else ()
    return ReplayRow(
        id=record.id,
        model=record.model,
        metric=record.metric,
        first=periods[0].period if periods else "",
        last=periods[-1].period if periods else "",
        policies=tuple(policy.policy for policy in record.policies),
        best=best.policy if best else "",
        best_mean=best.mean if best else None,
        retrains=best.retrains if best else None,
        replayed_at=record.replayed_at,
    )


def _rows(record: ReplayRecord) -> tuple[PeriodRow, ...]:
    drops = zip(*(policy.periods for policy in record.policies), strict=True)
    return tuple(
        PeriodRow(
            period=of_drop[0].period,
            missing_labels=max(each.missing_labels for each in of_drop),
            values=tuple(each.value for each in of_drop),
            decisions=tuple(each.decision for each in of_drop),
            retrained=tuple(each.retrained for each in of_drop),
        )
        for of_drop in drops
    )


def _trace(number: int, policy: ReplayedPolicy) -> dict[str, Any]:
    """Return plotly's trace of a policy; drops after which it trained are marked larger."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": policy.policy,
        "x": [period.period for period in policy.periods],
        "y": [period.value for period in policy.periods],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [_beyond(period.high, period.value) for period in policy.periods],
            "arrayminus": [_beyond(period.value, period.low) for period in policy.periods],
            "thickness": 1,
            "width": 0,
        },
        "line": {"dash": DASHES[number % len(DASHES)]},
        "marker": {
            "symbol": MARKERS[number % len(MARKERS)],
            "size": [12 if period.retrained else 6 for period in policy.periods],
        },
        "text": [f"{period.decision}; version of {period.version[:10]}" for period in policy.periods],
    }


def _beyond(upper: float | None, lower: float | None) -> float | None:
    return None if upper is None or lower is None else upper - lower
