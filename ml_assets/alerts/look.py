"""One look at all rules: what happens to alerts is recorded, then sent."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.alerts.judge import JudgedRules, ObservedRule, judge
from ml_assets.alerts.records import AlertEvent, alerts_by
from ml_assets.alerts.sending import Attempt, send_news
from ml_assets.alerts.store import add_events, read_events
from ml_assets.lake import Lake
from ml_assets.lake.commits import PositionMoved
from ml_assets.notifications.channel import Channel
from ml_assets.notifications.send import attempt_once

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What one look has found and sent."""

    judged: JudgedRules
    sent: list[AlertEvent]


def look_at_rules(
    lake: Lake,
    observed: Sequence[ObservedRule],
    channels: Sequence[Channel],
    as_of: datetime,
    attempt: Attempt = attempt_once,
) -> Look:
    """Judge every declared rule, record what happens to alerts, and send every channel what it has not been sent.

    What happens is recorded before it is sent, so that a process that is killed loses nothing; what another process
    records at the same moment stands, and is looked at again the next time.
    """
    events = read_events(lake)
    judged = judge(observed, alerts_by(events), as_of)
    sent: list[AlertEvent] = []
    try:
        add_events(lake, judged.events, after=len(events))
        events = [*events, *judged.events]
        sent = send_news(events, channels, as_of, attempt)
        add_events(lake, sent, after=len(events))
    except PositionMoved:
        _log.warning("alerts were looked at by another process at the same moment: the next look goes on from there")
    return Look(judged, sent)
