"""Why a model needs attention, and which of several need it most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.alerts.records import Alert
from ml_assets.console.pages.fleet.facts import DropMeasure, ModelFacts
from ml_assets.retraining.decide import CONDITIONS, GATE, NOTHING_SCORED, describe_evidence
from ml_assets.sources.drops.grains import WHOLE, following
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.drops.spec import Drops

LATE_DROPS = 2
"""Whole drops that have ended without being scored, from which data is late: the first may be on its way."""


@dataclass(frozen=True)
class AttentionState:
    """What a model is in, with a place among the others.

    Attributes:
        name: as addresses have it.
        title: as pages have it.
        level: good, warn or bad.
        means: in a sentence.
    """

    name: str
    title: str
    level: str
    means: str


STATES = {
    state.name: state
    for state in (
        AttentionState("gate", "gate failed", "bad", "The newest drop failed a check that keeps it from being used."),
        AttentionState("alert", "open alert", "bad", "A declared rule has opened an alert that has not ended."),
        AttentionState("performance", "below limit", "bad", "Estimated or realised performance is beyond its limit."),
        AttentionState("drift", "drift", "warn", "Features have moved, in several of the last chunks."),
        AttentionState("late", "late data", "warn", f"At least {LATE_DROPS} drops have ended that were not scored."),
        AttentionState("approval", "to approve", "warn", "A version waits for a person's decision."),
        AttentionState("unmeasured", "not measured", "warn", "Nothing says how well it does on the newest drop."),
        AttentionState("old", "old champion", "warn", "The champion's training cut-off is older than declared."),
        AttentionState("none", "no champion", "", "No version serves yet."),
        AttentionState("well", "well", "good", "Nothing is beyond a limit."),
    )
}
"""State by name, that which needs attention most first."""

RANKS = {name: rank for rank, name in enumerate(STATES)}

_BY_EVIDENCE = {"drift": "drift", "multivariate": "drift", "attribution": "drift", "age": "old"}
"""Kind of evidence -> what a breach of it means; of every other kind it is about performance."""
_NO_FAULT = (*CONDITIONS, "new_labels")


@dataclass(frozen=True)
class Reason:
    """One thing that calls for attention.

    Attributes:
        state: name of the state.
        text: what was found, in words.
        path: of the page that shows the evidence.
    """

    state: str
    text: str
    path: str = ""


def reasons_for(
    facts: ModelFacts, alerts: Sequence[Alert], drops: Drops, metric: str, now: datetime, page: str = ""
) -> list[Reason]:
    """Return everything about a model that calls for attention, the gravest first; what is well where nothing does.

    Args:
        alerts: open ones about the model.
        drops: how its rows are cut.
        metric: that is watched.
        page: path of the model's page.
    """
    found = [*_of_alerts(alerts, page), *_of_decision(facts, page), *_of_measures(facts, metric, page)]
    found += [*_of_data(facts, drops, now), *_of_version(facts, page)]
    found.sort(key=lambda reason: RANKS[reason.state])
    return found or [Reason("well", "nothing is beyond a limit", page)]


def drops_late(last_drop: str, drops: Drops, now: datetime) -> int:
    """Return how many whole drops have ended since the newest one that was scored."""
    if drops.grain == WHOLE:
        return 0
    late, drop = 0, following(drops.grain, last_drop)
    while late < 1000 and drop_end(drop, drops) <= now:
        late, drop = late + 1, following(drops.grain, drop)
    return late


def _of_alerts(alerts: Sequence[Alert], page: str) -> Iterator[Reason]:
    for alert in alerts:
        if alert.severity != "info":
            taken = f", acknowledged by {alert.acknowledged_by}" if alert.state == "acknowledged" else ""
            yield Reason("alert", f"{alert.rule}: {alert.text}{taken}", page)


def _of_decision(facts: ModelFacts, page: str) -> Iterator[Reason]:
    if facts.decision is None:
        return
    drop = facts.decision.drop
    for item in facts.decision.evidence:
        if not item.breached:
            continue
        if item.kind == GATE:
            yield Reason("gate", f"{drop} failed its gate: {item.source}", page)
        elif item.kind not in _NO_FAULT:
            yield Reason(_BY_EVIDENCE.get(item.kind, "performance"), f"{describe_evidence(item)} ({drop})", page)


def _of_measures(facts: ModelFacts, metric: str, page: str) -> Iterator[Reason]:
    judged = {item.kind for item in facts.decision.evidence if item.breached} if facts.decision else set()
    for kind, measures in (("realised", facts.realised), ("estimated", facts.estimated)):
        newest = measures[-1] if measures else None
        if newest is not None and newest.alert and newest.drop == facts.last_drop and kind not in judged:
            yield Reason("performance", f"{kind} {metric} is {_beyond(newest)} ({newest.drop})", page)
    nothing = facts.decision is not None and facts.decision.rule == NOTHING_SCORED
    measured = {each[-1].drop for each in (facts.realised, facts.estimated) if each and each[-1].value is not None}
    if facts.last_drop is not None and facts.last_drop not in measured:
        why = "no row of it was scored" if nothing else "neither estimated nor realised"
        yield Reason("unmeasured", f"{metric} of {facts.last_drop} is not known: {why}", page)


def _beyond(measure: DropMeasure) -> str:
    limit = "" if measure.threshold is None else f", the limit is {measure.threshold:.3g}"
    return "unknown" if measure.value is None else f"{measure.value:.3g}{limit}"


def _of_data(facts: ModelFacts, drops: Drops, now: datetime) -> Iterator[Reason]:
    if facts.last_drop is None:
        return
    late = drops_late(facts.last_drop, drops, now)
    if late >= LATE_DROPS:
        count = "1000 or more" if late >= 1000 else str(late)
        yield Reason("late", f"{count} drops have ended since {facts.last_drop}, the last one scored", "/data")


def _of_version(facts: ModelFacts, page: str) -> Iterator[Reason]:
    if facts.waiting is not None:
        yield Reason("approval", f"version {facts.waiting} waits for approval", "/decisions")
    if facts.champion is None:
        yield Reason("none", "no version serves yet", page)
