"""What happens to an alert, as rows that are added and never changed, and what an alert is by them."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

EventKind = Literal["opened", "worsened", "reminded", "resolved", "acknowledged", "silenced", "sent", "not_sent"]
Severity = Literal["info", "warning", "critical"]
JUDGED = ("opened", "worsened", "reminded", "resolved")
"""Kinds of events that come of judging rules."""
NEWS = (*JUDGED, "acknowledged")
"""Kinds of events that people are sent."""


class _OfAlert(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlertEvent(_OfAlert):
    """One thing that happened to an alert."""

    alert: str = Field(description="Identity of the alert: one rule on one subject, from its opening to its end.")
    kind: EventKind = Field(description="What happened.")
    at: datetime = Field(description="When, UTC.")
    about: Literal["model", "source"] = Field(description="What kind of thing the subject is.")
    subject: str = Field(description="Name of the model or source.")
    rule: str = Field(description="Name of the rule.")
    evidence: str = Field(description="What the rule looks at.")
    severity: Severity = Field(description="As the rule declares it.")
    owners: tuple[str, ...] = Field(default=(), description="Who answers for it.")
    channels: tuple[str, ...] = Field(default=(), description="Where it is sent; empty: to every channel.")
    value: float | None = Field(default=None, description="The value that was judged.")
    limit: float | None = Field(default=None, description="What it was judged by.")
    text: str = Field(default="", description="What was found, in plain words.")
    by: str = Field(default="", description="Who did it; empty: the rule.")
    because: str = Field(default="", description="Why, in their words.")
    until: datetime | None = Field(default=None, description="Of a silence: its end, UTC.")
    channel: str = Field(default="", description="Of an attempt to send: the channel.")
    of: str = Field(default="", description="Of an attempt to send: identity of the event that was sent.")

    @property
    def id(self) -> str:
        """Identity of the event."""
        return identity(self.alert, self.kind, self.at.isoformat(), self.by, self.channel, self.of)


class Alert(_OfAlert):
    """An alert as it stands."""

    id: str = Field(description="Identity, which `ml-assets alerts` takes.")
    about: Literal["model", "source"] = Field(description="What kind of thing the subject is.")
    subject: str = Field(description="Name of the model or source.")
    rule: str = Field(description="Name of the rule.")
    evidence: str = Field(description="What the rule looks at.")
    severity: Severity = Field(description="info, warning or critical.")
    owners: tuple[str, ...] = Field(description="Who answers for it.")
    channels: tuple[str, ...] = Field(description="Where it is sent; empty: to every channel.")
    state: Literal["open", "acknowledged", "resolved"] = Field(description="How it stands.")
    opened_at: datetime = Field(description="When it began, UTC.")
    changed_at: datetime = Field(description="When it last opened, worsened or ended, UTC.")
    noticed_at: datetime = Field(description="When people were last to be sent it, UTC.")
    value: float | None = Field(description="The value when it last opened, worsened or ended.")
    limit: float | None = Field(description="What the value is judged by.")
    text: str = Field(description="What was found, in plain words.")
    acknowledged_at: datetime | None = Field(default=None, description="When somebody took it up, UTC.")
    acknowledged_by: str = Field(default="", description="Who did.")
    acknowledged_because: str = Field(default="", description="What they wrote.")
    silenced_until: datetime | None = Field(default=None, description="Up to when nobody is sent it, UTC.")
    silenced_by: str = Field(default="", description="Who silenced it.")
    silenced_because: str = Field(default="", description="What they wrote.")

    def is_silent(self, moment: datetime) -> bool:
        """Return whether nobody is to be sent it at a moment."""
        return self.silenced_until is not None and moment < self.silenced_until

    def event(self, kind: EventKind, at: datetime, **more: object) -> AlertEvent:
        """Return something that happens to the alert."""
        about = {"value": self.value, "limit": self.limit, "text": self.text, **more}
        own = {name: getattr(self, name) for name in _CARRIED}
        return AlertEvent.model_validate({"alert": self.id, "kind": kind, "at": at, **own, **about})


_CARRIED = ("about", "subject", "rule", "evidence", "severity", "owners", "channels")


def identity(*parts: str) -> str:
    """Return twelve characters that stand for some texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def alerts_by(events: Iterable[AlertEvent]) -> list[Alert]:
    """Return every alert as its events leave it, in the order in which they began.

    A silence is of the rule and the subject: an alert that begins while it lasts is silent too.
    """
    alerts: dict[str, Alert] = {}
    silences: dict[tuple[str, str, str], dict[str, object]] = {}
    for event in events:
        named = (event.about, event.subject, event.rule)
        before = alerts.get(event.alert)
        if event.kind == "silenced":
            silences[named] = {
                "silenced_until": event.until,
                "silenced_by": event.by,
                "silenced_because": event.because,
            }
            alerts |= {
                key: alert.model_copy(update=silences[named])
                for key, alert in alerts.items()
                if (alert.about, alert.subject, alert.rule) == named and alert.state != "resolved"
            }
        elif before is None:
            alerts[event.alert] = _begun(event).model_copy(update=silences.get(named, {}))
        else:
            alerts[event.alert] = before.model_copy(update=_changes(event))
    return list(alerts.values())


def _begun(event: AlertEvent) -> Alert:
    own = {name: getattr(event, name) for name in (*_CARRIED, "value", "limit", "text")}
    moments = dict.fromkeys(("opened_at", "changed_at", "noticed_at"), event.at)
    return Alert.model_validate({"id": event.alert, "state": "open", **own, **moments})


def _changes(event: AlertEvent) -> dict[str, object]:
    own = {name: getattr(event, name) for name in ("severity", "owners", "channels")}
    judged = {"value": event.value, "limit": event.limit, "text": event.text, "changed_at": event.at}
    if event.kind == "worsened":
        return {**own, **judged, "noticed_at": event.at}
    if event.kind == "resolved":
        return {**judged, "noticed_at": event.at, "state": "resolved"}
    if event.kind == "reminded":
        return {**own, "noticed_at": event.at}
    if event.kind == "acknowledged":
        return {
            "state": "acknowledged",
            "acknowledged_at": event.at,
            "acknowledged_by": event.by,
            "acknowledged_because": event.because,
        }
    return {}
