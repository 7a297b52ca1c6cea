import pytest

from ml_assets.notifications.channels.slack import SlackChannel
from ml_assets.notifications.channels.webhook import WebhookChannel
from ml_assets.notifications.errors import NotSent
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.send import notify

SECRET = "/hooks/t0p-s3cret?token=abcdef"


@pytest.fixture
def pauses():
    return []


def test_a_webhook_gets_one_json_object(web, notice):
    assert notify([WebhookChannel(web.url(SECRET))], notice) == []
    assert web.paths == [SECRET]
    assert web.headers[0]["Content-Type"] == "application/json"
    assert web.bodies == [
        {
            "kind": "decision",
            "subject": "retrain returns",
            "text": "AUC 0.681 < 0.70 & falling",
            "facts": {"model": "returns", "id": "<7>"},
        }
    ]


def test_slack_gets_escaped_text(web):
    notice = Notice("failure", "a <!channel>\nb", "x < y && y > z &lt;", {"<k>": "1&2"})
    SlackChannel(web.url(SECRET)).send(notice)
    assert web.bodies == [
        {"text": "*a &lt;!channel&gt; b*\nx &lt; y &amp;&amp; y &gt; z &amp;lt;\n&lt;k&gt;: 1&amp;2"},
    ]


def test_a_server_error_is_tried_again(web, notice, pauses):
    web.answers = [500, 500]
    assert notify([WebhookChannel(web.url(SECRET))], notice, pauses.append) == []
    assert len(web.bodies) == 3
    assert pauses == [1.0, 3.0]


@pytest.mark.parametrize("channel", [WebhookChannel, SlackChannel])
def test_three_failures_are_one_message_without_the_path(web, notice, pauses, caplog, channel):
    web.answers = [503, 429, 500, 200]
    failures = notify([channel(web.url(SECRET))], notice, pauses.append)
    name = {WebhookChannel: "webhook", SlackChannel: "slack"}[channel]
    assert failures == [
        f"{name}: the decision notice 'retrain returns' was not sent in 3 attempts: "
        "http://127.0.0.1 answered HTTP 500; check the declared address and its receiver"
    ]
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", failures[0])]
    assert len(web.bodies) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_tried_again(web, notice, pauses, status):
    web.answers = [status]
    (failure,) = notify([WebhookChannel(web.url(SECRET))], notice, pauses.append)
    assert f"in 1 attempt: http://127.0.0.1 answered HTTP {status};" in failure
    assert (len(web.bodies), pauses) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(web, other_web, notice, status):
    web.answers, web.location = [status], other_web.url("/elsewhere")
    with pytest.raises(NotSent, match=f"answered HTTP {status};"):
        WebhookChannel(web.url(SECRET)).send(notice)
    assert (web.paths, other_web.paths) == ([SECRET], [])


def test_a_silent_receiver_is_given_up(web, notice, pauses):
    web.answers = ["hang"] * 3
    (failure,) = notify([WebhookChannel(web.url(SECRET), timeout_s=0.3)], notice, pauses.append)
    assert "in 3 attempts: http://127.0.0.1 did not answer within 0.3 s;" in failure
    assert len(web.bodies) == 3


def test_nobody_listens(notice, pauses):
    (failure,) = notify([SlackChannel("http://127.0.0.1:9" + SECRET)], notice, pauses.append)
    assert "in 3 attempts: http://127.0.0.1 cannot be reached (Connection refused);" in failure


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/t0p s3cret", "http://127.0.0.1:t0p-s3cret/"])
def test_an_error_that_repeats_the_url_is_not_passed_on(notice, pauses, caplog, url):
    (failure,) = notify([WebhookChannel(url)], notice, pauses.append)
    assert "http://127.0.0.1 cannot be reached (InvalidURL)" in failure
    assert "s3cret" not in failure + caplog.text


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_nothing_but_http_is_spoken(notice, pauses, url):
    assert len(notify([WebhookChannel(url)], notice, pauses.append)) == 1


def test_a_channel_does_not_show_its_secrets():
    assert "s3cret" not in repr([WebhookChannel("http://x" + SECRET), SlackChannel("http://x" + SECRET)])
