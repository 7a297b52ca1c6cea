"""Where notices go, and how the environment declares it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol

from ml_assets.notifications.mail import MailServer, hand_in, mail_server
from ml_assets.notifications.notice import Notice
from ml_assets.notifications.web import is_web_address, post_json

WEBHOOK, SLACK, EMAIL = "ML_ASSETS_NOTIFY_WEBHOOK", "ML_ASSETS_NOTIFY_SLACK", "ML_ASSETS_NOTIFY_EMAIL"
SMTP, SENDER = "ML_ASSETS_SMTP", "ML_ASSETS_NOTIFY_FROM"

# Seconds that a receiver may keep us waiting.
TIMEOUT_S = 10.0

_LOGGER = logging.getLogger("ml_assets.notifications")
_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")


class Channel(Protocol):
    """A way to people. `send` raises if the notice was not taken, `NotSent` where it can say why."""

    name: str

    def send(self, notice: Notice) -> None: ...


@dataclass(frozen=True)
class LogChannel:
    """The log. Nothing is below a warning: a process whose logging nobody set up prints warnings and hides the rest."""

    logger: logging.Logger = _LOGGER
    name: str = "log"

    def send(self, notice: Notice) -> None:
        level = logging.ERROR if notice.kind == "failure" else logging.WARNING
        self.logger.log(level, "%s: %s\n%s", notice.kind, notice.headline, notice.body)


@dataclass(frozen=True)
class WebhookChannel:
    """POSTs the notice as one JSON object."""

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "webhook"

    def send(self, notice: Notice) -> None:
        content = {"kind": notice.kind, "subject": notice.subject, "text": notice.text, "facts": notice.facts}
        post_json(self.url, content, self.timeout_s)


@dataclass(frozen=True)
class SlackChannel:
    """POSTs the notice to an incoming webhook of Slack."""

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "slack"

    def send(self, notice: Notice) -> None:
        post_json(self.url, {"text": f"*{_escaped(notice.headline)}*\n{_escaped(notice.body)}"}, self.timeout_s)


@dataclass(frozen=True)
class EmailChannel:
    """Mails the notice to every address, in one message."""

    server: MailServer
    sender: str
    recipients: tuple[str, ...]
    timeout_s: float = TIMEOUT_S
    name: str = "email"

    def send(self, notice: Notice) -> None:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.recipients)
        message["Subject"] = f"[ml_assets] {notice.headline}"
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message.set_content(notice.body)
        hand_in(self.server, message, self.timeout_s)


def channels_from_environment(environment: Mapping[str, str]) -> list[Channel]:
    """The log, then every channel that the environment declares. An empty variable declares nothing.

    Raises:
        ValueError: a declaration is malformed or incomplete; the message names the variable and never its value.
    """
    declared = {name: environment.get(name, "").strip() for name in (WEBHOOK, SLACK, EMAIL, SMTP, SENDER)}
    channels: list[Channel] = [LogChannel()]
    for name, kind in ((WEBHOOK, WebhookChannel), (SLACK, SlackChannel)):
        if declared[name]:
            if not is_web_address(declared[name]):
                raise ValueError(f"{name} is malformed: write an http or https URL without user name and password")
            channels.append(kind(declared[name]))
    if declared[EMAIL]:
        channels.append(_email(declared))
    return channels


def _email(declared: dict[str, str]) -> EmailChannel:
    recipients = tuple(address.strip() for address in declared[EMAIL].split(",") if address.strip())
    if not recipients or not all(_ADDRESS.fullmatch(address) for address in recipients):
        raise ValueError(f"{EMAIL} is malformed: write e-mail addresses, separated by commas")
    for name in (SMTP, SENDER):
        if not declared[name]:
            raise ValueError(f"{name} is missing: {EMAIL} needs it")
    server = mail_server(declared[SMTP])
    if server is None:
        raise ValueError(
            f"{SMTP} is malformed: write smtp://user:password@host:port or smtps://..., "
            "special characters in user and password percent-encoded"
        )
    if not _ADDRESS.fullmatch(declared[SENDER]):
        raise ValueError(f"{SENDER} is malformed: write one e-mail address")
    return EmailChannel(server, declared[SENDER], recipients)


def _escaped(text: str) -> str:
    """The three characters with which Slack would start a link, a mention or an entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
