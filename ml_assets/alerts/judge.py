"""Rules and what they see in, what happens to alerts out. Pure: no lake, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ml_assets.alerts.evidence import AlertObservation
from ml_assets.alerts.records import Alert, AlertEvent, EventKind, identity
from ml_assets.alerts.spec import AlertRule
from ml_assets.durations import parse_duration


@dataclass(frozen=True)
class ObservedRule:
    """A rule on one model or source, and what it sees: the oldest observation first.

    Attributes:
        owners: of what the rule is declared on.
        why_not: why nothing could be observed; empty where that went well.
    """

    about: Literal["model", "source"]
    subject: str
    rule: AlertRule
    owners: Sequence[str] = ()
    observations: Sequence[AlertObservation] = ()
    why_not: str = ""

    @property
    def named(self) -> tuple[str, str, str]:
        """What the rule's alerts are known by."""
        return self.about, self.subject, self.rule.name


@dataclass(frozen=True)
class JudgedRules:
    """What happens to alerts, and the rules that could not be judged, each with the reason."""

    events: list[AlertEvent] = field(default_factory=list)
    unknown: dict[tuple[str, str, str], str] = field(default_factory=dict)


def judge(observed: Sequence[ObservedRule], alerts: Sequence[Alert], as_of: datetime) -> JudgedRules:
    """Open, worsen, repeat and end alerts.

    There is one open alert of a rule on a subject at most. It is people's news again only where it gets worse, or, if
    nobody took it up, after the declared time. What cannot be judged leaves its alert as it is.

    Args:
        observed: every rule that is declared.
        alerts: as they stand; those that have ended do not matter.
    """
    standing = {(alert.about, alert.subject, alert.rule): alert for alert in alerts if alert.state != "resolved"}
    judged = JudgedRules()
    for each in observed:
        alert = standing.pop(each.named, None)
        known = [observation for observation in each.observations if observation.value is not None]
        if not known:
            judged.unknown[each.named] = each.why_not or "no value is known"
            continue
        event = _begin(each, known, as_of) if alert is None else _go_on(each, known, alert, as_of)
        if event is not None:
            judged.events.append(event)
    for alert in standing.values():
        judged.events.append(alert.event("resolved", as_of, because="the rule is not declared any more"))
    return judged


def is_beyond(rule: AlertRule, observation: AlertObservation) -> bool:
    """Return whether a known value is beyond the rule's limit, or the evidence's own."""
    if observation.value is None:
        return False
    if rule.above is not None:
        return observation.value > rule.above
    if rule.below is not None:
        return observation.value < rule.below
    return bool(observation.beyond)


def _fires(rule: AlertRule, known: Sequence[AlertObservation]) -> bool:
    latest = known[-rule.of_last :]
    return is_beyond(rule, latest[-1]) and sum(is_beyond(rule, each) for each in latest) >= rule.breaches


def _begin(observed: ObservedRule, known: Sequence[AlertObservation], as_of: datetime) -> AlertEvent | None:
    if not _fires(observed.rule, known):
        return None
    return _event(observed, "opened", identity(*observed.named, as_of.isoformat()), known[-1], as_of)


def _go_on(
    observed: ObservedRule, known: Sequence[AlertObservation], alert: Alert, as_of: datetime
) -> AlertEvent | None:
    rule, latest = observed.rule, known[-1]
    if not any(is_beyond(rule, each) for each in known[-rule.calm :]):
        return _event(observed, "resolved", alert.id, latest, as_of)
    if not is_beyond(rule, latest):
        return None
    if _is_worse(rule, latest, alert):
        return _event(observed, "worsened", alert.id, latest, as_of)
    if alert.state == "open" and as_of - alert.noticed_at >= parse_duration(rule.again_after):
        return _event(observed, "reminded", alert.id, latest, as_of)
    return None


def _is_worse(rule: AlertRule, latest: AlertObservation, alert: Alert) -> bool:
    limit = rule.limit if rule.limit is not None else latest.limit
    if limit is None or latest.value is None or alert.value is None or alert.limit is None:
        return False
    before = abs(alert.value - alert.limit)
    return abs(latest.value - limit) > before * (1 + rule.worse_by)


def _event(
    observed: ObservedRule, kind: EventKind, alert: str, latest: AlertObservation, as_of: datetime
) -> AlertEvent:
    rule = observed.rule
    return AlertEvent(
        alert=alert,
        kind=kind,
        at=as_of,
        about=observed.about,
        subject=observed.subject,
        rule=rule.name,
        evidence=rule.evidence,
        severity=rule.severity,
        owners=tuple(rule.owners or observed.owners),
        channels=tuple(rule.channels),
        value=latest.value,
        limit=rule.limit if rule.limit is not None else latest.limit,
        text=latest.text,
    )
