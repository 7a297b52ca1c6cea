"""Alerts in the lake: one table of what happened to them."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from ml_assets.alerts.records import JUDGED, Alert, AlertEvent, alerts_by
from ml_assets.lake import Lake
from ml_assets.lake.records import NUMBER, RECORD, read_records

EVENTS = "alerts/events"
"""Asset-like key of the table, in the lake."""

_SHOWN = ("alert", "kind", "at", "about", "subject", "rule", "by")
_RANK = {"critical": 0, "warning": 1, "info": 2}


def read_events(lake: Lake) -> list[AlertEvent]:
    """Read everything that has happened, the oldest first."""
    return read_records(lake, EVENTS, AlertEvent)


def add_events(lake: Lake, events: Sequence[AlertEvent], after: int) -> None:
    """Add what happened after the first ``after`` events.

    Raises:
        PositionMoved: another process has added events since: look again.
    """
    if not events:
        return
    rows = pl.DataFrame(
        [
            {**{name: getattr(event, name) for name in _SHOWN}, NUMBER: number, RECORD: event.model_dump_json()}
            for number, event in enumerate(events, after + 1)
        ],
        infer_schema_length=None,
    )
    lake.append(EVENTS, rows, moves={EVENTS: (after or None, after + len(events))})


def check_not_before_judged(lake: Lake, as_of: datetime) -> None:
    """Raise ValueError for a moment before the one that rules were judged as of last: what began since would end."""
    judged = [event.at for event in read_events(lake) if event.kind in JUDGED]
    if judged and as_of < max(judged):
        raise ValueError(
            f"--as-of {as_of.isoformat()}: alerts were judged as of {max(judged).isoformat()} already, and what has "
            "begun since would end: give that moment or a later one"
        )


def open_alerts(lake: Lake, *, about: str | None = None, subject: str | None = None) -> list[Alert]:
    """Return the alerts that are open or acknowledged: the gravest first, then the newest.

    Args:
        about: ``model`` or ``source``; those of both unless given.
        subject: name of a model or source; those of all unless given.
    """
    alerts = [
        alert
        for alert in alerts_by(read_events(lake))
        if alert.state != "resolved" and about in (None, alert.about) and subject in (None, alert.subject)
    ]
    return sorted(alerts, key=lambda alert: (_RANK[alert.severity], -alert.opened_at.timestamp(), alert.id))


def past_alerts(lake: Lake, *, subject: str | None = None) -> list[Alert]:
    """Return the alerts that have ended, the last to end first."""
    ended = [alert for alert in alerts_by(read_events(lake)) if alert.state == "resolved"]
    wanted = [alert for alert in ended if subject in (None, alert.subject)]
    return sorted(wanted, key=lambda alert: alert.changed_at, reverse=True)


def acknowledge(lake: Lake, alert: str, *, at: datetime, by: str, because: str = "") -> AlertEvent:
    """Record that somebody has taken an alert up: it is sent again only where it gets worse.

    Args:
        alert: its identity, or the beginning of it.

    Raises:
        LookupError: no open alert, or more than one, begins so.
        ValueError: nobody is named, or it is acknowledged already.
    """
    events = read_events(lake)
    found = _find(events, alert)
    if not by.strip():
        raise ValueError("say who acknowledges it: --by NAME")
    if found.state == "acknowledged":
        raise ValueError(f"alert {found.id} was acknowledged by {found.acknowledged_by} already")
    event = found.event("acknowledged", at, by=by.strip(), because=because)
    add_events(lake, [event], len(events))
    return event


def silence(lake: Lake, alert: str, *, at: datetime, until: datetime, by: str, because: str) -> AlertEvent:
    """Record that nobody is to be sent an alert, and what its rule finds on the same subject, up to a moment.

    Args:
        alert: its identity, or the beginning of it.

    Raises:
        LookupError: no open alert, or more than one, begins so.
        ValueError: nobody or no reason is named, or the moment has passed.
    """
    events = read_events(lake)
    found = _find(events, alert)
    if not by.strip() or not because.strip():
        raise ValueError("say who silences it and why: --by NAME --because REASON")
    if until <= at:
        raise ValueError(f"the silence would end at {until:%Y-%m-%d %H:%M}, which has passed")
    event = found.event("silenced", at, by=by.strip(), because=because.strip(), until=until)
    add_events(lake, [event], len(events))
    return event


def _find(events: Sequence[AlertEvent], begins: str) -> Alert:
    there = [alert for alert in alerts_by(events) if alert.state != "resolved"]
    found = [alert for alert in there if begins and alert.id.startswith(begins)]
    if len(found) != 1:
        which = "no open alert" if not found else f"{len(found)} open alerts"
        ids = ", ".join(alert.id for alert in there) or "none"
        raise LookupError(f"{which} {'has' if not found else 'have'} an identity that begins with {begins!r}: {ids}")
    return found[0]
