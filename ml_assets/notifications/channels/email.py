"""Notices by e-mail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import ClassVar, Self

from ml_assets.notifications.channel import TIMEOUT_S
from ml_assets.notifications.channels.mail_server import MailServer, hand_in, mail_server
from ml_assets.notifications.notice import Notice

EMAIL, SMTP, SENDER = "ML_ASSETS_NOTIFY_EMAIL", "ML_ASSETS_SMTP", "ML_ASSETS_NOTIFY_FROM"

_ADDRESS = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")


@dataclass(frozen=True)
class EmailChannel:
    """Mails the notice to every address, in one message."""

    server: MailServer
    sender: str
    recipients: tuple[str, ...]
    timeout_s: float = TIMEOUT_S
    name: str = "email"

    variables: ClassVar[Mapping[str, str]] = {
        EMAIL: f"addresses, separated by commas; with `{SMTP}` and `{SENDER}`",
        SMTP: "mail server: `smtp://user:password@host:port` or `smtps://...`",
        SENDER: "address that mail is sent from",
    }

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self | None:
        if not variables[EMAIL]:
            return None
        recipients = tuple(address.strip() for address in variables[EMAIL].split(",") if address.strip())
        if not recipients or not all(_ADDRESS.fullmatch(address) for address in recipients):
            raise ValueError(f"{EMAIL} is malformed: write e-mail addresses, separated by commas")
        for name in (SMTP, SENDER):
            if not variables[name]:
                raise ValueError(f"{name} is missing: {EMAIL} needs it")
        server = mail_server(variables[SMTP])
        if server is None:
            raise ValueError(
                f"{SMTP} is malformed: write smtp://user:password@host:port or smtps://..., "
                "special characters in user and password percent-encoded"
            )
        if not _ADDRESS.fullmatch(variables[SENDER]):
            raise ValueError(f"{SENDER} is malformed: write one e-mail address")
        return cls(server, variables[SENDER], recipients)

    def send(self, notice: Notice) -> None:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.recipients)
        message["Subject"] = f"[ml_assets] {notice.headline}"
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message.set_content(notice.body)
        hand_in(self.server, message, self.timeout_s)
