import logging
import threading

import pytest

from ml_assets.notifications.channels.log import LogChannel
from ml_assets.notifications.channels.webhook import WebhookChannel
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.opening import open_channels
from ml_assets.notifications.send import notify

MAIL = {
    "ML_ASSETS_NOTIFY_EMAIL": "ann@shop.example, bob@shop.example,",
    "ML_ASSETS_SMTP": "smtp://bot:s3cret@mail.example:587",
    "ML_ASSETS_NOTIFY_FROM": "ml@shop.example",
}
ALL = {
    "ML_ASSETS_NOTIFY_WEBHOOK": " https://hooks.example/s3cret\n",
    "ML_ASSETS_NOTIFY_SLACK": "https://slack.example/s3cret",
    **MAIL,
}


class Calling:
    """A channel that passes each notice to a function."""

    def __init__(self, name, function):
        self.name, self.send = name, function


def broken(_notice):
    raise RuntimeError("the s3cret is out")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_nothing_declared_is_only_logged(notice, caplog):
    for environment in ({}, dict.fromkeys(ALL, " ")):
        channels = open_channels(environment)
        assert [channel.name for channel in channels] == ["log"]
        caplog.clear()
        assert notify(channels, notice) == []
        assert [record.message for record in caplog.records] == [
            "decision: retrain returns\nAUC 0.681 < 0.70 & falling\nmodel: returns\nid: <7>"
        ]


def test_everything_declared():
    log, webhook, slack, mail = open_channels(ALL)
    assert [channel.name for channel in (log, webhook, slack, mail)] == ["log", "webhook", "slack", "email"]
    assert (webhook.url, slack.url) == ("https://hooks.example/s3cret", "https://slack.example/s3cret")
    assert (mail.sender, mail.recipients) == ("ml@shop.example", ("ann@shop.example", "bob@shop.example"))
    assert (mail.server.host, mail.server.port, mail.server.user) == ("mail.example", 587, "bot")
    assert {channel.timeout_s for channel in (webhook, slack, mail)} == {10.0}


@pytest.mark.parametrize(
    ("kind", "level"),
    [("failure", "ERROR"), ("decision", "WARNING"), ("promotion", "WARNING"), ("rollback", "WARNING")],
)
def test_the_log_shows_every_kind(caplog, kind, level):
    LogChannel().send(Notice(kind, "a\nb", "why", {}))
    assert [(record.levelname, record.message) for record in caplog.records] == [(level, f"{kind}: a b\nwhy")]


def test_the_log_can_be_another(caplog, notice):
    LogChannel(logging.getLogger("elsewhere")).send(notice)
    assert [record.name for record in caplog.records] == ["elsewhere"]


@pytest.mark.parametrize("variable", ["ML_ASSETS_NOTIFY_WEBHOOK", "ML_ASSETS_NOTIFY_SLACK"])
@pytest.mark.parametrize(
    "value",
    [
        "s3cret",
        "file:///s3cret",
        "ftp://x/s3cret",
        "https:///s3cret",
        "https://me:s3cret@x/",
        "https://x:99999/s3cret",
        "https://x:s3cret/",
        "https://[x/s3cret",
        "https://x/s3cret y",
        "https://x/s3\ncret",
        "https://x/s3crét",
    ],
)
def test_malformed_urls(variable, value):
    with pytest.raises(ValueError, match="is malformed") as raised:
        open_channels({variable: value})
    assert str(raised.value) == f"{variable} is malformed: write an http or https URL without user name and password"
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "ML_ASSETS_NOTIFY_EMAIL",
            "ann@shop.example bob",
            "ML_ASSETS_NOTIFY_EMAIL is malformed: write e-mail addresses",
        ),
        ("ML_ASSETS_NOTIFY_EMAIL", ",", "ML_ASSETS_NOTIFY_EMAIL is malformed"),
        ("ML_ASSETS_NOTIFY_FROM", "ml", "ML_ASSETS_NOTIFY_FROM is malformed: write one e-mail address"),
        ("ML_ASSETS_NOTIFY_FROM", "", "ML_ASSETS_NOTIFY_FROM is missing: ML_ASSETS_NOTIFY_EMAIL needs it"),
        ("ML_ASSETS_SMTP", "", "ML_ASSETS_SMTP is missing: ML_ASSETS_NOTIFY_EMAIL needs it"),
        (
            "ML_ASSETS_SMTP",
            "smtp://bot:s3cret@x:y",
            "ML_ASSETS_SMTP is malformed: write smtp://user:password@host:port",
        ),
    ],
)
def test_malformed_mail(variable, value, message):
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        open_channels({**MAIL, variable: value})
    assert "s3cret" not in str(raised.value)
    assert raised.value.__context__ is None


def test_a_failing_channel_does_not_stop_the_others(notice, caplog):
    pauses, before, after = [], [], []
    channels = [
        Calling("before", before.append),
        Calling("broken", broken),
        WebhookChannel("http://127.0.0.1:9/s3cret"),
        Calling("after", after.append),
    ]
    failures = notify(channels, notice, pauses.append)
    assert [failure.partition(":")[0] for failure in failures] == ["broken", "webhook"]
    assert failures[0] == "broken: the decision notice 'retrain returns' was not sent in 3 attempts: RuntimeError"
    assert (before, after) == ([notice], [notice])
    assert sorted(pauses) == [1.0, 1.0, 3.0, 3.0]
    assert [record.message for record in caplog.records] == failures
    assert "s3cret" not in caplog.text


def test_channels_do_not_wait_for_each_other(notice):
    meeting = threading.Barrier(2, timeout=5)
    assert notify([Calling(name, lambda _: meeting.wait()) for name in "ab"], notice) == []


def test_no_channels(notice):
    assert notify([], notice) == []
