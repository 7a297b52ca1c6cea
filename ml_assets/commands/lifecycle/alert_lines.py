"""Alerts as lines of text."""

from collections.abc import Sequence
from datetime import datetime

from ml_assets.alerts.look import Look
from ml_assets.alerts.records import Alert


def alert_lines(alerts: Sequence[Alert], now: datetime) -> list[str]:
    """Return a few lines for each alert."""
    return [line for alert in alerts for line in _lines(alert, now)]


def _lines(alert: Alert, now: datetime) -> list[str]:
    value = "" if alert.value is None else f" {alert.value:.6g}"
    limit = "" if alert.limit is None else f", limit {alert.limit:g}"
    ended = f", over since {alert.changed_at:%Y-%m-%d %H:%M}" if alert.state == "resolved" else ""
    lines = [
        f"{alert.id}  {alert.severity}  {alert.subject}: {alert.rule} ({alert.evidence}{value}{limit})",
        f"  {alert.text or alert.evidence}",
        f"  since {alert.opened_at:%Y-%m-%d %H:%M} UTC{ended}; owners: {', '.join(alert.owners) or 'none'}",
    ]
    if alert.acknowledged_by:
        why = f": {alert.acknowledged_because}" if alert.acknowledged_because else ""
        lines.append(f"  taken up by {alert.acknowledged_by}{why}")
    if alert.silenced_until is not None and alert.is_silent(now):
        until = f"{alert.silenced_until:%Y-%m-%d %H:%M} UTC"
        lines.append(f"  silent until {until}, by {alert.silenced_by}: {alert.silenced_because}")
    return lines


def look_lines(look: Look) -> list[str]:
    """Return what one look has found, a line for each thing that happened."""
    happened = [
        f"{event.alert}  {event.kind}  {event.subject}: {event.rule}, {event.text}" for event in look.judged.events
    ]
    failed = [f"{event.channel}: {event.because}" for event in look.sent if event.kind == "not_sent"]
    unknown = [f"not judged: {subject} {rule}: {why}" for (_, subject, rule), why in look.judged.unknown.items()]
    return [*(happened or ["nothing has changed"]), *failed, *unknown]
