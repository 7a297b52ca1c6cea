"""Alerts and failures in PagerDuty."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from ml_assets.notifications.channel import TIMEOUT_S
from ml_assets.notifications.channels.web_post import declared_url, post_json
from ml_assets.notifications.notice import Notice

PAGERDUTY, PAGERDUTY_URL = "ML_ASSETS_NOTIFY_PAGERDUTY", "ML_ASSETS_NOTIFY_PAGERDUTY_URL"
_EVENTS = "https://events.pagerduty.com/v2/enqueue"
_ACTION = {"open": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
_MOST = 1024


@dataclass(frozen=True)
class PagerDutyChannel:
    """Sends alerts and failures of runs as events (Events API v2); decisions page nobody.

    An alert triggers, acknowledges and resolves one incident, known by its identity.
    """

    routing_key: str = field(repr=False)
    url: str = _EVENTS
    timeout_s: float = TIMEOUT_S
    name: str = "pagerduty"

    variables: ClassVar[Mapping[str, str]] = {
        PAGERDUTY: "routing key of a PagerDuty service, for alerts and failures",
        PAGERDUTY_URL: f"where PagerDuty takes events, unless `{_EVENTS}`",
    }

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self | None:
        url = declared_url(variables, PAGERDUTY_URL)
        if not variables[PAGERDUTY]:
            if url is not None:
                raise ValueError(f"{PAGERDUTY} is missing: {PAGERDUTY_URL} needs it")
            return None
        if not re.fullmatch(r"[A-Za-z0-9]{20,64}", variables[PAGERDUTY]):
            raise ValueError(f"{PAGERDUTY} is malformed: write the integration's routing key, letters and digits alone")
        return cls(variables[PAGERDUTY], url or _EVENTS)

    def send(self, notice: Notice) -> None:
        event = _event_of(notice)
        if event is not None:
            post_json(self.url, {"routing_key": self.routing_key, **event}, self.timeout_s)


def _event_of(notice: Notice) -> dict[str, Any] | None:
    if notice.alert is not None:
        action, key, source = _ACTION[notice.alert.state], notice.alert.key, notice.alert.subject
        severity = notice.alert.severity
    elif notice.kind == "failure":
        # The same failure again is the same incident.
        key = hashlib.sha256(notice.headline.encode()).hexdigest()[:32]
        action, source, severity = "trigger", notice.facts.get("job", "ml_assets"), "error"
    else:
        return None
    event: dict[str, Any] = {"event_action": action, "dedup_key": key}
    if action != "trigger":
        return event
    details = {"text": notice.text, **notice.facts}
    payload = {"summary": notice.headline[:_MOST], "source": source, "severity": severity, "custom_details": details}
    return {**event, "client": "ml_assets", "payload": payload}
