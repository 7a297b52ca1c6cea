"""Alerts in PagerDuty and Teams, and failures in the first, as local receivers get them."""

import json

import pytest

from ml_assets.notifications.channels.pagerduty import PagerDutyChannel
from ml_assets.notifications.channels.teams import TeamsChannel
from ml_assets.notifications.channels.webhook import WebhookChannel
from ml_assets.notifications.errors import NotSent
from ml_assets.notifications.notice import AlertNotice, Notice
from ml_assets.notifications.opening import open_channels
from ml_assets.notifications.send import attempt_once, notify

KEY = "R0UT1NGKEY0123456789abcdefABCDEF"


def alert(state="open", severity="critical"):
    about = AlertNotice("a1b2", state, severity, "returns")
    return Notice("alert", "returns: drifted began", "price [0.31](http://evil)", {"owners": "team:shop"}, about)


def pagerduty(web):
    return PagerDutyChannel.from_variables(
        {"ML_ASSETS_NOTIFY_PAGERDUTY": KEY, "ML_ASSETS_NOTIFY_PAGERDUTY_URL": web.url("/v2/enqueue")}
    )


@pytest.mark.parametrize(
    ("state", "action"), [("open", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve")]
)
def test_an_alert_is_one_incident_of_pagerduty(web, state, action):
    pagerduty(web).send(alert(state))
    (event,) = web.bodies
    assert web.paths == ["/v2/enqueue"]
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (KEY, action, "a1b2")
    assert ("payload" in event) == (action == "trigger")


def test_the_payload_says_what_where_and_how_grave(web):
    pagerduty(web).send(alert())
    assert web.bodies[0]["payload"] == {
        "summary": "returns: drifted began",
        "source": "returns",
        "severity": "critical",
        "custom_details": {"text": "price [0.31](http://evil)", "owners": "team:shop"},
    }


def test_a_failed_run_pages_once_and_a_decision_never(web):
    channel = pagerduty(web)
    failure = Notice("failure", "run of train failed", "boom", {"job": "train"})
    channel.send(failure)
    channel.send(failure)
    channel.send(Notice("decision", "retrain", "why", {}))
    assert [(event["event_action"], event["payload"]["source"]) for event in web.bodies] == [("trigger", "train")] * 2
    assert len({event["dedup_key"] for event in web.bodies}) == 1


def test_a_summary_is_no_longer_than_pagerduty_takes(web):
    pagerduty(web).send(Notice("failure", "x" * 3_000, "", {}))
    assert len(web.bodies[0]["payload"]["summary"]) == 1_024


def test_teams_gets_a_card_of_plain_text(web):
    TeamsChannel(web.url("/workflows/1?sig=secret")).send(alert())
    (message,) = web.bodies
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}  # reads no Markdown out of names
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts == ["returns: drifted began", "price [0.31](http://evil)", "owners: team:shop"]


def test_a_webhook_gets_the_alert_beside_what_it_always_gets(web, notice):
    channel = WebhookChannel(web.url("/"))
    channel.send(alert())
    channel.send(notice)
    assert web.bodies[0]["alert"] == {"key": "a1b2", "state": "open", "severity": "critical", "subject": "returns"}
    assert set(web.bodies[1]) == {"kind", "subject", "text", "facts"}


@pytest.mark.parametrize("make", [pagerduty, lambda web: TeamsChannel(web.url("/workflows/1?sig=topsecret"))])
def test_a_refusal_holds_no_secret(web, make, caplog):
    web.answers = [400] * 9
    channel = make(web)
    with pytest.raises(NotSent) as refused:
        channel.send(alert())
    why = attempt_once(channel, alert())
    lines = notify([channel], alert(), sleep=lambda _: None)
    shown = json.dumps([str(refused.value), why, lines, caplog.text, repr(channel)])
    assert "answered HTTP 400" in shown
    assert KEY not in shown
    assert "topsecret" not in shown


def test_the_environment_declares_them(web):
    opened = open_channels({"ML_ASSETS_NOTIFY_PAGERDUTY": KEY, "ML_ASSETS_NOTIFY_TEAMS": web.url("/t")})
    assert [channel.name for channel in opened] == ["log", "teams", "pagerduty"]


@pytest.mark.parametrize(
    "variables",
    [
        {"ML_ASSETS_NOTIFY_PAGERDUTY": "not a key!"},
        {"ML_ASSETS_NOTIFY_PAGERDUTY_URL": "https://events.eu.pagerduty.com/v2/enqueue"},
        {"ML_ASSETS_NOTIFY_PAGERDUTY": KEY, "ML_ASSETS_NOTIFY_PAGERDUTY_URL": "ftp://x"},
        {"ML_ASSETS_NOTIFY_TEAMS": "https://user:hush@teams"},
    ],
)
def test_a_malformed_declaration_is_refused_without_its_value(variables):
    with pytest.raises(ValueError, match="ML_ASSETS_NOTIFY_") as refused:
        open_channels(variables)
    assert not [value for value in variables.values() if value in str(refused.value)]
