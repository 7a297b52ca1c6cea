import email
import email.policy

import pytest

from ml_assets.notifications.channels.email import EmailChannel
from ml_assets.notifications.channels.mail_server import MailServer, mail_server
from ml_assets.notifications.errors import NotSent
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.opening import open_channels
from ml_assets.notifications.send import notify

PASSWORD = "p@ss/w:rd#1"
CHECK = "; check the declared address and its receiver"


def channel_to(mail, login="", scheme="smtp", timeout_s=5.0):
    server = mail_server(f"{scheme}://{login}127.0.0.1:{mail.port}")
    return EmailChannel(server, "ml@shop.example", ("ann@shop.example", "bob@shop.example"), timeout_s)


LOGIN = "bot:p%40ss%2Fw%3Ard%231@"


def test_one_message_for_all_addresses(mail):
    notice = Notice("promotion", "größer\r\nBcc: eve@shop.example", "Version 2 serves.\n.\nEnd", {"model": "returns"})
    assert notify([channel_to(mail)], notice) == []
    (raw,) = mail.mails
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["From"] == "ml@shop.example"
    assert message["To"] == "ann@shop.example, bob@shop.example"
    assert message["Subject"] == "[ml_assets] größer Bcc: eve@shop.example"
    assert message["Bcc"] is None
    assert message["Message-ID"].endswith("@shop.example>")
    assert message["Date"].datetime is not None
    # On the wire a dot at the start of a line is doubled.
    assert message.get_content().splitlines() == ["Version 2 serves.", "..", "End", "model: returns"]
    assert [line.split()[0] for line in mail.commands] == ["ehlo", "mail", "rcpt", "rcpt", "data", "quit"]
    assert mail.logins == []


def test_login_on_this_machine_needs_no_encryption(mail, notice):
    channel_to(mail, LOGIN).send(notice)
    assert mail.logins == [("bot", PASSWORD, False)]


def test_elsewhere_the_password_is_not_sent_in_the_clear(mail, notice, monkeypatch):
    monkeypatch.setattr("ml_assets.notifications.channels.mail_server._THIS_MACHINE", ())
    with pytest.raises(NotSent, match=r"^smtp://127\.0\.0\.1 offers no encryption, so the password was not sent"):
        channel_to(mail, LOGIN).send(notice)
    assert (mail.logins, mail.mails) == ([], [])
    channel_to(mail).send(notice)
    assert len(mail.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_encrypted(mail, notice, certificate, server_tls, monkeypatch, scheme):
    monkeypatch.setattr("ml_assets.notifications.channels.mail_server._THIS_MACHINE", ())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    mail.tls, mail.offers_starttls = server_tls, scheme == "smtp"
    channel_to(mail, LOGIN, scheme).send(notice)
    assert mail.logins == [("bot", PASSWORD, True)]
    assert len(mail.mails) == 1
    assert ("STARTTLS" in mail.commands) == (scheme == "smtp")


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_is_refused(mail, notice, server_tls, scheme):
    mail.tls, mail.offers_starttls = server_tls, scheme == "smtp"
    with pytest.raises(NotSent, match=f"^{scheme}://127.0.0.1 cannot be reached .*certificate verify failed"):
        channel_to(mail, LOGIN, scheme).send(notice)
    assert (mail.logins, mail.mails) == ([], [])


@pytest.mark.parametrize(
    ("replies", "reason", "attempts"),
    [
        ({"AUTH": f"535 no {PASSWORD}"}, "answered SMTP 535", 1),
        ({"data": "451 later"}, "answered SMTP 451", 3),
        ({"mail": "550 not you"}, "answered SMTP 550", 1),
        ({"rcpt": "450 greylisted"}, "refused every address", 3),
        ({"rcpt": "550 unknown"}, "refused every address", 1),
        ({"rcpt TO:<bob": "550 unknown"}, "refused 1 of the addresses, not all", 1),
        ({"ehlo": "hang"}, "did not answer within 0.3 s", 3),
    ],
)
def test_refusals_are_told_without_the_password(mail, notice, caplog, replies, reason, attempts):
    mail.replies = replies
    timeout_s = 0.3 if "hang" in replies.values() else 5.0
    failures = notify([channel_to(mail, LOGIN, timeout_s=timeout_s)], notice, lambda _: None)
    tries = "1 attempt" if attempts == 1 else "3 attempts"
    assert failures == [
        f"email: the decision notice 'retrain returns' was not sent in {tries}: smtp://127.0.0.1 {reason}{CHECK}"
    ]
    assert sum(line.startswith("ehlo") for line in mail.commands) == attempts
    assert PASSWORD not in caplog.text
    assert "w%3Ard" not in caplog.text


def test_a_server_without_a_farewell_is_sent_one_mail(mail, notice):
    mail.replies = {"quit": "hang"}
    assert notify([channel_to(mail, timeout_s=0.5)], notice) == []
    assert len(mail.mails) == 1


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("mail.example", 0, False)),
        ("smtps://u:p@mail.example:466/", MailServer("mail.example", 466, True, "u", "p")),
        ("smtp://u%40x:%25@[::1]:25", MailServer("::1", 25, False, "u@x", "%")),
    ],
)
def test_servers(url, server):
    assert mail_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example:25",
        "http://mail.example",
        "smtp://",
        "smtp://u@mail.example",
        "smtp://u:@mail.example",
        "smtp://u:1/2@mail.example",
        "smtp://u:1#2@mail.example",
        "smtp://u:p@mail.example:99999",
        "smtp://u:p@mail.example:port",
        "smtp://u:p@[mail.example",
        "smtp://u:p\tq@mail.example",
    ],
)
def test_no_servers(url):
    assert mail_server(url) is None


def test_a_channel_does_not_show_its_password():
    declared = {
        "ML_ASSETS_NOTIFY_EMAIL": "ann@shop.example",
        "ML_ASSETS_SMTP": "smtp://bot:s3cret@mail.example",
        "ML_ASSETS_NOTIFY_FROM": "ml@shop.example",
    }
    assert "s3cret" not in repr(open_channels(declared))
