"""Which news of alerts each channel still has to be sent, and what became of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from ml_assets.alerts.records import NEWS, Alert, AlertEvent, alerts_by
from ml_assets.notifications.channel import Channel
from ml_assets.notifications.notice import AlertNotice, Notice

Attempt = Callable[[Channel, Notice], str | None]
"""Sends one notice; returns why it was not sent, without secrets, or None."""

_ENDING = ("resolved", "acknowledged")


def send_news(
    events: Sequence[AlertEvent], channels: Sequence[Channel], as_of: datetime, attempt: Attempt
) -> list[AlertEvent]:
    """Send every channel the newest of what it has not been sent, and return what became of it.

    A channel that fails is left for this look, and tried again at the next, with what is the newest then: nothing is
    lost, and nothing piles up. While an alert is silent it is not sent; once the silence is over, what has happened is.
    The end of an alert, and that somebody took it up, are sent where its beginning was.

    Returns:
        A ``sent`` or ``not_sent`` for each attempt; one that fails as the last one did is recorded once.
    """
    outcomes: list[AlertEvent] = []
    dead: set[str] = set()
    for alert, event, names in _pending(events, [channel.name for channel in channels], as_of):
        by_name = {channel.name: channel for channel in channels}
        for name in names:
            if name in dead:
                continue
            channel = by_name.get(name)
            notice = notice_of(alert, event)
            why = f"channel {name} is not declared in the environment" if channel is None else attempt(channel, notice)
            if why is not None:
                dead.add(name)
            outcome = alert.event(
                "sent" if why is None else "not_sent", as_of, channel=name, of=event.id, because=why or ""
            )
            if why is None or not _failed_before(events, outcome):
                outcomes.append(outcome)
    return outcomes


def _pending(
    events: Sequence[AlertEvent], open_channels: Sequence[str], as_of: datetime
) -> Iterator[tuple[Alert, AlertEvent, list[str]]]:
    """Yield each alert with its newest news, and the channels that have not been sent it."""
    of_alert: dict[str, list[AlertEvent]] = {}
    for event in events:
        of_alert.setdefault(event.alert, []).append(event)
    for alert in alerts_by(events):
        own = of_alert[alert.id]
        newest = [event for event in own if event.kind in NEWS][-1]
        ends = newest.kind in _ENDING
        if alert.is_silent(as_of) and not ends:
            continue
        sent = {(event.channel, event.of) for event in own if event.kind == "sent"}
        reached = {channel for channel, _ in sent}
        wanted = list(alert.channels or open_channels)
        waiting = [name for name in wanted if (name, newest.id) not in sent and (not ends or name in reached)]
        if alert.state == "acknowledged" and ends and newest.kind == "acknowledged":
            # A channel that never heard of it hears of it as it began.
            began = next(event for event in reversed(own) if event.kind in NEWS and event.kind not in _ENDING)
            late = [name for name in wanted if name not in reached and not alert.is_silent(as_of)]
            if late:
                yield alert, began, late
        if waiting:
            yield alert, newest, waiting


def _failed_before(events: Sequence[AlertEvent], outcome: AlertEvent) -> bool:
    before = [
        event
        for event in events
        if (event.alert, event.channel, event.of) == (outcome.alert, outcome.channel, outcome.of)
    ]
    return bool(before) and before[-1].kind == "not_sent" and before[-1].because == outcome.because


_WORDS: Mapping[str, str] = {
    "opened": "began",
    "worsened": "got worse",
    "reminded": "goes on",
    "resolved": "is over",
    "acknowledged": "was taken up",
}
_STATE = {"resolved": "resolved", "acknowledged": "acknowledged"}


def notice_of(alert: Alert, event: AlertEvent) -> Notice:
    """Return what people are sent of an alert."""
    by = f" by {event.by}" if event.by else ""
    value = "" if event.value is None else f"{event.value:.6g}"
    limit = "" if event.limit is None else f"{event.limit:g}"
    facts = {
        alert.about: alert.subject,
        "rule": alert.rule,
        "evidence": alert.evidence,
        "severity": alert.severity,
        **({"value": value} if value else {}),
        **({"limit": limit} if limit else {}),
        "since": f"{alert.opened_at:%Y-%m-%d %H:%M} UTC",
        **({"owners": ", ".join(alert.owners)} if alert.owners else {}),
        "alert": alert.id,
    }
    text = event.because if event.kind == "acknowledged" and event.because else event.text
    return Notice(
        kind="alert",
        subject=f"{alert.subject}: {alert.rule} {_WORDS[event.kind]}{by}",
        text=text or alert.evidence,
        facts=facts,
        alert=AlertNotice(alert.id, _STATE.get(event.kind, "open"), alert.severity, alert.subject),
    )
