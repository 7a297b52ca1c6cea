"""Alerts as their events leave them, and the table that these lie in."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.alerts.records import AlertEvent, alerts_by
from ml_assets.alerts.store import (
    EVENTS,
    acknowledge,
    add_events,
    check_not_before_judged,
    open_alerts,
    past_alerts,
    read_events,
    silence,
)
from ml_assets.lake import Lake
from ml_assets.lake.commits import PositionMoved

T0 = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(alert, kind, hours, **more):
    named = {"about": "model", "subject": "returns", "rule": "drifted", "evidence": "drift", "severity": "warning"}
    return AlertEvent.model_validate({"alert": alert, "kind": kind, "at": T0 + hours * HOUR, **named, **more})


def test_an_alert_opens_worsens_and_ends():
    began = event("a", "opened", 0, value=0.3, limit=0.2, text="price")
    worse = event("a", "worsened", 2, value=0.6, limit=0.2, text="price, size")
    (alert,) = alerts_by([began, worse, event("a", "reminded", 5, value=0.6)])
    assert (alert.state, alert.value, alert.text) == ("open", 0.6, "price, size")
    assert (alert.opened_at, alert.changed_at, alert.noticed_at) == (T0, T0 + 2 * HOUR, T0 + 5 * HOUR)
    (ended,) = alerts_by([began, worse, event("a", "resolved", 7, value=0.1)])
    assert (ended.state, ended.value, ended.changed_at) == ("resolved", 0.1, T0 + 7 * HOUR)


def test_attempts_to_send_change_nothing():
    began = event("a", "opened", 0)
    assert alerts_by([began, event("a", "sent", 1, channel="log", of=began.id)]) == alerts_by([began])


def test_a_silence_holds_for_the_next_alert_of_the_rule_too_and_for_no_other():
    until = T0 + 24 * HOUR
    alerts = alerts_by(
        [
            event("a", "opened", 0),
            event("b", "opened", 0, rule="late"),
            event("a", "silenced", 1, until=until, by="ana", because="known"),
            event("a", "resolved", 2),
            event("c", "opened", 3),
        ]
    )
    silent = {alert.id: (alert.is_silent(T0 + 4 * HOUR), alert.is_silent(until)) for alert in alerts}
    assert silent == {"a": (True, False), "b": (False, False), "c": (True, False)}
    assert [alert.silenced_by for alert in alerts] == ["ana", "", "ana"]


@pytest.fixture
def lake(tmp_path):
    lake = Lake(str(tmp_path))
    events = [
        event("aa1", "opened", 0, owners=("team:shop",)),
        event("ab2", "opened", 1, rule="late", severity="critical", about="source", subject="orders"),
        event("ac3", "opened", 2, rule="unfair", subject="churn"),
        event("ac3", "resolved", 3, rule="unfair", subject="churn"),
    ]
    add_events(lake, events, after=0)
    return lake


def test_a_lake_without_alerts_has_none(tmp_path):
    assert open_alerts(Lake(str(tmp_path))) == []


def test_the_gravest_comes_first_and_what_has_ended_is_past(lake):
    assert [alert.id for alert in open_alerts(lake)] == ["ab2", "aa1"]
    assert [alert.id for alert in open_alerts(lake, about="model", subject="returns")] == ["aa1"]
    assert open_alerts(lake, subject="churn") == []
    assert [alert.id for alert in past_alerts(lake, subject="churn")] == ["ac3"]


def test_who_took_it_up_and_who_silenced_it_is_kept(lake):
    acknowledge(lake, "aa", at=T0 + 4 * HOUR, by="ana", because="looking")
    silence(lake, "aa1", at=T0 + 5 * HOUR, until=T0 + 9 * HOUR, by="ben", because="new prices")
    alert = open_alerts(lake, subject="returns")[0]
    assert (alert.state, alert.acknowledged_by, alert.acknowledged_because) == ("acknowledged", "ana", "looking")
    assert (alert.silenced_by, alert.silenced_because, alert.silenced_until) == ("ben", "new prices", T0 + 9 * HOUR)
    assert alert.owners == ("team:shop",)
    assert [each.kind for each in read_events(lake)][-2:] == ["acknowledged", "silenced"]


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda lake: acknowledge(lake, "a", at=T0, by="ana"), LookupError, "2 open alerts have"),
        (lambda lake: acknowledge(lake, "ac3", at=T0, by="ana"), LookupError, "no open alert has"),
        (lambda lake: acknowledge(lake, "", at=T0, by="ana"), LookupError, "no open alert has"),
        (lambda lake: acknowledge(lake, "aa1", at=T0, by=" "), ValueError, "--by"),
        (lambda lake: silence(lake, "aa1", at=T0, until=T0 + HOUR, by="ana", because=""), ValueError, "--because"),
        (lambda lake: silence(lake, "aa1", at=T0, until=T0, by="ana", because="x"), ValueError, "has passed"),
    ],
)
def test_what_cannot_be_done_is_refused(lake, action, error, message):
    before = read_events(lake)
    with pytest.raises(error, match=message):
        action(lake)
    assert read_events(lake) == before


def test_rules_are_not_judged_as_of_a_moment_before_the_last(lake, tmp_path):
    acknowledge(lake, "aa1", at=T0 + 99 * HOUR, by="ana")  # people act at the clock's time, whatever rules look from
    check_not_before_judged(lake, T0 + 3 * HOUR)
    with pytest.raises(ValueError, match=r"--as-of 2024-03-01T02:59:00.*: alerts were judged as of 2024-03-01T03:00"):
        check_not_before_judged(lake, T0 + 3 * HOUR - timedelta(minutes=1))
    check_not_before_judged(Lake(str(tmp_path / "none")), T0)


def test_of_two_processes_that_judge_at_once_one_is_refused(lake):
    known = len(read_events(lake))
    add_events(lake, [event("ad4", "opened", 5)], after=known)
    with pytest.raises(PositionMoved):
        add_events(lake, [event("ad5", "opened", 5)], after=known)
    assert lake.position(EVENTS, EVENTS) == known + 1
